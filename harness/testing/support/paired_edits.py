"""Laws of interventions whose edits depend on what another view has at each token."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from harness.contract import Arm
from harness.testing.support.edits import close, kept_shape, same_bits, stacked
from harness.testing.support.laws import law

Arms = Callable[[Tensor], Sequence[Arm]]
"""The arms of a batch, from the other view's activations: Float[Tensor, "rows pos d_site"]."""


def paired_laws(arms: Arms, x: Tensor, beside: Tensor) -> None:
    """The laws of edits of x, one arm for each row, beside the other view's activations.

    A law is broken, too, where nothing is changed by arms that are neither idle nor gated.
    """
    given = beside.clone()
    made = arms(beside)
    law(same_bits(beside, given), "does not modify its input", "the other view's activations")
    what = f"{len(made)} arms for {len(beside)} rows"
    law(len(made) == len(beside), "each row has an arm", what)
    sites = {tuple(edit.site for edit in arm.edits) for arm in made}
    law(len(sites) == 1, "the arms of a batch edit the same sites", f"they edit {sites}")
    calls = [[edit.apply for edit in arm.edits] for arm in made]
    what = "the `apply` of its edits differ by row, so that rows cannot share a call"
    law(all(one == calls[0] for one in calls), "parameters stack", what)
    whole = _edited(made, x)
    meant = any(arm.idle or arm.gated for arm in made)
    name = "an arm that is not idle changes something"
    law(meant or not same_bits(whole, x), name, f"in {x.dtype} no edit changed an activation")

    for row in range(len(x)):
        alone = _edited(arms(beside[row : row + 1]), x[row : row + 1])
        close("rows do not influence each other", f"row {row}", alone, whole[row : row + 1])
    for end in range(1, x.shape[1]):
        first = _edited(arms(beside[:, :end]), x[:, :end])
        name = "positions do not influence each other"
        close(name, f"the first {end}", first, whole[:, :end])
        padded = beside.clone()
        padded[:, end:] = 1e4  # padding on the right may be anything
        kept = _edited(arms(padded), x)[:, :end]
        close("padding of the other view is not read", f"the first {end}", kept, whole[:, :end])


def paired_identity(arms: Arms, x: Tensor, beside: Tensor) -> None:
    """At strength 0 every arm says that it is idle, and changes no bit."""
    name, made = "strength 0 is the identity", arms(beside)
    law(all(arm.idle for arm in made), name, "an arm does not say that it is idle")
    law(same_bits(_edited(made, x), x), name, f"in {x.dtype} a bit changed")


def _edited(arms: Sequence[Arm], x: Tensor) -> Tensor:
    """x under the edits of its rows' arms, one edit after another, rows together."""
    for edits in zip(*(arm.edits for arm in arms), strict=True):
        x = kept_shape(edits[0], stacked([edit.parameters for edit in edits]), x)
    return x
