"""Pairs of every kind: what both sides read, which tokens of it count, and where reading ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fakes
from fakes.models import FakeModel
from fakes.running import bare, passed, records, total_forwards
from fakes.streams import ALL, ANY_PLACE, SPAN, lengths, one, pair
from harness.contract import Example, Prompt, Stream
from harness.errors import ModelError
from harness.planning.queries import same_query
from harness.planning.steps import SentinelJob
from harness.running.preflight import sentinel_failures
from harness.running.reading.rows import aligned, check_aligned, measured, one_row
from harness.running.session import Session

MakeSession = Callable[..., Session]


# ── Packed ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("pack", [2, 5, 17, 30, 1000])
@pytest.mark.parametrize("more", [(), ("batch.activations=1",), ("batch.shard=20",)])
@pytest.mark.parametrize("padding", ["left", "right"])
def test_packed_rows_give_what_rows_of_their_own_give(
    session: MakeSession, pack: int, more: tuple[str, ...], padding: str
) -> None:
    """Where activations depend on the token alone."""
    plain = bare(records(session(pair(), *ANY_PLACE)))
    sides = [f"models.{m}.padding={padding}" for m in ("base", "chat")]
    packed = bare(records(session(pair(f"pack = {pack}"), *ANY_PLACE, *more, *sides)))
    assert packed == plain


def test_packed_rows_are_fewer_and_full(session: MakeSession) -> None:
    made = session(pair("pack = 40"), "batch.activations=1")
    passed(made)
    rows = [documents for documents, _ in made.models["base"].forwards]  # type: ignore[attr-defined]
    assert len(rows) < len(fakes.WEB)
    assert total_forwards() == 2 * len(rows)


@pytest.mark.parametrize("padding", ["left", "right"])
def test_an_sae_that_needs_sequences_sees_documents_in_packed_rows(
    session: MakeSession, padding: str
) -> None:
    more = (*ANY_PLACE, "saes.mid.sequence=true", f"models.chat.padding={padding}")
    plain = bare(records(session(pair(), *more)))
    made = session(pair("pack = 40"), *more)
    assert bare(records(made)) == plain
    sae: Any = made.saes["mid"]
    assert sorted(sae.encoded) == sorted(lengths(made) * 2)


def test_a_position_is_that_in_the_document_and_not_in_the_row(session: MakeSession) -> None:
    plain = bare(records(session(pair("skip_first = 4"), *ANY_PLACE)))
    assert bare(records(session(pair("skip_first = 4", "pack = 50"), *ANY_PLACE))) == plain


def test_what_is_not_finite_in_a_packed_row_is_named(
    session: MakeSession, texts: Callable[[Sequence[str]], None]
) -> None:
    texts(["fine", "fine as well", "bad ∞ text", "good"])
    made = session(pair("pack = 100"))
    with pytest.raises(
        ModelError, match=r"not finite for document (\w+) \('bad ∞ text'\)"
    ) as caught:
        passed(made)
    assert made.data.examples("web")[2].id in str(caught.value)


def test_rows_longer_than_the_model_reads_are_refused(problems: Callable[..., list[str]]) -> None:
    (said,) = problems(pair("pack = 40"), "models.chat.context=39")
    assert said.endswith(
        "pairs.p.pack: 40 tokens are more than chat reads at once. Allowed: up to 39."
    )


# ── A query after its own context ────────────────────────────────────────────────────────────────


@pytest.fixture
def shots(tmp_path: Path) -> None:
    rows = [{"text": "a shot"}, {"text": "some text"}]
    (tmp_path / "shots.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


SIDES = [("base", "shown"), ("shown", "base"), ("other", "shown"), ("shown", "other")]


@pytest.mark.usefixtures("shots")
@pytest.mark.parametrize(("left", "right"), SIDES)
@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("batch", [1, 3, 32])
def test_the_query_is_the_same_tokens_with_and_without_its_context(
    session: MakeSession, left: str, right: str, padding: str, batch: int
) -> None:
    """Both models are alike and see the token alone: one token off, and there is a gap."""
    text = SPAN + pair("align = 'span'")
    more = (
        *ANY_PLACE,
        "models.chat.scale=1",
        f"pairs.p.left={left}",
        f"pairs.p.right={right}",
        f"batch.activations={batch}",
        f"models.base.padding={padding}",
    )
    found = records(session(text, *more))
    queries = sum(char not in "^|_" for line in fakes.WEB for char in line)
    gap = one(found, "gap")
    assert (gap.value, gap.n, gap.clusters) == (0.0, queries, len(fakes.WEB))
    assert one(found, "match").value == 0.0
    assert one(found, "turn").value == 0.0
    means = {r.value for r in found if r.axes.get("metric") == "mean"}
    assert len(means) == 1


@pytest.mark.usefixtures("shots")
def test_both_sides_are_asked_where_the_query_is(
    session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TOKENIZERS T5: and nobody is where both sides read one prompt."""
    asked: list[bool] = []
    render = FakeModel.render

    def listening(self: FakeModel, examples: Sequence[Example], prompt: Prompt) -> Any:
        asked.append(prompt.query)
        return render(self, examples, prompt)

    monkeypatch.setattr(FakeModel, "render", listening)
    passed(session(SPAN + pair("align = 'span'"), "pairs.p.right=shown"))
    assert asked == [True, True]
    asked.clear()
    passed(session(pair()))
    assert asked == [False]


