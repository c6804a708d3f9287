"""Laws that every backend's model keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor

from harness.contract import (
    Activations,
    Arm,
    Check,
    Completion,
    Edit,
    Example,
    Model,
    OneByOne,
    Prompt,
    Receipt,
    Sampling,
    Site,
    Tokens,
)
from harness.testing.support.gradients import LAWS as GRADIENTS, differentiates
from harness.testing.support.laws import law, untried
from harness.testing.support.models import close, logits_of, rows_of
from harness.testing.support.offered import refuses, say_untried
from harness.testing.support.steady import steady_laws

LIMIT = 1e-9
"""A limit that the check of a promise is made to break."""


def check_backend(model: Model, examples: Sequence[Example], *, new_tokens: int = 6) -> None:
    """Raises AssertionError, naming the law, where a loaded model breaks one.

    `examples` are two or more texts of different lengths; completions of them have at most
    `new_tokens`. Numbers of two ways that must agree may
    differ by 1e-4 of the largest one in float32, by 5e-2 in a half precision.

    Laws about what a model does not offer (`ModelFacts.capabilities`) are not tried.

    Laws: rendering is deterministic · reading is deterministic · no hook is left on the model ·
    facts fit the activations · padding and batch change
    nothing · the order of rows does not matter · asking for more changes nothing · the residual
    stream is one stream · an arm without edits is bit-equal · an edit of nothing is bit-equal ·
    capture sees edits · rows have arms of their own · hooks are gone after an error · edited does
    not nest · receipts count what was done · checks look before edits · completions do not depend
    on the batch · greedy completions are the same again · completions run under the edits · a
    thought that never ended has no answer · what is handed over one by one is the same · a
    gradient lies beside its activation · padding has no gradient · values are those of the logits ·
    gradients do not depend on the batch · what is put in is read · gradients are slopes · gradients
    are taken under the edits · reading gradients leaves the model as it was · what is not offered
    is refused.
    """
    tokens = model.render(examples, Prompt())
    again = model.render(examples, Prompt())
    law(tokens == again, "rendering is deterministic", f"{again} after {tokens}")
    lengths = {len(t.ids) for t in tokens}
    assert len(lengths) > 1, "check_backend needs examples of different lengths"
    for t in tokens:
        inside = 0 <= t.span[0] < t.span[1] <= len(t.ids)
        law(inside, "a span lies inside its prompt", f"{t.span} of {len(t.ids)} tokens")
    offered, sampling = model.facts.capabilities, Sampling(max_new_tokens=new_tokens)
    if "activations" in offered:
        layers = model.facts.layers
        assert layers is not None, "facts fit the activations: facts.layers is None"
        site = Site("resid_post", layers // 2)
        _reading(model, tokens, site, layers)
        steady_laws(model, tokens, site)
    if "generation" in offered:
        _generating(model, tokens, sampling)
    if {"activations", "logits", "edits"} <= offered:
        _editing(model, tokens, site)
        _receipts(model, tokens, site)
        if "generation" in offered:
            _generating_edited(model, tokens, site, sampling)
    if {"activations", "logits"} <= offered:
        differentiates(model, tokens, site)
    else:
        untried("the model does not offer activations and logits", *GRADIENTS)
    refuses(model, tokens)
    say_untried(offered)


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────


def _reading(model: Model, tokens: Sequence[Tokens], site: Site, layers: int) -> None:
    whole = model.activations(tokens, [site])
    x = whole.sites[site]
    fits = x.shape[0] == len(tokens) and x.shape[2] == model.facts.width(site)
    law(fits, "facts fit the activations", f"{tuple(x.shape)} at {site} for {model.facts}")
    right = str(x.dtype).removeprefix("torch.") == model.dtype
    law(right, "activations come in the model's dtype", f"{x.dtype} from {model.dtype}")
    together = _rows(whole, tokens, site)
    alone = [_rows(model.activations([t], [site]), [t], site)[0] for t in tokens]
    close("padding and batch change nothing", model, alone, together)
    back = list(reversed(tokens))
    turned = _rows(model.activations(back, [site]), back, site)
    close("the order of rows does not matter", model, together, turned[::-1])
    stream = [Site("embed")]
    for layer in range(layers):
        stream += [Site("resid_pre", layer), Site("resid_post", layer)]
    with_logits = "logits" in model.facts.capabilities
    more = model.activations(tokens, stream[::-1], logits=with_logits)
    close("asking for more changes nothing", model, together, _rows(more, tokens, site))
    for left, entered in zip(stream[:-1:2], stream[1::2], strict=True):
        rows, others = _rows(more, tokens, left), _rows(more, tokens, entered)
        close("the residual stream is one stream", model, rows, others)
    if "logits" not in model.facts.capabilities:
        return
    logits = more.logits
    assert logits is not None, "asking for more changes nothing: no logits though asked for"
    beside = f"{tuple(logits.shape)} beside {tuple(more.sites[site].shape)}"
    same = logits.shape[:2] == more.sites[site].shape[:2]
    law(same, "logits lie beside the activations", beside)


# ── Editing ──────────────────────────────────────────────────────────────────────────────────────


def _editing(model: Model, tokens: Sequence[Tokens], site: Site) -> None:
    plain = logits_of(model, tokens)
    vectors = [_vector(model, site, seed) for seed in (1, 2)]

    def bit_equal(name: str) -> None:
        same = torch.equal(plain, logits_of(model, tokens))
        law(same, name, "logits differ from those of the untouched model")

    with model.edited([Arm("none")]):
        bit_equal("an arm without edits is bit-equal")
    zero = torch.zeros_like(vectors[0])
    with model.edited([_adding("zero", site, zero)]):
        bit_equal("an edit of nothing is bit-equal")
    bit_equal("hooks are gone after the block")

    before = _rows(model.activations(tokens, [site]), tokens, site)
    with model.edited([_adding("one", site, vectors[0])]):
        changed = _rows(model.activations(tokens, [site]), tokens, site)
        alone = logits_of(model, tokens)
    moved = [x + vectors[0].to(x) for x in before]
    close("capture sees edits", model, moved, changed)
    law(not torch.equal(plain, alone), "an edit acts", "logits are those of the untouched model")

    arms = [Arm("none"), *(_adding(f"v{i}", site, v) for i, v in enumerate(vectors))]
    mixed = [replace(t, arm=row % 3) for row, t in enumerate([*tokens, *tokens, *tokens])]
    with model.edited(arms):
        together = _rows(model.activations(mixed, [site]), mixed, site)
    added = [torch.zeros_like(vectors[0]), *vectors]
    expected = [
        x + added[t.arm].to(x) for t, x in zip(mixed, [*before, *before, *before], strict=True)
    ]
    close("rows have arms of their own", model, expected, together)

    for where, apply in (("an error inside", _add), ("an error of an edit", _breaks)):
        arm = Arm("v", (Edit(site, apply, {"v": vectors[0]}),))
        with suppress(_Boom), model.edited([arm]):
            logits_of(model, tokens)
            raise _Boom
        bit_equal(f"hooks are gone after an error ({where})")
    try:
        with model.edited([Arm("a")]), model.edited([Arm("b")]):
            raise AssertionError("edited does not nest: a second edited() inside was accepted")
    except AssertionError:
        raise
    except Exception:  # whichever error the backend uses to refuse
        pass
    bit_equal("hooks are gone after an error (nesting)")


# ── Receipts ─────────────────────────────────────────────────────────────────────────────────────


def _receipts(model: Model, tokens: Sequence[Tokens], site: Site) -> None:
    vector = _vector(model, site, 3)
    half = [replace(t, arm=row % 2) for row, t in enumerate([*tokens, *tokens])]
    promise = Check("sees", site, _length, {"v": vector}, LIMIT)
    arms = [Arm("none"), replace(_adding("v", site, vector), checks=(promise,))]
    with model.edited(arms) as receipts:
        model.activations(half, [site])
    none, edited = receipts
    law(none == Receipt("none"), "an arm without edits has an empty receipt", str(none))
    mine = [t for t in half if t.arm == 1]
    count = sum(len(t.ids) for t in mine)
    name = "receipts count what was done"
    law(edited.fired >= 1, name, f"fired {edited.fired} times")
    law(edited.tokens == count, name, f"{edited.tokens} tokens, but {count} are no padding")
    law(edited.changed == count, name, f"{edited.changed} changed, but all {count} were")
    rows = [r.double() for r in _rows(model.activations(mine, [site]), mine, site)]
    x = torch.cat(rows)
    lengths = x.norm(dim=-1)
    expected = float((vector.double().norm() / lengths).mean())
    near = edited.relative is not None and abs(edited.relative - expected) < 0.02 * expected
    law(near, name, f"relative change {edited.relative}, but it is {expected}")
    most, seen = float(lengths.max()), edited.checks.get("sees", -1.0)
    law(abs(seen - most) < 0.02 * most, "checks look before edits", f"{seen}, but it is {most}")
    law("sees" in edited.broken, "a check over its limit is broken", str(edited))
    with model.edited([_adding("nan", site, torch.full_like(vector, torch.nan))]) as receipts:
        model.activations(tokens, [site])
    law("non-finite" in receipts[0].broken, "results that are not finite are told", str(receipts))


# ── Generating ───────────────────────────────────────────────────────────────────────────────────


def _generating(model: Model, tokens: Sequence[Tokens], sampling: Sampling) -> None:
    plain = model.generate(tokens, sampling)
    law(len(plain) == len(tokens), "one completion for each prompt", str(plain))
    for completion in plain:
        fits = completion.tokens <= sampling.max_new_tokens
        law(fits, "completions keep the token limit", str(completion))
        empty = completion.finished or not completion.text
        law(empty, "a thought that never ended has no answer", str(completion))
    law(plain == model.generate(tokens, sampling), "greedy completions are the same again", "")
    if isinstance(model, OneByOne):
        handed: dict[int, Completion] = {}
        model.generate_each(tokens, sampling, handed.__setitem__)
        name = "what is handed over one by one is the same"
        law(handed == dict(enumerate(plain)), name, f"{handed}, but {plain} together")
    else:
        why = "the model has no method generate_each, and need not have one"
        untried(why, "what is handed over one by one is the same")
    # Elsewhere rounding may turn one greedy choice into another.
    if model.dtype == "float32" or "logits" not in model.facts.capabilities:
        alone = [model.generate([t], sampling)[0] for t in tokens]
        name = "completions do not depend on the batch"
        law(alone == plain, name, f"{alone} one by one, {plain} together")
    else:
        why = f"in {model.dtype}, rounding may turn one greedy choice into another"
        untried(why, "completions do not depend on the batch")


def _generating_edited(
    model: Model, tokens: Sequence[Tokens], site: Site, sampling: Sampling
) -> None:
    vector = 50 * _vector(model, site, 4)
    mixed = [replace(t, arm=row % 2) for row, t in enumerate([*tokens, *tokens])]
    with model.edited([Arm("none"), _adding("v", site, vector)]) as receipts:
        model.generate(mixed, sampling)
    mine = [t for t in mixed if t.arm == 1]
    prompts = sum(len(t.ids) for t in mine)
    most = prompts + len(mine) * (sampling.max_new_tokens - 1)
    edited = receipts[1].tokens
    what = f"{edited} tokens were edited, but there are {prompts} in prompts, {most} in all"
    law(prompts <= edited <= most, "completions run under the edits", what)
    law(receipts[0] == Receipt("none"), "completions run under the edits of their row", "")


# ── Pieces ────────────────────────────────────────────────────────────────────────────────────────


class _Boom(Exception):
    pass


def _breaks(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    raise _Boom


def _add(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return x + parameters["v"][:, None].to(x.dtype)


def _length(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    length: Tensor = x.float().norm(dim=-1)
    return length


def _adding(name: str, site: Site, vector: Tensor) -> Arm:
    return Arm(name, (Edit(site, _add, {"v": vector}),))


def _vector(model: Model, site: Site, seed: int) -> Tensor:
    width = model.facts.width(site)
    assert width is not None, f"facts fit the activations: no width at {site}"
    return torch.randn(width, generator=torch.Generator().manual_seed(seed))


def _rows(activations: Activations, tokens: Sequence[Tokens], site: Site) -> list[Tensor]:
    return rows_of(activations, activations.sites[site], tokens)
