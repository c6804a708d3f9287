"""Says whether two models differ, and how far they are apart."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import Record, Results
from harness.results.answer.profile import Profile, percent, profiles
from harness.results.answer.sentence import Sentence
from harness.results.numbers import format_number
from harness.results.records import named


def how_far(results: Results) -> Iterator[Sentence]:
    """One sentence for each pair: nothing differs, only what is predicted does, or how far."""
    for profile in profiles(results):
        if profile.steps:
            kl = _kl(results, profile)
            records = tuple(step.moved for step in profile.steps)
            yield Sentence(_text(profile, kl), 1.0, records + ((kl,) if kl else ()))


def _kl(results: Results, profile: Profile) -> Record | None:
    found = [
        record
        for record in named(results.records, "kl.next_token")
        if record.axes.get("pair") == profile.pair and "domain" not in record.axes
    ]
    return found[0] if found else None


def _text(profile: Profile, kl: Record | None) -> str:
    left, right = profile.left, profile.right
    tokens = f"{profile.steps[0].moved.n:,} tokens"
    predicted = None if kl is None else kl.value
    if any(step.moved.value is None for step in profile.steps):
        why = profile.steps[0].moved.undefined or "not all sites were measured"
        return f"Whether {left} and {right} differ is not known: {why}."
    if profile.first is None and not all(step.equal for step in profile.steps):
        least = max(step.size.value or 0.0 for step in profile.steps)
        return (
            f"{left} and {right} differ by rounding alone: by at most {least:.1g} of the length of "
            f"an activation, on {tokens} (a block that is computed in another order differs so)."
        )
    if profile.first is None:
        sites = f"at all {len(profile.steps)} sites" if len(profile.steps) > 1 else "at one site"
        if predicted:
            return (
                f"{left} and {right} have equal activations {sites}, on all {tokens}; only what "
                f"they predict differs (KL {format_number(predicted)} nats per token): what "
                "changed lies behind the last block, in the final norm or the unembedding."
            )
        more = "" if predicted is None else ", and so is what they predict"
        return (
            f"Nothing differs: on all {tokens}, {sites}, the activations of both models are "
            f"equal, bit for bit{more}."
        )
    most = max(profile.steps, key=lambda step: step.size.value or 0.0)
    away = (
        f"; next-token predictions by {format_number(predicted)} nats (KL)"
        if predicted is not None
        else ""
    )
    return (
        f"{left} and {right} differ: activations by up to {percent(most.size.value)} of their "
        f"length ({most.site}, {tokens}){away}."
    )
