"""The tokens of prompts for `harness plan`, from the tokenizer's file alone, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.contract import Example, Prompt, Tokens
from harness.errors import ModelError
from harness_transformers.bos import with_bos
from harness_transformers.chat import turn_ends
from harness_transformers.ended import TooMuch, too_much
from harness_transformers.files import read_json
from harness_transformers.render import Renderer
from harness_transformers.template import compiled, template_of


def rendered(
    folder: Path,
    context: int | None,
    where: str,
    date: str,
    examples: Sequence[Example],
    prompt: Prompt,
) -> list[Tokens] | None:
    """Prompts by the renderer of the model itself, over the tokenizer's file; None without one."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return None  # other forms need transformers to be read
    try:
        tokenizer = _file_tokenizer(folder, where, date, _state(folder))
    except (ImportError, ModelError):
        return None  # a form that only transformers understands
    if prompt.style == "chat" and tokenizer.chat_template is None:
        return None
    if prompt.tools is not None and tokenizer.has_several_templates:
        return None  # transformers takes another of them where there are tools
    return Renderer(tokenizer, context, where)(examples, prompt)


def masked(folder: Path, rows: int | None, where: str, date: str) -> frozenset[int] | None:
    """The tokens that the model of a folder never measures; None where its files do not tell.

    `rows` are those of its embedding: padding beyond them is none of its tokens.
    """
    if not (folder / "tokenizer.json").is_file():
        return None
    try:
        tokenizer = _file_tokenizer(folder, where, date, _state(folder))
    except (ImportError, ModelError):
        return None
    kinds = {kind: tokenizer.special(kind) for kind in ("bos", "eos", "pad")}
    if all(token is None for token in kinds.values()):
        return None  # what its class puts in their place, transformers alone knows
    if rows is not None and (kinds["pad"] or 0) >= rows:
        del kinds["pad"]
    return turn_ends(tokenizer).union(token for token in kinds.values() if token is not None)


@lru_cache(maxsize=2)
def _file_tokenizer(folder: Path, where: str, date: str, state: object) -> _FileTokenizer:
    """The tokenizer of a folder in a state: a large one takes seconds to read."""
    return _FileTokenizer(folder, where, date)


def _state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """When the files of a tokenizer were changed, and their sizes."""
    names = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    found = [(name, (folder / name).stat()) for name in names if (folder / name).is_file()]
    return tuple((name, its.st_mtime_ns, its.st_size) for name, its in found)


class _FileTokenizer:
    """As much of transformers' tokenizer as the renderer uses, without the seconds it takes."""

    def __init__(self, folder: Path, where: str, date: str) -> None:
        from tokenizers import Tokenizer

        self._where = where
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more precise
            raise ModelError(f"{where}: tokenizer.json cannot be read ({error}).") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        settings = folder / "tokenizer_config.json"
        self._settings = read_json(settings, where) if settings.is_file() else {}
        with_bos(self._tokenizer, self._settings, dict(_special(self._settings)).get("bos_token"))
        self.chat_template = template_of(folder, self._settings, date, where)

    is_fast = True

    @property
    def has_several_templates(self) -> bool:
        """Whether its templates have names, and one of them is used."""
        return isinstance(self._settings.get("chat_template"), list)

    def __call__(
        self,
        text: str | list[str],
        *,
        add_special_tokens: bool = True,
        verbose: bool = True,
        return_offsets_mapping: bool = False,
        split_special_tokens: bool = False,
    ) -> SimpleNamespace:
        """`input_ids` and `offset_mapping` of a text, or of several."""
        texts = [text] if isinstance(text, str) else text
        self._tokenizer.encode_special_tokens = split_special_tokens
        encoded = self._tokenizer.encode_batch(texts, add_special_tokens=add_special_tokens)
        ids, places = [one.ids for one in encoded], [one.offsets for one in encoded]
        if isinstance(text, str):
            return SimpleNamespace(input_ids=ids[0], offset_mapping=places[0])
        return SimpleNamespace(input_ids=ids, offset_mapping=places)

    def special(self, kind: str) -> int | None:
        """The number of the token for `bos`, `eos` or `pad`; None without one."""
        text = dict(_special(self._settings)).get(f"{kind}_token")
        token: int | None = None if text is None else self._tokenizer.token_to_id(text)
        return token

    @property
    def all_special_ids(self) -> list[int]:
        """The numbers of all tokens that the settings name."""
        named = (self._tokenizer.token_to_id(text) for _, text in _special(self._settings))
        return [token for token in named if token is not None]

    def get_added_vocab(self) -> Mapping[str, int]:
        """The tokens that are found in a text before it is cut into others, by text."""
        return {str(one): number for number, one in self.added_tokens_decoder.items()}

    @property
    def added_tokens_decoder(self) -> Mapping[int, Any]:
        """The tokens that are found in a text before it is cut into others, by number."""
        return dict(self._tokenizer.get_added_tokens_decoder())

    def apply_chat_template(
        self,
        turns: Sequence[Mapping[str, str]],
        *,
        tokenize: bool,
        add_generation_prompt: bool,
        **arguments: Any,
    ) -> str:
        """The conversation as text, in the same sandbox that transformers uses; ModelError for a
        template that is ended."""
        special = dict(_special(self._settings))
        given = {"tools": None, "documents": None, "add_generation_prompt": add_generation_prompt}
        try:
            run = compiled(self.chat_template or "")
            return run(**{**special, **given, **arguments}, messages=turns)
        except TooMuch as error:
            raise ModelError(too_much(self._where, error)) from None


def _special(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for kind in (kind for kind in settings if kind.endswith("_token")):
        token = settings.get(kind)
        text = token.get("content") if isinstance(token, Mapping) else token
        if isinstance(text, str):
            yield kind, text
