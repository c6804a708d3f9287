"""Prompts as token ids: plain templates, chat templates, and demonstrations before them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from string import Formatter
from typing import Any

from harness.contract import Example, Prompt, Tokens
from harness.errors import BadRows, DataError, ModelError, listed, suggestion
from harness_transformers.ended import TooMuch, too_much
from harness_transformers.turns import check_rendered

BETWEEN = "\n\n"
"""What stands between a demonstration and what follows it, in the plain style."""


class Renderer:
    """Writes prompts for one tokenizer."""

    def __init__(self, tokenizer: Any, context: int | None, name: str) -> None:
        self._tokenizer = tokenizer
        self._context = context
        self._name = name
        self._ids: dict[str, tuple[int, ...]] = {}
        self._inner: dict[str, tuple[int, ...]] = {}
        self._before = _before(tokenizer)
        self.prefix = _prefix(tokenizer)
        """The special tokens that the tokenizer puts before every text: BOS, or none."""

    def __call__(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        """One `Tokens` for each example, in order.

        Raises BadRows with every example of which no prompt can be made, DataError for a template
        of the task that is wrong for all of them.
        """
        _layout(prompt.template)
        plain = prompt.style == "plain"
        if not plain and self._tokenizer.chat_template is None:
            raise ModelError(
                f"{self._name}: its tokenizer has no chat template. Allowed: a plain prompt, or a"
                ' tokenizer with a template (tokenizer = "…", or chat_template.jinja beside it).'
            )
        write = self._plain if plain else self._chat
        written: list[tuple[Example, list[str], list[str]]] = []
        bad: dict[int, str] = {}
        for place, example in enumerate(examples):
            try:
                pieces = write(example, prompt, prompt.demonstrations)
                query = write(example, prompt, ()) if prompt.demonstrations else pieces
                written.append((example, pieces, query))
            except DataError as error:
                bad[place] = str(error)
        self._tokenise({piece for _, *both in written for pieces in both for piece in pieces})
        out = []
        places = (place for place in range(len(examples)) if place not in bad)
        for place, (example, pieces, query) in [*zip(places, written, strict=True)]:
            try:
                out.append(self._tokens(example, pieces, query, prompt))
            except DataError as error:
                bad[place] = str(error)
        self._ids.clear()
        self._inner.clear()
        if bad:
            raise BadRows(bad)
        return out

    def _tokens(
        self, example: Example, pieces: list[str], query: list[str], prompt: Prompt
    ) -> Tokens:
        """The prompt of `pieces`; `query` are those without demonstrations."""
        plain = prompt.style == "plain"
        ids = self._join(pieces, plain)
        start = len(ids) - _common_end(ids, self._join(query, plain)) if query != pieces else 0
        if prompt.max_tokens is not None and len(ids) > prompt.max_tokens:
            pieces, ids = self._cut(example, pieces, prompt, prompt.max_tokens)
        self._check_length(example, ids, start, len(prompt.demonstrations))
        return Tokens(example.id, ids, (start, len(ids)), "".join(pieces))

    def _cut(
        self, example: Example, pieces: list[str], prompt: Prompt, most: int
    ) -> tuple[list[str], tuple[int, ...]]:
        """A prompt that is too long, with as much of its content as fits before the template's end.

        Text that ends with its content, as text that is read does, loses its end.
        """
        plain = prompt.style == "plain"
        before, content, end = _around(example, pieces, prompt)
        kept = self._ids, self._inner

        def cut(size: int) -> tuple[list[str], tuple[int, ...]]:
            shorter = [*before, content[:size], *end]
            if not plain or prompt.join == "string":
                shorter = ["".join(shorter)]
            self._tokenise(set(shorter))
            return shorter, self._join(shorter, plain)

        if not end:
            return pieces, self._join(pieces, plain)[:most]
        fits, too_long = 0, len(content)
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            if len(cut(middle)[1]) <= most:
                fits = middle
            else:
                too_long = middle
        found = cut(fits)
        self._ids, self._inner = kept
        if fits:
            return found
        if not plain and not prompt.generation_prompt:
            return pieces, self._join(pieces, plain)[:most]  # a conversation that is read
        raise DataError(
            f"example {example.id}: max_tokens = {most} leaves nothing of what is asked between"
            " the beginning and the end of its prompt. Allowed: at least as many tokens as stand"
            " around it. Raise max_tokens, or leave such rows out."
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

    def _plain(
        self, example: Example, prompt: Prompt, demonstrations: Sequence[Example]
    ) -> list[str]:
        """The pieces that are tokenised one by one."""
        pieces: list[str] = [f"{prompt.system}{BETWEEN}"] if prompt.system else []
        for demonstration in demonstrations:
            pieces += fill(prompt.template, demonstration)
            pieces += [column(demonstration, prompt.answer), BETWEEN]
        pieces += fill(prompt.template, example)
        return ["".join(pieces)] if prompt.join == "string" else pieces

    def _chat(
        self, example: Example, prompt: Prompt, demonstrations: Sequence[Example]
    ) -> list[str]:
        """The conversation as one text, with the template's own special tokens."""
        turns: list[dict[str, Any]] = []
        if prompt.system:
            turns.append({"role": "system", "content": prompt.system})
        for demonstration in demonstrations:
            turns += _turns(demonstration, prompt)
            if not demonstration.messages:
                turns.append({"role": "assistant", "content": column(demonstration, prompt.answer)})
        turns += _turns(example, prompt)
        where = f"{self._name}: {example.name}"
        try:
            text = self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=prompt.generation_prompt
            )
        except TooMuch as error:
            raise ModelError(too_much(self._name, error)) from None
        except ModelError:
            raise
        except Exception as error:  # a template may raise anything: it is a program
            roles = ", ".join(turn["role"] for turn in turns)
            raise DataError(
                f"{where}: the chat template refuses the turns {roles}"
                f" ({error}). Allowed: what the template takes; some take no system turn."
            ) from None
        check_rendered(str(text), turns, where)
        return [str(text)]

    # ── Ids ──────────────────────────────────────────────────────────────────────────────────────

    def _tokenise(self, pieces: set[str]) -> None:
        ordered = sorted(piece for piece in pieces if piece)
        if not ordered:
            return
        # verbose=False: transformers warns of long texts, which we refuse ourselves.
        encoded = self._tokenizer(ordered, add_special_tokens=False, verbose=False).input_ids
        self._ids = self._inner = dict(zip(ordered, map(tuple, encoded), strict=True))
        if self._before is not None:
            text, ids = self._before
            behind = self._tokenizer(
                [text + piece for piece in ordered], add_special_tokens=False, verbose=False
            ).input_ids
            self._inner = {
                piece: tuple(found[len(ids) :]) if found[: len(ids)] == ids else self._ids[piece]
                for piece, found in zip(ordered, behind, strict=True)
            }

    def _join(self, pieces: Sequence[str], plain: bool) -> tuple[int, ...]:
        first, *others = [piece for piece in pieces if piece] or [""]
        ids = tuple(self._ids.get(first, ()))
        ids += tuple(token for piece in others for token in self._inner[piece])
        # A chat template writes its own BOS; a plain template may have written one, too.
        if plain and ids[: len(self.prefix)] != self.prefix:
            ids = self.prefix + ids
        return ids


