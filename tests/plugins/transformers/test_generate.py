"""Completions against a loop written by hand."""

from __future__ import annotations

import json
import shutil
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.contract import Arm, Example, Prompt, Sampling, Tokens
from harness.errors import ModelError
from harness_transformers.model import TransformersModel

from .conftest import load
from .test_edits import STRICT, ablation, addition, logits

NEW = 8


def by_hand(model: TransformersModel, tokens: Tokens, new: int, stops: set[int]) -> list[int]:
    """Greedy, without a cache, one token after the other."""
    ids = list(tokens.ids)
    for _ in range(new):
        out = logits(model, [replace(tokens, ids=tuple(ids))])
        ids.append(int(out[0, len(ids) - 1].argmax()))
        if ids[-1] in stops:
            break
    return ids[len(tokens.ids) :]


def text_of(model: TransformersModel, ids: list[int]) -> str:
    return str(model.tokenizer.decode(ids, skip_special_tokens=True)).strip()


def test_greedy_equals_a_loop_by_hand(model: TransformersModel, examples: list[Example]) -> None:
    tokens = model.render(examples, Prompt(style="chat"))
    for t, got in zip(tokens, model.generate(tokens, Sampling(NEW)), strict=True):
        ids = by_hand(model, t, NEW, {2, 6})
        assert got.text == text_of(model, ids)
        assert got.tokens == len(ids)
        assert got.stopped == (ids[-1] in {2, 6})


@pytest.mark.slow
def test_arms_generate_as_if_alone(model: TransformersModel, examples: list[Example]) -> None:
    tokens = model.render(examples, Prompt())
    arms = [Arm("none"), ablation(1, *STRICT), addition(2, "resid_post.1")]
    rows = [replace(t, arm=arm) for t in tokens for arm in range(3)]
    with model.edited(arms) as receipts:
        got = model.generate(rows, Sampling(NEW))
    assert receipts[0].fired == 0
    for t, completion in zip(rows, got, strict=True):
        with model.edited([arms[t.arm]]):
            ids = by_hand(model, replace(t, arm=0), NEW, {2, 6})
        assert completion.text == text_of(model, ids)


def stopping_at(model: TransformersModel, token: int) -> Arm:
    """An arm that makes the model say `token`, whatever it was asked."""
    head = model.hf.get_output_embeddings().weight[token].detach()
    v = 100 * head / head.norm()
    arm = addition(1, "resid_post.2")
    return replace(arm, edits=(replace(arm.edits[0], parameters={"v": v}),))


@pytest.mark.parametrize("stop", [2, 6])  # the tokenizer's EOS, the template's end of turn
def test_stop_tokens_end_a_completion(
    llama: TransformersModel, stop: int, examples: list[Example]
) -> None:
    tokens = llama.render(examples, Prompt())
    rows = [replace(t, arm=int(i == 1)) for i, t in enumerate(tokens)]
    plain = llama.generate(tokens, Sampling(NEW))
    with llama.edited([Arm("none"), stopping_at(llama, stop)]) as receipts:
        got = llama.generate(rows, Sampling(NEW))
    assert (got[1].text, got[1].tokens, got[1].stopped) == ("", 1, True)
    assert [got[0], got[2]] == [plain[0], plain[2]]
    assert not got[0].stopped
    # What the ended row still computes beside the others is padding.
    assert receipts[1].tokens == len(tokens[1].ids)


@pytest.mark.slow
def test_stops_of_the_checkpoint_count_and_nothing_else_of_it(
    folders: dict[str, Path], tmp_path: Path, examples: list[Example]
) -> None:
    folder = shutil.copytree(folders["llama"], tmp_path / "copy")
    plain = load(folders["llama"])
    tokens = plain.render(examples, Prompt())
    expected = plain.generate(tokens, Sampling(NEW))
    sampling = {"do_sample": True, "temperature": 5.0, "top_k": 3, "repetition_penalty": 9.0}
    settings = {"eos_token_id": [2, 77], "max_new_tokens": 1, "min_new_tokens": 5, **sampling}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    model = load(folder)
    assert model.generate(tokens, Sampling(NEW)) == expected
    with model.edited([stopping_at(model, 77)]):
        assert all(c.stopped and c.tokens == 1 for c in model.generate(tokens, Sampling(NEW)))
    encoded = torch.tensor([tokens[0].ids])
    ours = model.hf.generate(encoded, max_new_tokens=NEW, attention_mask=encoded * 0 + 1)
    assert text_of(model, ours[0, encoded.shape[1] :].tolist()) == expected[0].text


def test_the_context_ends_a_completion(
    loaded: dict[str, TransformersModel], examples: list[Example]
) -> None:
    model = loaded["gpt2"]  # learned positions: one too many is an IndexError
    short = model.render(examples, Prompt())
    context = model.facts.context
    assert context == 96
    filler = (short[0].ids * 20)[: context - 3]
    long = Tokens("long", filler, (0, len(filler)), "")
    full = Tokens("full", (*filler, 9, 9, 9), (0, context), "")
    got = model.generate([short[0], long, full, short[1]], Sampling(NEW))
    assert [c.tokens for c in got] == [NEW, 4, 1, NEW]
    assert not got[1].stopped
    assert got[0] == model.generate(short[:1], Sampling(NEW))[0]
    with pytest.raises(ModelError, match="no room for a completion"):
        model.generate([replace(full, ids=(*full.ids, 9))], Sampling(NEW))


@pytest.mark.slow
def test_sampling_depends_on_seed_and_prompt_alone(
    llama: TransformersModel, examples: list[Example]
) -> None:
    tokens = llama.render(examples, Prompt())
    sampling = Sampling(NEW, temperature=1.5, top_p=0.95, seed=3)
    torch.manual_seed(0)
    got = llama.generate(tokens, sampling)
    torch.manual_seed(1)
    assert [llama.generate([t], sampling)[0] for t in tokens] == got
    assert llama.generate(tokens, replace(sampling, seed=4)) != got
    assert llama.generate(tokens, Sampling(NEW)) != got


@pytest.mark.slow
def test_sampling_follows_the_distribution(
    llama: TransformersModel, examples: list[Example]
) -> None:
    prompt = llama.render(examples[:1], Prompt())[0]
    n, temperature = 2000, 2.0
    rows = [replace(prompt, example=str(i)) for i in range(n)]
    drawn = Counter(c.text for c in llama.generate(rows, Sampling(1, temperature)))
    last = logits(llama, [prompt])[0, -1] / temperature
    expected: Counter[str] = Counter()
    for token, share in enumerate(last.softmax(-1).tolist()):
        expected[text_of(llama, [token])] += share  # type: ignore[assignment]
    for text, share in expected.most_common(5):
        deviation = (share * (1 - share) / n) ** 0.5
        assert abs(drawn[text] / n - share) < 5 * deviation
    greedy = llama.generate(rows[:50], Sampling(1, temperature, top_p=1e-6))
    assert {c.text for c in greedy} == {llama.generate([prompt], Sampling(1))[0].text}


def test_nothing_is_said(
    folders: dict[str, Path],
    examples: list[Example],
    capfd: pytest.CaptureFixture[str],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = load(folders["qwen2"])
        long = Example("long", "very " * 18)
        tokens = model.render([*examples, long], Prompt())
        model.generate(tokens[:3], Sampling(2, temperature=0.5))
        model.activations(tokens, [], logits=True)
    assert capfd.readouterr() == ("", "")


def test_no_prompts_no_completions(llama: TransformersModel) -> None:
    assert llama.generate([], Sampling()) == []
    assert llama.activations([], []).start == ()
