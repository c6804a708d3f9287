"""Cross-layer transcoders, of which one layer is read: its latents, and what they write at home."""

from __future__ import annotations

from harness.errors import ModelError, listed


def partial_note(layer: int, layers: int) -> str:
    """What a reader of the numbers should know of one layer of a cross-layer transcoder."""
    others = layers - layer - 1
    reach = f"its own and the {others} after it" if others else "its own, which is the last"
    return (
        f"layer {layer} of a cross-layer transcoder of {layers}: its latents write into {reach}, "
        "and latents of earlier layers write there, too. Decoder rows are those into its own. "
        "Nothing is summed into a reconstruction or compared with one, so the preflight does not "
        "measure how well it fits."
    )


def chosen_layer(layer: int | None, known: list[int], where: str, *, kind: str) -> int:
    """The layer that a task names; ModelError, which lists those there are, for any other.

    `kind` says what a layer is of. Where there is but one, it need not be named.
    """
    if layer is None:
        if len(known) == 1:
            return known[0]
        raise ModelError(
            f"{where}: {kind} has {len(known)} layers, and an SAE of a task is one of them. "
            f"Allowed: layer = {_spans(known)}. Write the one whose latents you want."
        )
    if layer not in known:
        raise ModelError(
            f"{where}: {kind} has no layer {layer}. Allowed: layer = {_spans(known)}. Choose one "
            "of these, or copy the missing files."
        )
    return layer


def _spans(numbers: list[int]) -> str:
    """`0 to 25`, or the numbers themselves where some are missing between them."""
    whole = numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else False
    if whole and len(numbers) > 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return listed([str(number) for number in numbers])