def _around(
    example: Example, pieces: Sequence[str], prompt: Prompt
) -> tuple[list[str], str, list[str]]:
    """A prompt's pieces before its last content, that content, and those of the template after.

    The last is empty where nothing of the template follows, or where the content is not found.
    """
    filled = fill(prompt.template, example) if not example.messages else []
    if prompt.style == "plain":
        ends_in_text = list(Formatter().parse(prompt.template))[-1][1] is None
        if len(filled) < 2 or not ends_in_text:
            return list(pieces), "", []
        content, end = filled[-2:]
        if prompt.join == "pieces":
            return list(pieces[:-2]), content, [end]
    else:
        last: object = example.messages[-1].get("content") if example.messages else "".join(filled)
        content, end = (last if isinstance(last, str) else ""), ""
    whole = "".join(pieces)
    if prompt.style == "chat":
        content = content if content in whole else content.strip()  # many templates strip it
        end = whole[whole.rfind(content) + len(content) :] if content in whole else ""
    start = len(whole) - len(end) - len(content)
    return [whole[:start]], content, [end] if content and end else []


def fill(template: str, example: Example) -> list[str]:
    """The template's literal texts and the example's columns between them, in order."""
    pieces = []
    for literal, name in _layout(template):
        if literal:
            pieces.append(literal)
        if name is not None:
            pieces.append(column(example, name))
    return pieces


