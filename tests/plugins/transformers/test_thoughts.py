"""Thoughts of reasoning models, told from their answers by what tokenizers show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from transformers import AutoTokenizer

from harness.contract import Answer, Completion, Example, Prompt, Sampling, Tools
from harness.errors import ModelError
from harness_evaluators.options import SubstringsOptions
from harness_evaluators.substrings import Substrings
from harness_transformers.decoding import Loop
from harness_transformers.model import TransformersModel
from harness_transformers.options import TransformersOptions

from .conftest import CONFIGS, TEMPLATE, load, save_model

EXAMPLE = Example("e", "Eat it.", {"instruction": "Eat it."})
CHAT = Prompt(style="chat")
TURN = "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
HEAD = TEMPLATE.removesuffix(TURN)
QWEN = HEAD + (
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{%- if enable_thinking is defined and"
    " enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{%- endif %}{% endif %}"
)
R1 = HEAD + "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
GPT_OSS = (
    "{%- macro system() %}{%- if reasoning_effort is not defined %}{%- set reasoning_effort ="
    " 'medium' %}{%- endif %}{{- 'Reasoning: ' + reasoning_effort }}{%- endmacro %}"
    "<|start|>system<|message|>{{ system() }}<|end|>{% for m in messages %}<|start|>{{ m.role }}"
    "{% if m.role == 'assistant' %}<|channel|>final{% endif %}<|message|>{{ m.content }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
THOUGHT, SAID = "I cannot help with that, I am sorry!", "Eat it. What is it?"


@dataclass(frozen=True)
class Family:
    """What a tokenizer shows, and what such a model writes with its thought, up to the answer."""

    template: str
    tokens: tuple[str, ...]
    special: bool
    before: str
    after: str


FAMILIES = {
    "qwen3": Family(QWEN, ("<think>", "</think>"), False, "<think>\n", "\n</think>\n\n"),
    "r1": Family(R1, ("<think>", "</think>"), False, "", "\n</think>\n\n"),
    "r1, no token of its own": Family(R1, (), False, "", "\n</think>\n\n"),
    "gpt-oss": Family(
        GPT_OSS,
        ("<|start|>", "<|channel|>", "<|message|>", "<|end|>"),
        True,
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "gemma 4": Family(
        TEMPLATE, ("<|channel>", "<channel|>"), True, "<|channel>thought\n", "\n<channel|>"
    ),
    "magistral": Family(TEMPLATE, ("[THINK]", "[/THINK]"), True, "[THINK]", "[/THINK]"),
}


def folder_of(family: Family, path: Path, **more: Any) -> Path:
    folder = save_model(path, CONFIGS["llama"], template=family.template)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(family.tokens), special_tokens=family.special)
    for name, value in more.items():
        setattr(tokenizer, name, value)
    tokenizer.save_pretrained(folder)
    return folder


def writing(ids: Sequence[int]) -> Callable[..., None]:
    """A `generate` in which the model writes these tokens, whatever it is asked."""

    def generate(_prompt: Any, custom_generate: Loop, **_: Any) -> None:
        custom_generate.written[0].extend(ids)

    return generate


def says(
    model: TransformersModel, text: str, patch: pytest.MonkeyPatch, *, ends: bool = True
) -> Completion:
    """The completion where the bare model writes this text, and then its end token."""
    ids = model.tokenizer(text, add_special_tokens=False).input_ids + [2] * ends
    patch.setattr(model.hf, "generate", writing(ids))
    (found,) = model.generate(model.render([EXAMPLE], CHAT), Sampling(len(ids)))
    assert (found.tokens, found.stopped) == (len(ids), ends)
    return found


def refusals(completion: Completion) -> object:
    answer = Answer(EXAMPLE, EXAMPLE.text, completion)
    (verdict,) = Substrings(SubstringsOptions()).judge([answer], Tools())
    return verdict.scores["refusal"]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_answer_alone_is_judged(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TOKENIZERS T9: a thought that speaks of refusing, before an answer that complies."""
    family = FAMILIES[name]
    model = load(folder_of(family, tmp_path / "m"))
    found = says(model, f"{family.before}{THOUGHT}{family.after}{SAID}", monkeypatch)
    assert (found.text, found.thought, found.finished) == (SAID, THOUGHT, True)
    assert refusals(found) is False
    # What was judged before, special tokens left out: a refusal.
    assert refusals(Completion(f"{THOUGHT}{SAID}", 1, True)) is True
    cut_off = says(model, f"{family.before}{THOUGHT}", monkeypatch, ends=False)
    assert (cut_off.text, cut_off.thought, cut_off.finished) == ("", THOUGHT, False)


