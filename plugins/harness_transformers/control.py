"""Special tokens that data spell out, such as `<|im_end|>` in the text of a row.

A tokenizer reads them as the real ones, so a row can end its turn and forge another. They are
found and counted, and can be kept the plain text that they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.contract.prompts import OfData
from harness.errors import DataError, listed
from harness_transformers.chat import NO_ARGUMENTS, structural


@dataclass(frozen=True)
class Marks:
    """Two characters that stand around each special token of the data, and nowhere else."""

    start: str
    end: str

    @classmethod
    def outside(cls, text: str) -> Marks:
        """Two private characters that a text does not have."""
        free = (chr(code) for code in range(0xE000, 0xF900) if chr(code) not in text)
        return cls(next(free), next(free))

    def without(self, text: str) -> str:
        """A text as it was before it was marked."""
        return text.replace(self.start, "").replace(self.end, "")


@dataclass
class Spelled:
    """The special tokens that data spell out in a model's prompts: for each, the rows' ids."""

    rows: dict[str, set[str]] = field(default_factory=dict)

    def add(self, tokens: Sequence[str], row: str) -> None:
        """Counts the tokens of a row's prompt."""
        for token in tokens:
            self.rows.setdefault(token, set()).add(row)

    def note(self) -> str | None:
        """What is to be said of them; None where there are none."""
        if not self.rows:
            return None
        count = len(set[str]().union(*self.rows.values()))
        one = count == 1
        return (
            f"in the prompt{'' if one else 's'} of {count} row{'' if one else 's'} the data spell"
            f" out special tokens ({listed(sorted(self.rows), 5)}), which its tokenizer reads as"
            " real ones: a text can end its turn and forge another. For data that are not trusted,"
            " set split_special_tokens = true in the view's prompt; they are plain text then."
        )


class ControlTokens:
    """What a tokenizer reads as a special token wherever it stands in a text: every token that is
    special, and what its chat template writes around turns, given its arguments.

    `before` is a text behind which the tokenizer writes no blank before another, and its tokens.
    """

    def __init__(
        self,
        tokenizer: Any,
        before: tuple[str, list[int]] | None,
        arguments: Mapping[str, Any] = NO_ARGUMENTS,
    ) -> None:
        self._tokenizer = tokenizer
        self._before = before
        frame = "\n".join(structural(tokenizer, arguments))
        added = getattr(tokenizer, "added_tokens_decoder", {})
        # Gemma's template writes line breaks, which are added tokens, as ordinary text.
        self._known = {
            token.content: (int(number), token)
            for number, token in added.items()
            if token.special or (token.content in frame and not token.content.isspace())
        }
        longest_first = sorted(filter(None, self._known), key=len, reverse=True)
        self._any = "|".join(map(re.escape, longest_first)) or "(?!)"
        self._pattern = re.compile(self._any)

    def spelled(self, text: str) -> list[str]:
        """The control tokens in a text, in order."""
        return self._pattern.findall(text)

    def marking(self, marks: Marks) -> OfData:
        """Puts marks around each control token of a text."""
        return lambda text: self._pattern.sub(f"{marks.start}\\g<0>{marks.end}", text)

    def ids(self, text: str, marks: Marks, *, first: bool) -> tuple[int, ...]:
        """The tokens of a text in which the control tokens that are marked are plain text.

        `first`: whether the text begins its prompt. What stands between two real control tokens
        is tokenised as a whole, as the tokenizer itself does it. Raises DataError where it makes
        a control token of plain text, too.
        """
        found: list[int] = []
        for part in self._parts(text, marks):
            if isinstance(part, str):
                found += self._plain(part, marks, first=first or self._blank_behind(found))
            else:
                found.append(part)
            first = False
        return tuple(found)

    def _parts(self, text: str, marks: Marks) -> Iterator[str | int]:
        """Real control tokens, and what stands between them, with its marks."""
        begin, strips = 0, False
        for match in re.finditer(f"{marks.start}(?:{self._any})|({self._any})", text):
            if match[1] is None:
                continue  # it is marked, so it is part of a text
            number, token = self._known[match[1]]
            yield from _stripped(text[begin : match.start()], left=strips, right=token.lstrip)
            yield number
            begin, strips = match.end(), token.rstrip
        yield from _stripped(text[begin:], left=strips, right=False)

    def _plain(self, text: str, marks: Marks, *, first: bool) -> list[int]:
        """The tokens of a text without real control tokens."""

        # Tokenizers know how to split what is special. Other added tokens are cut behind their
        # first character, so that neither part is one.
        def opened(match: re.Match[str]) -> str:
            name = match[1]
            cut = not self._known[name][1].special
            return f"{name[0]}{marks.start}{name[1:]}" if cut else name

        split = marks.start in text
        text = re.sub(f"{marks.start}({self._any})", opened, text).replace(marks.end, "")
        found: list[int] = []
        for number, part in enumerate(text.split(marks.start)):
            found += self._encode(part, first=first and number == 0, split=split)
        real = {number for number, _ in self._known.values()}.intersection(found)
        if split and real:
            raise DataError(
                f"split_special_tokens: its tokenizer makes {listed(self._names(real))} of plain"
                " text, too. Leave out the rows that spell them out."
            )
        return found

    def _encode(self, text: str, *, first: bool, split: bool) -> list[int]:
        more = {"split_special_tokens": True} if split else {}

        def ids(text: str) -> list[int]:
            encoded = self._tokenizer(text, add_special_tokens=False, verbose=False, **more)
            return list(encoded.input_ids)

        if not first and self._before is not None:
            before, of_before = self._before
            found = ids(before + text)
            if found[: len(of_before)] == of_before:
                return found[len(of_before) :]
        return ids(text) if text else []

    def _blank_behind(self, found: Sequence[int]) -> bool:
        """Whether the tokenizer writes its blank before a text behind the last of these tokens."""
        if not found or self._before is None:
            return False
        (name,) = self._names({found[-1]})
        whole = self._encode(f"{name}a", first=True, split=False)
        return whole[1:] == self._encode("a", first=True, split=False)

    def _names(self, numbers: Collection[int]) -> list[str]:
        return [name for name, (number, _) in self._known.items() if number in numbers]


def _stripped(text: str, *, left: bool, right: bool) -> Iterator[str]:
    """A text without the blanks that the tokens beside it take; nothing where none is left."""
    text = text.lstrip() if left else text
    text = text.rstrip() if right else text
    if text:
        yield text