def _layout(template: str) -> list[tuple[str, str | None]]:
    """The literal texts of a template, each with the name of the column that follows it."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise DataError(
            f"template {template!r}: {error}. Allowed: {{column}}; a brace is written twice."
        ) from None
    for _, name, layout, conversion in parts:
        if name is not None and (layout or conversion):
            raise DataError(f"template {template!r}: {name}: Allowed: {{column}} alone.")
    return [(literal, name) for literal, name, _, _ in parts]


def column(example: Example, name: str) -> str:
    """The text under a placeholder's name.

    `{text}` is always the example's text; `{instruction}` is, where no column has that name. A
    list of texts becomes lettered lines.
    """
    if name == "text" or (name == "instruction" and name not in example.fields):
        if example.messages and not example.text:
            raise DataError(
                f"{example.name}: it is a conversation and has no single text."
                ' Allowed: style = "chat", or a template that names one of its columns:'
                f" {listed(example.fields)}."
            )
        if any(turn.get("tool_calls") for turn in example.messages):
            raise DataError(
                f"{example.name}: its conversation calls tools, which plain text leaves out."
                ' Allowed: style = "chat". Choose it, or leave the row out.'
            )
        return example.text
    value = example.fields.get(name)
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return lettered(value)
    if value is not None:
        raise DataError(f"{example.name}: column {name!r} holds a {type(value).__name__}, no text.")
    names = {"text", *example.fields}
    empty = "is empty" if name in example.fields else "does not exist"
    raise DataError(
        f"{example.name}: column {name!r} {empty}. Allowed: {listed(names)}."
        f"{suggestion(name, names - {name})}"
    )


def lettered(options: Sequence[str]) -> str:
    """Choices of a question as lines: `A. one`, `B. other`, …, as benchmarks write them."""
    return "\n".join(f"{chr(ord('A') + i)}. {option}" for i, option in enumerate(options))


def end_of_turn(tokenizer: Any) -> int | None:
    """The special token that the chat template writes after an assistant's turn, if it does."""
    mark = "harness"
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": mark}]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    except ModelError:
        raise
    except Exception:  # no template, or one that wants other turns
        return None
    tail = str(text).rpartition(mark)[2].strip()
    ids = tokenizer(tail, add_special_tokens=False).input_ids if tail else []
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    return ids[0] if ids and ids[0] in special else None


def _turns(example: Example, prompt: Prompt) -> list[dict[str, Any]]:
    if not example.messages:
        return [{"role": "user", "content": "".join(fill(prompt.template, example))}]
    if prompt.system and example.messages[0].get("role") == "system":
        raise DataError(
            f"{example.name}: the conversation has a system turn, and so has the prompt."
            " Allowed: one of them."
        )
    # Without what is null, as transformers does, but not all of its versions: a template would
    # write the word None.
    return [{k: v for k, v in one.items() if v is not None} for one in example.messages]


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


def _common_end(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common suffix."""
    pairs = zip(reversed(a), reversed(b), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
