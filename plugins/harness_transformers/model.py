"""A loaded transformers model, as the contract's `Model`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_with
from transformers import GenerationConfig

from harness.contract import (
    Activations,
    Arm,
    Completion,
    Example,
    ModelFacts,
    Native,
    Prompt,
    Receipt,
    Sampling,
    Site,
    ThoughtMarks,
    Tokens,
)
from harness.contract.gradients import Gradients, Scalar
from harness.errors import ModelError, UsageError
from harness.text import for_terminal
from harness_transformers.batches import (
    Batches,
    by_width,
    check_ids,
    hangs_on_width,
    padded,
    placed,
)
from harness_transformers.blocks import Layout
from harness_transformers.bos import bos_note
from harness_transformers.capture import capture
from harness_transformers.chat import end_of_turn, turn_ends
from harness_transformers.compiled import Compiled
from harness_transformers.edits import Session
from harness_transformers.generate import complete
from harness_transformers.gradients import Slopes, check_put, slopes
from harness_transformers.places import runs_on
from harness_transformers.receipts import Receipts
from harness_transformers.render import Renderer
from harness_transformers.sharing import Sharing
from harness_transformers.thoughts import Parting


class TransformersModel:
    """A causal language model.

    `hf` and `tokenizer` are transformers' own objects, for libraries that want them; what they run
    inside `edited` with a single arm is edited, too.
    """

    def __init__(
        self,
        hf: Any,
        tokenizer: Any,
        facts: ModelFacts,
        *,
        fingerprint: str,
        name: str,
        notes: Sequence[str] = (),
        marks: ThoughtMarks | None = None,
        compiled: bool = False,
    ) -> None:
        self.hf = hf
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self.date: str | None = None
        """What its chat template takes for today, where it asks; for the provenance."""
        self.origin: Mapping[str, Any] = {}
        """What else the provenance says of where its weights come from."""
        self.thoughts = marks
        """What stands around its thoughts; None of a model without them. For the provenance."""
        self._parting = Parting(tokenizer, marks) if marks is not None else None
        self._name = name
        embedding = hf.get_input_embeddings().weight
        self._rows = embedding.shape[0]
        self._input_device = runs_on(hf.get_input_embeddings())
        self.dtype = str(hf.dtype).removeprefix("torch.")
        self.device = str(self._input_device)
        layers = getattr(hf.config.get_text_config(), "num_hidden_layers", facts.layers)
        self._layout = Layout(hf, layers, name)
        self.facts = replace(
            facts,
            layers=len(self._layout.blocks) or facts.layers,
            d_model=facts.d_model or embedding.shape[1],
            d_attn_z=self._layout.d_attn_z or facts.d_attn_z,
            vocabulary=facts.vocabulary or self._rows,
            parameters=facts.parameters or sum(p.numel() for p in hf.parameters()),
            chat_template=tokenizer.chat_template is not None,
        )
        self._special = _special_ids(tokenizer, self._rows, name)
        self.masked_ids = turn_ends(tokenizer).union(self._special.values())
        inside = self._parting.turns if self._parting else frozenset()
        self._stops = _stops(hf, tokenizer, inside, name)
        note = bos_note(tokenizer)
        self._notes = (*notes, note) if note else tuple(notes)
        self._pad = self._special.get("pad", self._special.get("eos", 0))
        # generate() fills what a call leaves open from here: nothing of the checkpoint's sampling,
        # penalties or lengths may come in, neither for us nor for who else calls `hf.generate`.
        hf.generation_config = GenerationConfig(
            eos_token_id=list(self._stops) or None,
            pad_token_id=self._pad,
            bos_token_id=self._special.get("bos"),
        )
        self._renderer = Renderer(tokenizer, self.facts.context, name)
        self._batches = Batches(name, self.rest)
        self._hangs_on_width = hangs_on_width(hf)
        self._sharing = Sharing(hf, self._pad)
        self._compiled = Compiled(compiled, self._input_device, name)
        self._session: Session | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What of its files was left out, which special tokens data have spelled out so far, and
        why it is not compiled; shown as warnings of the run."""
        also = (self._renderer.spelled.note(), self._compiled.note())
        return (*self._notes, *(note for note in also if note))

    @property
    def masked(self) -> Mapping[str, int]:
        """The tokens that are never measured, for the provenance: by text, their numbers."""
        numbers = sorted(self.masked_ids)
        return dict(zip(self.tokenizer.convert_ids_to_tokens(numbers), numbers, strict=True))

    @property
    def native(self) -> Native:
        """transformers' own model and tokenizer."""
        return Native(self.hf, self.tokenizer)

    def render(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        """Prompts as token ids, with exactly the special tokens that the model expects.

        With demonstrations, `span` covers only the query, which is found by rendering the prompt
        with a mark in its place.
        """
        return self._renderer(examples, prompt)

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The tokens of a text, with or without those that the tokenizer puts around it.

        Special tokens that the text spells out become special tokens, as everywhere with
        transformers. Lone surrogates, which no tokenizer takes, become U+FFFD.
        """
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        # verbose=False: transformers warns of long texts, and what is too long the caller decides.
        ids = self.tokenizer(whole, add_special_tokens=special, verbose=False).input_ids
        return [int(token) for token in ids]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without special ones; blanks are left as the tokens have them."""
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)

    def activations(
        self, tokens: Sequence[Tokens], sites: Sequence[Site], *, logits: bool = False
    ) -> Activations:
        """One forward over the batch, stopped at the deepest site unless logits are asked for.

        Rows are padded on the right: a causal model never looks there, so no mask is needed and
        positions count from 0. On a CPU short rows among long ones are read by themselves, unless
        they are edited. A batch that does not fit the memory runs in halves.
        """
        self._check(tokens)
        self.rest()
        places = {site: self._layout.place(site) for site in sites}
        if not tokens or not (places or logits):
            return Activations({}, (0,) * len(tokens))

        common = self._common(tokens)

        def read(part: Sequence[Tokens], width: int) -> tuple[dict[Site, Tensor], Tensor | None]:
            ids, mask = padded(part, self._pad, self._input_device, left=False, width=width)
            ragged = mask.bool() if {len(t.ids) for t in part} != {width} else None
            with torch.no_grad(), self._rows_of(part, ragged):
                kept, out = capture(
                    lambda: self.hf(input_ids=ids, use_cache=False), places, to_the_end=logits
                )
            return kept, out.logits if logits else None

        def forward(part: Sequence[Tokens]) -> tuple[dict[Site, Tensor], Tensor | None]:
            lengths = [len(t.ids) for t in part]
            alike = {common: list(range(len(part)))}
            groups = alike if common else by_width(lengths, self._input_device)
            kept: dict[Site, Tensor] = {}
            out: Tensor | None = None
            for width, rows in sorted(groups.items(), reverse=True):
                its, said = read([part[row] for row in rows], width)
                for site in sites:
                    kept[site] = placed(kept.get(site), rows, its[site], len(part))
                out = out if said is None else placed(out, rows, said, len(part))
            return kept, out

        kind = "logits" if logits else "activations"
        parts = self._batches.run(kind, tokens, forward, common)
        return Activations(
            {site: _joined([kept[site] for kept, _ in parts]) for site in sites},
            (0,) * len(tokens),
            _joined([out for _, out in parts if out is not None]) if logits else None,
        )

    def gradients(
        self,
        tokens: Sequence[Tokens],
        scalar: Scalar,
        sites: Sequence[Site],
        *,
        put: Mapping[Site, Tensor] | None = None,
    ) -> Gradients:
        """One forward over the batch, and one backward down to the first of the sites.

        A batch that does not fit the memory runs in halves; a backward keeps all blocks' inner
        activations behind the first site, several times as much as a forward.
        """
        self._check(tokens)
        self.rest()
        places = {site: self._layout.place(site) for site in sites}
        given = {self._layout.place(site): h for site, h in (put or {}).items()}
        if not tokens:
            return Gradients(torch.zeros(0, dtype=torch.float64), {}, {}, ())
        longest = max(len(t.ids) for t in tokens)
        check_put(put or {}, len(tokens), longest, self._name)
        done = 0
        width = self._common(tokens)

        def work(part: Sequence[Tokens]) -> Slopes:
            nonlocal done
            ids, mask = padded(part, self._pad, self._input_device, left=False, width=width)
            ragged = mask.bool() if {len(t.ids) for t in part} != {ids.shape[1]} else None
            here = {place: h[done : done + len(part), : ids.shape[1]] for place, h in given.items()}
            with self._rows_of(part, ragged):
                found = slopes(
                    lambda: self.hf(input_ids=ids, use_cache=False),
                    part,
                    mask,
                    scalar,
                    list(dict.fromkeys(places.values())),
                    here,
                )
            done += len(part)
            return found

        parts = self._batches.run("gradients", tokens, work, width)
        return Gradients(
            torch.cat([one.values for one in parts]),
            {site: _joined([one.gradients[at] for one in parts]) for site, at in places.items()},
            {site: _joined([one.activations[at] for one in parts]) for site, at in places.items()},
            (0,) * len(tokens),
        )

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        """Completions of one batch, each under the edits of its row's arm.

        Every stop token counts: the checkpoint's, the tokenizer's and the chat template's end of
        turn. A completion ends where the context does. Sampling draws by seed and prompt, so it
        does not depend on the batch either. `Completion.tokens` counts the stop token. Of a model
        with thoughts, `Completion.text` is what follows them.
        """
        self._check(tokens)
        rows: dict[int, list[int]] = defaultdict(list)
        for row, t in enumerate(tokens):
            room = sampling.max_new_tokens
            if self.facts.context is not None:
                # The last token need not be read again, so it may lie just outside.
                room = min(room, self.facts.context - len(t.ids) + 1)
            rows[room].append(row)
        done: dict[int, Completion] = {}
        for room, members in rows.items():

            def work(part: Sequence[Tokens], limit: int = room) -> list[Completion]:
                with torch.no_grad(), self._rows_of(part, None):
                    return complete(
                        self.hf,
                        self.tokenizer,
                        part,
                        sampling,
                        stops=self._stops,
                        pad=self._pad,
                        limit=limit,
                        session=self._session,
                        name=self._name,
                        sharing=self._sharing,
                        compiled=self._compiled,
                        parting=self._parting,
                    )

            if room < 1:
                raise ModelError(
                    f"{self._name}: example {tokens[members[0]].example}: no room for a completion."
                    f" Allowed: at most {self.facts.context} prompt tokens, and max_new_tokens of"
                    " at least 1."
                )
            parts = self._batches.run("generate", [tokens[row] for row in members], work)
            done.update(zip(members, (c for part in parts for c in part), strict=True))
        return [done[row] for row in range(len(tokens))]

    def rest(self) -> None:
        """Gives back the memory of keys and values that one batch leaves to the next."""
        self._sharing.rest()

    @contextmanager
    def edited(self, arms: Sequence[Arm]) -> Iterator[Sequence[Receipt]]:
        """Everything inside runs under the edits; row by row where there are several arms.

        The receipts are complete after the block, and say inside it what was done until then. All
        hooks are gone after it, also after an error.
        A forward of someone else (`hf` called by lm-eval) is edited where there is one arm, and an
        error where there are several.
        """
        if self._session is not None:
            raise UsageError(
                f"{self._name}: edited() inside edited(). Allowed: one block at a time;"
                " give all arms to one call."
            )
        session = Session(arms, self._layout, self._name)
        receipts = Receipts(session.so_far, len(arms))
        self._session = session
        try:
            with torch.no_grad(), session.attached(self.hf):
                yield receipts
        finally:
            self._session = None
        receipts.end(session.receipts())

    def _common(self, tokens: Sequence[Tokens]) -> int:
        """The width that all rows of a batch must have, in whatever parts they are read; 0 where
        each may have its own. Parameters of an edit may have an axis of the batch's positions."""
        together = self._session is not None or self._hangs_on_width
        return max(len(t.ids) for t in tokens) if together else 0

    def _rows_of(self, part: Sequence[Tokens], mask: Tensor | None) -> Any:
        if self._session is None:
            return nullcontext()
        return self._session.batch(tuple(t.arm for t in part), mask)

    def _check(self, tokens: Sequence[Tokens]) -> None:
        check_ids(tokens, self._rows, self._session.arms if self._session else None, self._name)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """One batch from several, padded to the longest."""
    if len(parts) == 1:
        return parts[0]
    width = max(part.shape[1] for part in parts)
    return torch.cat([pad_with(part, (0, 0, 0, width - part.shape[1])) for part in parts])