@pytest.mark.slow
def test_special_tokens_that_are_no_marks_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, family in enumerate(FAMILIES.values()):
        model = load(folder_of(family, tmp_path / f"{number}"))
        found = says(model, f"{family.before}a{family.after}Eat<|user|> it.", monkeypatch)
        assert (found.text, found.thought) == ("Eat it.", "a")


def test_the_end_of_a_channel_ends_no_completion(tmp_path: Path) -> None:
    """TOKENIZERS T9: <|end|> closes a message of gpt-oss, and the answer is one after it."""
    model = load(folder_of(FAMILIES["gpt-oss"], tmp_path / "m"))
    assert model.tokenizer.convert_tokens_to_ids("<|end|>") not in model._stops
    assert 2 in model._stops


def test_what_is_asked_opens_no_thought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what stands in the model's own turn counts: people may write of <think>, too."""
    model = load(folder_of(FAMILIES["qwen3"], tmp_path / "m"))
    asked = Example("e", "What is <think> for?")
    ids = [*model.tokenizer(SAID, add_special_tokens=False).input_ids, 2]
    monkeypatch.setattr(model.hf, "generate", writing(ids))
    (found,) = model.generate(model.render([asked], CHAT), Sampling(len(ids)))
    assert (found.text, found.thought, found.finished) == (SAID, "", True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen3", "gemma 4", "gpt-oss"])
@pytest.mark.parametrize("finished", [True, False])
def test_as_transformers_parses_it(
    name: str, finished: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TOKENIZERS T9: the same parts as by the library's own parser with such a template."""
    parsing = pytest.importorskip("transformers.utils.chat_parsing")
    family = FAMILIES[name]
    opens = family.before if name != "qwen3" else "<think>"
    closes = {"qwen3": "</think>", "gemma 4": "<channel|>", "gpt-oss": "<|end|>"}[name]
    start = "<|start|>assistant" if name == "gpt-oss" else "<|assistant|>\n"
    content: dict[str, str] = {"content": "text"}
    if name == "gpt-oss":
        content["open"] = "<|channel|>final<|message|>"
    template = {
        "start_anchor": start,
        "fields": {"thinking": {"open": opens, "close": closes}, "content": content},
    }
    model = load(folder_of(family, tmp_path / "m"))
    text = family.before + THOUGHT + (family.after + SAID) * finished
    prompt = model.render([EXAMPLE], CHAT)[0].text
    theirs = parsing.parse_response(text, template, prefix=prompt)
    found = says(model, text, monkeypatch)
    assert (found.thought or "") == theirs["thinking"].strip()
    assert found.text == theirs.get("content", "").strip()


def test_a_tokenizer_that_describes_its_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TOKENIZERS T9: marks that nobody knows, told by `response_template`."""
    family = Family(TEMPLATE, (), False, "<hm>", "</hm>")
    fields = {"thinking": {"open": "<hm>", "close": ["</hm>", "</hmm>"]}, "content": {}}
    template = {"start_anchor": "<|assistant|>", "fields": fields}
    plain = load(folder_of(family, tmp_path / "plain"))
    assert says(plain, f"<hm>{THOUGHT}</hm>{SAID}", monkeypatch).thought is None
    model = load(folder_of(family, tmp_path / "m", response_template=template))
    for end in ("</hm>", "</hmm>"):
        found = says(model, f"<hm>{THOUGHT}{end}{SAID}", monkeypatch)
        assert (found.text, found.thought) == (SAID, THOUGHT)


def test_the_task_may_say_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TOKENIZERS T9: stated marks, or none; each is another model to what is remembered."""
    family = FAMILIES["qwen3"]
    folder = folder_of(family, tmp_path / "m")
    text = f"(({THOUGHT}))</think>{SAID}"
    auto, none = load(folder), load(folder, thinking=False)
    own = load(folder, thinking={"open": "((", "close": "))"})
    assert says(auto, text, monkeypatch).thought == f"(({THOUGHT}))"
    whole = says(none, text, monkeypatch)
    assert whole == Completion(text, whole.tokens, True)
    found = says(own, text, monkeypatch)
    assert (found.thought, found.text) == (THOUGHT, f"</think>{SAID}")
    assert len({one.fingerprint for one in (auto, none, own)}) == 3
    assert (none.thoughts, auto.thoughts is None) == (None, False)


def test_a_model_without_thoughts_is_as_before(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m", CONFIGS["llama"])
    model = load(folder)
    assert model.thoughts is None
    assert model.fingerprint == load(folder, thinking=False).fingerprint
    (found,) = model.generate(model.render([EXAMPLE], CHAT), Sampling(3))
    assert (found.thought, found.finished) == (None, True)


@pytest.mark.parametrize("wrong", [True, "yes", {"open": "<a>"}, {"open": "", "close": "b"}])
def test_no_such_marks(wrong: object) -> None:
    with pytest.raises(ValidationError):
        TransformersOptions.model_validate({"path": "x", "thinking": wrong})


# ── Arguments of the template ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("qwen3", {"enable_thinking": False}), ("gpt-oss", {"reasoning_effort": "high"})],
)
def test_arguments_reach_the_template(name: str, arguments: dict[str, Any], tmp_path: Path) -> None:
    """TOKENIZERS T9: the prompt is the library's own rendering with them, in a run and a plan."""
    folder = folder_of(FAMILIES[name], tmp_path / "m")
    model = load(folder)
    prompt = Prompt(style="chat", template_arguments=arguments)
    turns = [{"role": "user", "content": EXAMPLE.text}]
    expected = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True, **arguments
    )
    (found,) = model.render([EXAMPLE], prompt)
    assert found.text == expected
    assert found.ids != model.render([EXAMPLE], CHAT)[0].ids
    ahead = TransformersOptions(path=str(folder)).render([EXAMPLE], prompt)
    assert ahead is not None
    assert list(ahead) == [found]


def test_thinking_that_is_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TOKENIZERS T9: with the empty pair in the prompt all that is written is the answer."""
    model = load(folder_of(FAMILIES["qwen3"], tmp_path / "m"))
    prompt = Prompt(style="chat", template_arguments={"enable_thinking": False})
    tokens = model.render([EXAMPLE], prompt)
    assert tokens[0].text.endswith("<think>\n\n</think>\n\n")
    ids = [*model.tokenizer(THOUGHT, add_special_tokens=False).input_ids, 2]
    monkeypatch.setattr(model.hf, "generate", writing(ids))
    (found,) = model.generate(tokens, Sampling(len(ids)))
    assert (found.text, found.thought, found.finished) == (THOUGHT, "", True)
    assert refusals(found) is True


@pytest.mark.parametrize(
    "name", ["enable_thinkin", "messages", "add_generation_prompt", "tokenize"]
)
def test_an_argument_that_the_template_does_not_read(name: str, tmp_path: Path) -> None:
    """Jinja takes what it does not know without a word, and the prompt stays as it was."""
    model = load(folder_of(FAMILIES["qwen3"], tmp_path / "m"))
    with pytest.raises(ModelError, match=f"reads no argument '{name}'. Allowed: enable_thinking"):
        model.render([EXAMPLE], Prompt(style="chat", template_arguments={name: False}))
    with pytest.raises(ModelError, match="the prompt is plain"):
        model.render([EXAMPLE], Prompt(template_arguments={"enable_thinking": False}))
