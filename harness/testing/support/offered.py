"""What a backend's check does about what a model does not offer: it says so, and tries refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.contract import Arm, Capability, Model, Sampling, Site, Tokens
from harness.contract.capabilities import in_words
from harness.errors import HarnessError
from harness.testing.support.laws import law, untried

_READ = (
    "reading is deterministic",
    "no hook is left on the model",
    "facts fit the activations",
    "padding and batch change nothing",
    "the order of rows does not matter",
    "asking for more changes nothing",
    "the residual stream is one stream",
)
_EDITED = (
    "an arm without edits is bit-equal",
    "an edit of nothing is bit-equal",
    "capture sees edits",
    "rows have arms of their own",
    "hooks are gone after an error",
    "edited does not nest",
    "receipts count what was done",
    "checks look before edits",
)
_WRITTEN = (
    "completions do not depend on the batch",
    "greedy completions are the same again",
    "a thought that never ended has no answer",
    "what is handed over one by one is the same",
)
_NEEDED: Mapping[frozenset[Capability], tuple[str, ...]] = {
    frozenset({"activations"}): _READ,
    frozenset({"generation"}): _WRITTEN,
    frozenset({"activations", "logits", "edits"}): _EDITED,
    frozenset({"activations", "logits", "edits", "generation"}): (
        "completions run under the edits",
    ),
}
"""Laws by what a model must offer for them to be tried."""


def say_untried(offered: frozenset[Capability]) -> None:
    """Says of the laws for which a model lacks something that they were not tried, and why."""
    for needed, laws in _NEEDED.items():
        if lacking := needed - offered:
            untried(f"the model does not offer {in_words(lacking)}", *laws)


def refuses(model: Model, tokens: Sequence[Tokens]) -> None:
    """Whatever is not offered raises an error in words, not one of Python's own."""
    name, offered = "what is not offered is refused", model.facts.capabilities
    calls: dict[Capability, Callable[[], object]] = {
        "activations": lambda: model.activations(tokens, [Site("resid_post", 0)]),
        "logits": lambda: model.activations(tokens, [], logits=True),
        "edits": lambda: model.edited([Arm("none")]).__enter__(),
        "generation": lambda: model.generate(tokens, Sampling(max_new_tokens=1)),
        "tokens": lambda: model.encode("a"),
    }
    lacking = {one: call for one, call in calls.items() if one not in offered}
    if not lacking:
        untried("the model offers everything", name)
    for what, call in lacking.items():
        try:
            call()
        except HarnessError:
            continue
        except Exception as error:
            raise AssertionError(f"law broken: {name}: {what}: {error!r}") from error
        law(False, name, f"{what} is not among the capabilities, and nothing was raised")
