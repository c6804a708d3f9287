"""Completions by transformers' `generate`; of the checkpoint's settings only the stops count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import GenerationConfig

from harness.contract import Completion, Sampling, Tokens
from harness.errors import ModelError
from harness_transformers.alike import distinct
from harness_transformers.batches import out_of_memory
from harness_transformers.cache import end
from harness_transformers.choosing import Chooser
from harness_transformers.compiled import Compiled
from harness_transformers.decoding import Loop
from harness_transformers.edits import Session
from harness_transformers.places import runs_on
from harness_transformers.sharing import Sharing
from harness_transformers.thoughts import Parting


def complete(
    hf: Any,
    tokenizer: Any,
    tokens: Sequence[Tokens],
    sampling: Sampling,
    *,
    stops: Sequence[int],
    pad: int,
    limit: int,
    session: Session | None,
    name: str,
    sharing: Sharing,
    compiled: Compiled,
    parting: Parting | None = None,
) -> list[Completion]:
    """Completions of one batch, of at most `limit` tokens each; `parting` splits off thoughts."""
    device = runs_on(hf.get_input_embeddings())
    batch = distinct(tokens, sampling, session)
    ready = sharing.ready(batch, session, device, limit)

    def written(*, static: bool) -> Loop:
        """Writes the batch: with a cache of a fixed size, or with one that grows and shrinks."""
        choose = Chooser(sampling, batch.rows, device)
        rows = len(batch.rows)
        apart = None if static else ready.apart
        loop = Loop(choose, frozenset(stops), limit, pad, rows, session, ready.fan, apart)
        config = GenerationConfig(
            max_new_tokens=limit,
            do_sample=False,
            pad_token_id=pad,
            use_cache=True,
            cache_implementation="static" if static else None,
        )
        hf.generate(
            ready.ids,
            attention_mask=ready.mask,
            generation_config=config,
            custom_generate=loop,
            **({} if static else ready.cache),
        )
        return loop

    loop = None
    if compiled.tried(edited=session is not None):
        try:
            loop = written(static=True)
        except Exception as error:  # torch says in many ways that it cannot compile
            if out_of_memory(error):
                raise
            compiled.failed(error)
    if loop is None:
        loop = written(static=False)
    for cache in ready.cache.values():
        end(cache)
    broken = set(loop.choose.broken())
    for one, row in zip(tokens, batch.of, strict=True):
        if row in broken and (session is None or not session.told_broken(one.arm)):
            raise ModelError(
                f"{name}: example {one.example}: its logits are not finite, so the"
                " completion would be made of nothing. Allowed: finite numbers. Try dtype ="
                ' "float32"; where that is not enough, the weights are too large or broken.'
            )
    done = []
    for one, row in zip(tokens, batch.of, strict=True):
        ids = loop.written[row]
        stopped = ids[-1] in stops
        # The token that ends a completion was written by the model, too.
        length, said = len(ids), ids[:-1] if stopped else ids
        if parting is None:
            text = tokenizer.decode(said, skip_special_tokens=True).strip()
            done.append(Completion(text, length, stopped))
        else:
            its = parting(one.ids, said)
            done.append(Completion(its.answer, length, stopped, its.thought, its.finished))
    return done