@pytest.mark.usefixtures("shots")
def test_the_context_moves_the_query_and_each_side_reads_its_own(session: MakeSession) -> None:
    """With places: a query token stands so much later as the context is long."""
    text = SPAN + pair("align = 'span'")
    more = ("models.chat.scale=1", "pairs.p.right=shown")
    made = session(text, *more)
    found = records(made)
    shift = len("a shota shotsome textsome text")
    # Five of six channels are moved, the first one tells the block.
    assert one(found, "gap").value == 5.0 * shift
    assert total_forwards() == 2


@pytest.mark.usefixtures("shots")
def test_one_model_with_and_without_context_reads_both(session: MakeSession) -> None:
    text = SPAN + pair("align = 'span'", metrics=ALL)
    made = session(text, "pairs.p.right=other", *ANY_PLACE)
    found = records(made)
    assert one(found, "gap").value == 0.0
    (model,) = made.models.values()
    assert len(model.forwards) == 2  # type: ignore[attr-defined]
    sae: Any = made.saes["mid"]
    assert len(sae.encoded) == 2


@pytest.mark.usefixtures("shots")
@pytest.mark.parametrize("template", ["{text}!", "!{text}", "{text}{text}"])
def test_queries_that_are_not_the_same_are_refused(session: MakeSession, template: str) -> None:
    text = SPAN + pair("align = 'span'")
    more = ("pairs.p.left=other", "pairs.p.right=shown", f"views.shown.prompt.template={template}")
    made = session(text, *more)
    first = min(made.data.examples("web"), key=lambda example: len(example.text))
    with pytest.raises(ModelError, match="do not render the same query") as caught:
        passed(made)
    said = str(caught.value)
    assert f"Document {first.id}" in said
    assert "the first difference at token" in said


@pytest.mark.usefixtures("shots")
@pytest.mark.parametrize(
    ("keys", "at"), [(("pack = 9",), "pack"), (("render = 'right'",), "render")]
)
def test_what_has_no_meaning_with_spans_is_said(
    problems: Callable[..., list[str]], keys: tuple[str, ...], at: str
) -> None:
    (said,) = problems(SPAN + pair("align = 'span'", *keys), "pairs.p.right=shown")
    assert f"pairs.p.{at}" in said
    assert 'align = "span"' in said


