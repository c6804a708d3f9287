"""Prompts as token ids: plain templates, chat templates, and demonstrations before them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from string import Formatter
from typing import Any

from harness.contract import Example, Prompt, PromptPart, Tokens
from harness.contract.prompts import (
    OfData,
    conversation,
    fill,
    given_beside,
    layout,
    plain_prompt,
)
from harness.errors import BadRows, DataError, ModelError, listed, suggestion
from harness_transformers import chat
from harness_transformers.control import ControlTokens, Marks, Spelled
from harness_transformers.template import arguments_of, variables_of

Mark = tuple[int, int]
"""A place in a prompt: a piece, and a character of it, which is 0 unless there is one piece."""


@dataclass(frozen=True)
class _Written:
    """A prompt as text."""

    pieces: tuple[str, ...]
    """What is tokenised one by one."""
    query: Mark = (0, 0)
    """Where the query begins."""
    parts: Mapping[PromptPart, tuple[Mark, Mark]] = field(default_factory=dict)
    """Where the parts that were asked for begin and end."""
    marks: Marks | None = None
    """What stands around the special tokens of the data, where these are to be plain text."""
    spelled: tuple[str, ...] = ()
    """The special tokens of the data that become real ones."""

    @property
    def text(self) -> str:
        """The whole, for people."""
        return self._plain("".join(self.pieces))

    @property
    def asked(self) -> str:
        """The query and what follows it."""
        number, character = self.query
        return self._plain("".join(self.pieces[number:])[character:])

    def _plain(self, text: str) -> str:
        return text if self.marks is None else self.marks.without(text)


@dataclass(frozen=True)
class _Table:
    """Pieces, tokenised."""

    first: Mapping[str, tuple[int, ...]]
    """The ids of each as the first piece of a prompt."""
    inner: Mapping[str, tuple[int, ...]]
    """The ids of each as a later piece."""
    ends: Mapping[str, Sequence[int]]
    """Of a first piece, the character behind each token, where the tokenizer tells."""

    def of(self, pieces: Sequence[str]) -> list[tuple[int, ...]]:
        """The ids of each piece of a prompt; an empty one has none, and is not its first."""
        begin = next((number for number, piece in enumerate(pieces) if piece), 0)
        tables = (self.first if number == begin else self.inner for number in range(len(pieces)))
        return [table[piece] if piece else () for table, piece in zip(tables, pieces, strict=True)]


class Renderer:
    """Writes prompts for one tokenizer."""

    def __init__(self, tokenizer: Any, context: int | None, name: str) -> None:
        self._tokenizer = tokenizer
        self._context = context
        self._name = name
        self._before = _before(tokenizer)
        self._controls: dict[str, ControlTokens] = {}
        self.prefix = _prefix(tokenizer)
        """The special tokens that the tokenizer puts before every text: BOS, or none."""
        self.spelled = Spelled()
        """The special tokens that data have spelled out so far and that became real ones."""

    def __call__(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        """One `Tokens` for each example, in order.

        Raises BadRows with every example of which no prompt can be made, DataError for a template
        of the task that is wrong for all of them.
        """
        layout(prompt.template)
        if prompt.style == "chat" and self._tokenizer.chat_template is None:
            raise ModelError(
                f"{self._name}: its tokenizer has no chat template. Allowed: a plain prompt, or a"
                ' tokenizer with a template (tokenizer = "…", or chat_template.jinja beside it).'
            )
        self._check_arguments(prompt)
        located = prompt.query or bool(prompt.demonstrations)
        ends = located or bool(prompt.places)
        rows: dict[int, _Written] = {}
        bad: dict[int, str] = {}
        for place, example in enumerate(examples):
            try:
                rows[place] = self._write(example, prompt, located=located)
            except DataError as error:
                bad[place] = str(error)
        ordinary = {piece for one in rows.values() if one.marks is None for piece in one.pieces}
        shared = self._tokenise(ordinary, None, prompt, ends=ends)
        out = []
        for place, one in rows.items():
            try:
                out.append(self._tokens(examples[place], one, shared, prompt, located=located))
            except DataError as error:
                bad[place] = str(error)
        if bad:
            raise BadRows(bad)
        for place, one in rows.items():
            if one.spelled:
                self.spelled.add(one.spelled, examples[place].id)
        return out

    def _tokens(
        self, example: Example, one: _Written, shared: _Table, prompt: Prompt, *, located: bool
    ) -> Tokens:
        """The ids of a prompt; `shared` has those of pieces without marks."""
        try:
            table = shared if one.marks is None else self._tokenise(one.pieces, one.marks, prompt)
        except DataError as error:
            raise DataError(f"{example.name}: {error}") from None
        ids = self._join(table, one.pieces, prompt)
        if prompt.max_tokens is not None and len(ids) > prompt.max_tokens:
            one, table, ids = self._cut(example, one, table, prompt, prompt.max_tokens)
        start = min(self._start(table, one, prompt, one.query), len(ids)) if located else 0
        self._check_length(example, ids, start, len(prompt.demonstrations))
        asked = one.asked if prompt.query else None
        places = {
            part: (
                min(self._start(table, one, prompt, begin), len(ids)),
                min(self._behind(table, one, prompt, end), len(ids)),
            )
            for part, (begin, end) in one.parts.items()
        }
        return Tokens(example.id, ids, (start, len(ids)), one.text, query=asked, **places)

    def _cut(
        self, example: Example, one: _Written, whole: _Table, prompt: Prompt, most: int
    ) -> tuple[_Written, _Table, tuple[int, ...]]:
        """A prompt that is too long, with as much of its content as fits before the template's end.

        `whole` has the ids of its pieces. Text that ends with its content, as text that is read
        does, loses its end.
        """
        before, content, end = self._around(example, one, prompt)

        def cut(size: int) -> tuple[_Written, _Table, tuple[int, ...]]:
            shorter = (*before, content[:size], *end)
            parts = one.parts
            if prompt.style == "chat" or prompt.join == "string":
                shorter = ("".join(shorter),)
                parts = _shortened(parts, len("".join(before)), len(content) - size)
            written = replace(one, pieces=shorter, parts=parts)
            table = self._tokenise(set(shorter), one.marks, prompt, ends=True)
            return written, table, self._join(table, shorter, prompt)

        beginning = one, whole, self._join(whole, one.pieces, prompt)[:most]
        if not end:
            return beginning
        fits, too_long = 0, len(content)
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            if len(cut(middle)[2]) <= most:
                fits = middle
            else:
                too_long = middle
        if fits:
            return cut(fits)
        if prompt.style == "chat" and not prompt.generation_prompt:
            return beginning  # a conversation that is read
        raise DataError(
            f"example {example.id}: max_tokens = {most} leaves nothing of what is asked between"
            " the beginning and the end of its prompt. Allowed: at least as many tokens as stand"
            " around it. Raise max_tokens, or leave such rows out."
        )

    def _around(
        self, example: Example, one: _Written, prompt: Prompt
    ) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
        """A prompt's pieces before its last content, that content, and those of the template after.

        The last is empty where nothing of the template follows, or the content is not found.
        """
        of_data = str if one.marks is None else self._control(prompt).marking(one.marks)
        whole = "".join(one.pieces)
        if prompt.style == "chat":
            turns = conversation(example, prompt, of_data)
            given = given_beside(example, prompt, of_data)
            found = self._place(prompt, whole, turns, len(turns) - 1, given)
            start, stop = found or (len(whole), len(whole))
        else:
            filled = fill(prompt.template, example, of_data)
            ends_in_text = list(Formatter().parse(prompt.template))[-1][1] is None
            if len(filled) < 2 or not ends_in_text:
                return one.pieces, "", ()
            if prompt.join == "pieces":
                return one.pieces[:-2], filled[-2], (filled[-1],)
            stop = len(whole) - len(filled[-1])
            start = stop - len(filled[-2])
        content, end = whole[start:stop], whole[stop:]
        return (whole[:start],), content, (end,) if content and end else ()

    def _check_arguments(self, prompt: Prompt) -> None:
        """Refuses arguments that the chat template doesn't read, which jinja would ignore."""
        columns = {"tools": prompt.tools, "documents": prompt.documents}
        given = [key for key, column in columns.items() if column is not None]
        if not prompt.template_arguments and not given:
            return
        if prompt.style == "plain":
            what = "template_arguments" if prompt.template_arguments else listed(given)
            raise ModelError(
                f"{self._name}: {what} are for a chat template, and the prompt is"
                ' plain. Allowed: style = "chat". Choose it, or leave them out.'
            )
        template = self._tokenizer.chat_template
        if isinstance(template, Mapping):
            # transformers takes the one of this name where there are tools.
            own = template.get("tool_use") if prompt.tools is not None else None
            template = own or template.get("default", "")
        try:
            known, read = arguments_of(str(template)), variables_of(str(template))
        except Exception:  # a broken template is told where it is used
            return
        for key in given:
            if key not in read:
                raise ModelError(
                    f"{self._name}: its chat template reads no {key}, so column"
                    f" {columns[key]!r} would be left out without a word. Allowed: a template that"
                    f" reads them. Leave {key} out of the view's prompt, or give such a template."
                )
        for name in prompt.template_arguments:
            if name not in known:
                raise ModelError(
                    f"{self._name}: its chat template reads no argument {name!r}. Allowed:"
                    f" {listed(known)}.{suggestion(name, known)} Leave it out, or give a template"
                    " that reads it."
                )

    def _check_length(
        self, example: Example, ids: tuple[int, ...], before: int, demonstrations: int
    ) -> None:
        if not ids:
            raise DataError(f"{example.name}: its prompt has no tokens: the text is empty.")
        if self._context is not None and len(ids) > self._context:
            what, mend = "", "Set max_tokens in the view's prompt to cut longer ones."
            if demonstrations:  # a cut at the end would cut the query
                what = f", {before} of them before the query, with its {demonstrations} examples"
                mend = "Show fewer (prompt.demonstrations.count) or shorter ones."
            raise DataError(
                f"{example.name}: its prompt has {len(ids)} tokens{what}."
                f" Allowed: {self._context}, the context of {self._name}. {mend}"
            )

    # ── Texts ────────────────────────────────────────────────────────────────────────────────────

    def _control(self, prompt: Prompt) -> ControlTokens:
        """What is a special token in such prompts: a template's arguments may let it write more."""
        key = repr(sorted(prompt.template_arguments.items()))
        if key not in self._controls:
            self._controls[key] = ControlTokens(
                self._tokenizer, self._before, prompt.template_arguments
            )
        return self._controls[key]

    def _write(self, example: Example, prompt: Prompt, *, located: bool) -> _Written:
        """The prompt as text; `located`: with the place of its query."""
        control = self._control(prompt)
        spelled: list[str] = []

        def look(text: str) -> str:
            spelled.extend(control.spelled(text))
            return text

        one = self._text(example, prompt, look, located=located)
        if not spelled:
            return one
        if not prompt.split_special_tokens:
            return replace(one, spelled=tuple(spelled))
        marks = Marks.outside("".join(one.pieces))
        marking = control.marking(marks)
        return replace(self._text(example, prompt, marking, located=located), marks=marks)

    def _text(
        self, example: Example, prompt: Prompt, of_data: OfData, *, located: bool
    ) -> _Written:
        where = f"{self._name}: {example.name}"
        if prompt.style == "plain":
            before, query = plain_prompt(example, prompt, of_data)
            if "answered" in prompt.places:
                raise DataError(
                    f"{where}: a plain prompt holds no answer of its own to measure. Allowed:"
                    ' style = "chat", and conversations that end with an answer.'
                )
            closed = len(query) > 1 and list(Formatter().parse(prompt.template))[-1][1] is None
            if prompt.join == "string":
                begin, end = (0, len("".join(before))), (0, len("".join([*before, *query])))
                end = (0, end[1] - len(query[-1])) if closed else end
                parts = {part: (begin, end) for part in prompt.places}
                return _Written(("".join([*before, *query]),), begin, parts=parts)
            begin, end = (len(before), 0), (len(before) + len(query) - closed, 0)
            parts = {part: (begin, end) for part in prompt.places}
            return _Written((*before, *query), begin, parts=parts)
        turns = conversation(example, prompt, of_data)
        given = given_beside(example, prompt, of_data)
        text = chat.written(self._tokenizer, turns, prompt, where, given)
        wanted = chat.places_wanted(turns, prompt, where, located=located)
        parts = {}
        for part, number in wanted.items():
            found = self._place(prompt, text, turns, number, given)
            if found is None:
                raise DataError(
                    f"{where}: where its last {turns[number]['role']} turn begins in the prompt"
                    " cannot be told, because the chat template writes the rest by what this turn"
                    " says, or writes it twice. Allowed: templates that write each turn as it is."
                    " Leave the row out, or give another template."
                )
            parts[part] = ((0, found[0]), (0, found[1]))
        query_begin = parts["asked"][0] if located else (0, 0)
        return _Written((text,), query_begin, parts=parts if prompt.places else {})

    def _place(
        self,
        prompt: Prompt,
        text: str,
        turns: Sequence[chat.Turn],
        number: int,
        given: Mapping[str, Any],
    ) -> tuple[int, int] | None:
        def write(turns: Sequence[chat.Turn]) -> str:
            return chat.template_writes(
                self._tokenizer,
                turns,
                {**prompt.template_arguments, **given},
                generation_prompt=prompt.generation_prompt,
            )

        return chat.place(write, text, turns, number)

    # ── Ids ──────────────────────────────────────────────────────────────────────────────────────

    def _tokenise(
        self, pieces: Collection[str], marks: Marks | None, prompt: Prompt, *, ends: bool = False
    ) -> _Table:
        ordered = sorted(piece for piece in pieces if piece)
        if not ordered:
            return _Table({}, {}, {})
        if marks is not None:
            control = self._control(prompt)
            first, inner = (
                {piece: control.ids(piece, marks, first=is_first) for piece in ordered}
                for is_first in (True, False)
            )
            return _Table(first, inner, {})
        told = ends and getattr(self._tokenizer, "is_fast", False)
        # verbose=False: transformers warns of long texts, which we refuse ourselves.
        encoded = self._tokenizer(
            ordered,
            add_special_tokens=False,
            verbose=False,
            **({"return_offsets_mapping": True} if told else {}),
        )
        first = dict(zip(ordered, map(tuple, encoded.input_ids), strict=True))
        places = encoded.offset_mapping if told else ()
        behind = {
            piece: [end for _, end in found] for piece, found in zip(ordered, places, strict=False)
        }
        if self._before is None:
            return _Table(first, first, behind)
        text, ids = self._before
        inside = self._tokenizer(
            [text + piece for piece in ordered], add_special_tokens=False, verbose=False
        ).input_ids
        inner = {
            piece: tuple(found[len(ids) :]) if found[: len(ids)] == ids else first[piece]
            for piece, found in zip(ordered, inside, strict=True)
        }
        return _Table(first, inner, behind)

    def _join(self, table: _Table, pieces: Sequence[str], prompt: Prompt) -> tuple[int, ...]:
        ids = tuple(token for one in table.of(pieces) for token in one)
        # A chat template writes its own BOS; a plain template may have written one, too.
        if prompt.style == "plain" and ids[: len(self.prefix)] != self.prefix:
            ids = self.prefix + ids
        return ids

    def _start(self, table: _Table, one: _Written, prompt: Prompt, mark: Mark) -> int:
        """The first token that has a character behind the mark."""
        return self._around_mark(table, one, prompt, mark)[0]

    def _behind(self, table: _Table, one: _Written, prompt: Prompt, mark: Mark) -> int:
        """The first token that has no character before the mark."""
        return self._around_mark(table, one, prompt, mark)[1]

    def _around_mark(
        self, table: _Table, one: _Written, prompt: Prompt, mark: Mark
    ) -> tuple[int, int]:
        """The first token that has a character behind the mark, and the first that has those
        alone: another one where the mark stands inside a token."""
        number, character = mark
        pieces = list(map(len, table.of(one.pieces)))
        begins = len(self._join(table, one.pieces, prompt)) - sum(pieces)  # a BOS of its own
        start = begins + sum(pieces[:number])
        if not character:
            return start, start
        piece = one.pieces[number]
        if piece in table.ends:
            ends = list(takewhile(character.__ge__, table.ends[piece]))
            inside = not ends or ends[-1] < character
            return start + len(ends), start + len(ends) + inside
        # Where the tokenizer tells no places: the tokens that it has before the mark alone, too.
        before = piece[:character]
        alone = self._tokenise([before], one.marks, prompt).first[before]
        pairs = zip(alone, table.first[piece], strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return start + shared, start + shared + (shared < len(alone))


def _shortened(
    parts: Mapping[PromptPart, tuple[Mark, Mark]], begin: int, less: int
) -> dict[PromptPart, tuple[Mark, Mark]]:
    """The parts of a prompt of one piece whose content from `begin` on has so many characters
    less at its end."""
    return {
        part: ((0, start), (0, end - less if end > begin else end))
        for part, ((_, start), (_, end)) in parts.items()
    }


def _prefix(tokenizer: Any) -> tuple[int, ...]:
    """What the tokenizer itself puts before a text, found by asking it."""
    bare = tokenizer("a", add_special_tokens=False).input_ids
    full = tokenizer("a").input_ids
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return tuple(full[:start])
    return ()


def _before(tokenizer: Any) -> tuple[str, list[int]] | None:
    """A text behind which pieces get no blank before them, and its tokens; None where none do.

    Tokenizers such as those of Llama 2 and Mistral write a blank before every text. Inside a
    prompt it would stand before each piece, where the prompt as text has none.
    """
    alone = list(tokenizer("a", add_special_tokens=False).input_ids)
    # What merges with nothing: a control character is a byte of its own, or unknown.
    for text in ("\x00", "\x01", "\n", "."):
        ids = list(tokenizer(text, add_special_tokens=False).input_ids)
        behind = list(tokenizer(f"{text}a", add_special_tokens=False).input_ids)
        if ids and behind[: len(ids)] == ids:
            return (text, ids) if behind[len(ids) :] != alone else None
    return None