def _special_ids(tokenizer: Any, rows: int, name: str) -> dict[str, int]:
    """BOS, EOS and padding, as far as the tokenizer has them."""
    found = {}
    for kind in ("bos", "eos", "pad"):
        token = getattr(tokenizer, f"{kind}_token_id", None)
        if token is None:
            continue
        if token >= rows and kind == "pad":
            continue  # padding is never read, so any token will do
        if token >= rows:
            raise ModelError(
                f"{name}: the tokenizer's {kind} token is number {token}, but the embedding has"
                f" {rows} rows. Give this model's own tokenizer."
            )
        found[kind] = int(token)
    return found


def _stops(hf: Any, tokenizer: Any, inside: Set[int], name: str) -> tuple[int, ...]:
    """Every token that ends a completion. `inside`: those that end its parts alone."""
    given = getattr(hf.generation_config, "eos_token_id", None)
    told = [*given] if isinstance(given, (list, tuple)) else [given]
    if odd := [one for one in told if one is not None and type(one) is not int]:
        raise ModelError(
            f"{name}: its generation_config.json or config.json says that eos_token_id is"
            f" {for_terminal(repr(odd[0]), 100)}. Allowed: the number of a token, or a list of"
            " them. Mend the file, or copy it again."
        )
    stops = {*told, tokenizer.eos_token_id, *({end_of_turn(tokenizer)} - inside)}
    return tuple(sorted(int(token) for token in stops if token is not None))