@pytest.mark.usefixtures("shots")
@pytest.mark.parametrize(("scale", "expect"), [(1, "same"), (3, "different")])
def test_the_sentinel_compares_the_query_tokens(
    session: MakeSession, scale: int, expect: str
) -> None:
    text = SPAN + pair("align = 'span'", f"expect = '{expect}'", "budget = 1", "skip_first = 9")
    text += "[preflight]\ndata = 'web'\nfvu = 'loss'\nalso = []\n"
    made = session(text, "pairs.p.right=shown", f"models.chat.scale={scale}", *ANY_PLACE)
    (found,) = [one for one in passed(made, -1) if isinstance(one.job, SentinelJob)]
    # Of all documents, whatever the pair measures.
    assert all(record.clusters == len(fakes.WEB) for record in found.outcome.records)
    assert not list(sentinel_failures(found.job, found.outcome.records))
    other = replace(found.job, expect="same" if expect == "different" else "different")
    assert list(sentinel_failures(other, found.outcome.records))


TEMPLATES = {
    "llama": (
        "<|bos|>{% for m in messages %}<|h|>{{ m.role }}<|/h|>\n\n{{ m.content | trim }}<|eot|>"
        "{% endfor %}{% if add_generation_prompt %}<|h|>assistant<|/h|>\n\n{% endif %}"
    ),
    "gemma": (
        "<|bos|>{% for m in messages %}<|h|>{{ 'model' if m.role == 'assistant' else m.role }}\n"
        "{{ m.content | trim }}<|eot|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|h|>model\n{% endif %}"
    ),
    "qwen": (
        "{% if messages[0].role != 'system' %}<|h|>system\nYou are a helpful assistant.<|eot|>\n"
        "{% endif %}{% for m in messages %}<|h|>{{ m.role }}\n{{ m.content }}<|eot|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|h|>assistant\n{% endif %}"
    ),
    "mistral": (
        "<|bos|>{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% else %} {{ m.content }}<|eot|>{% endif %}{% endfor %}"
    ),
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<|bos|>", "<|eot|>", "<|h|>", "<|/h|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(
        ["[INST] What is it? [/INST]", "\n\nuser\nassistant\n\n"] * 3, trainer
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<|bos|>", eos_token="<|eot|>", pad_token="<|eot|>"
    )


@pytest.mark.parametrize("family", TEMPLATES)
@pytest.mark.parametrize("shown", [1, 3])
def test_queries_line_up_under_real_chat_templates(tokenizer: Any, family: str, shown: int) -> None:
    from harness_transformers.render import Renderer

    tokenizer.chat_template = TEMPLATES[family]
    render = Renderer(tokenizer, None, family)
    queries = ["What is it?", "Why", "[/INST] user\n", "What is it? What is it?"]
    examples = [Example(str(n), text) for n, text in enumerate(queries)]
    demonstrations = tuple(
        Example(f"s{n}", f"What is {n}?", {"answer": "it?"}) for n in range(shown)
    )
    bare_ones = render(examples, Prompt(style="chat"))
    with_shots = render(examples, Prompt(style="chat", demonstrations=demonstrations))
    for a, b in ((bare_ones, with_shots), (with_shots, bare_ones)):
        sides = [same_query(x, y) for x, y in zip(a, b, strict=True)]
        left, right = [one_row(x) for x, _ in sides], [one_row(y) for _, y in sides]
        check_aligned(left, right, "here")
        mine = measured(left, Stream("s", "v", "d"), frozenset(tokenizer.all_special_ids))
        theirs = aligned(left, right, mine)
        assert set(mine.document.tolist()) == set(range(len(queries)))
        for row, offset, id in zip(theirs.row, theirs.offset, theirs.ids, strict=True):
            assert right[int(row)].tokens.ids[int(offset)] == int(id)
        for (x, _), query in zip(sides, queries, strict=True):
            assert query.strip() in tokenizer.decode(x.ids[slice(*x.span)])
        for slip in (-1, 1):
            slipped = [
                replace(y, span=(y.span[0] + slip, min(y.span[1] + slip, len(y.ids))))
                for _, y in sides
            ]
            with pytest.raises(ModelError):
                check_aligned(left, [one_row(y) for y in slipped], "here")
