"""What a model can be asked for: not every backend gives activations, or can be edited.

A backend says what it offers in `ModelFacts.capabilities`; options say what they need of models. So
`harness check` refuses what cannot be done, before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

Capability = Literal["activations", "logits", "edits", "generation", "gradients", "tokens"]
"""What a model may offer.

| capability | what the model has |
|---|---|
| `activations` | `Model.activations` at its sites |
| `logits` | `Model.activations(…, logits=True)` |
| `edits` | `Model.edited` |
| `generation` | `Model.generate` |
| `gradients` | `Differentiable.gradients` |
| `tokens` | `Model.encode`, `Model.decode`, and `Tokens.ids` that are its own tokens |
"""

ALL: frozenset[Capability] = frozenset(get_args(Capability))

USUAL: frozenset[Capability] = ALL - {"gradients"}
"""What a backend offers that does not say it: everything that `Model` has."""

WRITES: frozenset[Capability] = frozenset({"generation"})
"""What a model offers that answers prompts and shows nothing of itself, such as one behind a
server."""


def in_words(capabilities: Iterable[Capability]) -> str:
    """Capabilities for a message, in the order in which the contract lists them."""
    wanted = set(capabilities)
    found = [one for one in get_args(Capability) if one in wanted]
    if len(found) < 2:
        return "".join(found) or "nothing"
    return f"{', '.join(found[:-1])} and {found[-1]}"
