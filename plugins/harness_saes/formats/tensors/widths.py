"""Which way round the matrices of a file lie, by their shapes; pure, and never a guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.errors import ModelError

EncoderFirst = Literal["input", "latents"]
DecoderFirst = Literal["latents", "output"]
Shape = tuple[int, ...]
PER_LATENT = ("b_enc", "threshold", "b_gate", "b_mag", "r_mag")
"""Vectors of `LinearSae` with one number for each latent."""
_ENCODER = (
    'Write encoder_first = "input" for [d_in, d_sae], which x @ W takes, or "latents" for '
    "[d_sae, d_in], as torch's Linear has it."
)
_DECODER = (
    'Write decoder_first = "latents" for [d_sae, d_out], whose rows are directions, or "output" '
    "for [d_out, d_sae], as torch's Linear has it."
)


@dataclass(frozen=True)
class Widths:
    """How wide an SAE is, and which of its matrices a file has transposed."""

    d_in: int
    d_sae: int
    d_out: int
    turned: frozenset[str]
    """Of W_enc and W_dec, those that the file does not have as `LinearSae` takes them."""


def widths(
    shapes: Mapping[str, Shape],
    encoder_first: EncoderFirst | None,
    decoder_first: DecoderFirst | None,
    *,
    transcodes: bool,
    where: str,
    called: Mapping[str, str],
) -> Widths:
    """The widths of an SAE from the shapes of its tensors, by their names in `LinearSae`.

    What the task says of an axis is taken. Otherwise the side of W_enc that is as long as a
    vector with a number for each latent is d_sae; without such a vector, the side that is not as
    long as b_dec (of an SAE), or the one that W_dec shares (of a transcoder). ModelError where
    that is not decided, as for a square matrix. `called` are the names in the file, for messages.
    """
    for name in ("W_enc", "W_dec"):
        if len(shapes[name]) != 2:
            raise ModelError(
                f"{where}: {called[name]} is {list(shapes[name])}. Expected a matrix: it is named "
                f"as the {'encoder' if name == 'W_enc' else 'decoder'}. Name another tensor."
            )
    d_sae = _latents(shapes, encoder_first, transcodes, where, called)
    first, second = shapes["W_enc"]
    turned = first == d_sae and (second != d_sae or encoder_first == "latents")
    d_in = second if turned else first
    rows, columns = shapes["W_dec"]
    told = decoder_first or _decoder(rows, columns, d_sae, where, called)
    d_out = columns if told == "latents" else rows
    flipped = {"W_enc"} if turned else set()
    flipped |= {"W_dec"} if told == "output" else set()
    return Widths(d_in, d_sae, d_out, frozenset(flipped))


def _latents(
    shapes: Mapping[str, Shape],
    told: EncoderFirst | None,
    transcodes: bool,
    where: str,
    called: Mapping[str, str],
) -> int:
    """d_sae."""
    sides = shapes["W_enc"]
    if told is not None:
        return sides[1] if told == "input" else sides[0]
    encoder = f"{where}: {called['W_enc']} is {list(sides)}"
    if sides[0] == sides[1]:
        raise ModelError(
            f"{encoder}, which is square, so its shape does not tell which axis counts latents. "
            f"{_ENCODER}"
        )
    for name in PER_LATENT:
        (length,) = shapes[name] if len(shapes.get(name, ())) == 1 else (1,)
        if length > 1 and length not in sides:
            raise ModelError(
                f"{encoder}, and {called[name]} has {length} numbers. Expected as many as one side "
                "of the matrix: one for each latent. Name other tensors."
            )
        if length in sides and length > 1:
            return length
    bias = shapes.get("b_dec", ())
    if not transcodes and len(bias) == 1 and bias[0] in sides:
        return sides[1] if bias[0] == sides[0] else sides[0]
    shared = set(sides) & set(shapes["W_dec"])
    if transcodes and len(shared) == 1:
        return shared.pop()
    raise ModelError(
        f"{encoder}, and no tensor that is named tells which axis counts latents. {_ENCODER}"
    )


def _decoder(
    rows: int, columns: int, d_sae: int, where: str, called: Mapping[str, str]
) -> DecoderFirst:
    """What the first axis of the decoder counts."""
    decoder = f"{where}: {called['W_dec']} is {[rows, columns]}"
    if rows == columns == d_sae:
        raise ModelError(
            f"{decoder}, which is square, so its shape does not tell which axis counts latents. "
            f"{_DECODER}"
        )
    if d_sae not in (rows, columns):
        raise ModelError(
            f"{decoder}. Expected a side of {d_sae}, the number of latents by {called['W_enc']}. "
            "Name another tensor, or say which way round the encoder lies (encoder_first)."
        )
    return "latents" if rows == d_sae else "output"
