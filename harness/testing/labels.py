"""Laws that every source of labels keeps."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import Findings, Label, Labels, SaeFacts
from harness.testing.support.given import written
from harness.testing.support.laws import law, untried
from harness.testing.support.outcomes import is_plain


def check_labels(
    source: Labels,
    facts: SaeFacts,
    features: Sequence[int],
    findings: Findings | None = None,
    *,
    sae: str = "sae",
) -> None:
    """Raises AssertionError, naming the law, where a source of labels breaks one.

    `features` are two or more of an SAE that the task calls `sae`, at least one of them with a
    label; `findings` hold what the source reads of the run.

    Laws: something is labelled · only features that were asked for · one label for each feature ·
    labels are of the SAE that was asked for · labels are plain values with text · deterministic ·
    the order of features does not matter · asked for one feature, the same label · nothing asked,
    nothing given · notes are texts · findings are not changed.
    """
    if len(features) < 2:
        raise ValueError("check_labels: one feature has no order. Pass two or more")
    given = findings or Findings()
    if not (given.records or given.tables or given.arrays):
        untried("no sample gives `findings`", "findings are not changed")
    before = written(given)

    def ask(some: Sequence[int]) -> dict[int, Label]:
        return _described(source, sae, facts, some, given)

    first = ask(features)
    law(bool(first), "something is labelled", f"none of the features {list(features)} is")
    law(ask(features) == first, "deterministic", "asked twice, the labels differ")
    turned = ask(list(features)[::-1])
    law(turned == first, "the order of features does not matter", "reversed, the labels differ")
    for feature in features:
        alone = ask([feature])
        expected = {feature: first[feature]} if feature in first else {}
        same = alone == expected
        law(same, "asked for one feature, the same label", f"feature {feature}: {alone}")
    law(not ask([]), "nothing asked, nothing given", "without features there are labels")
    notes = source.notes
    fine = isinstance(notes, tuple) and all(isinstance(note, str) for note in notes)
    law(fine, "notes are texts", f"{notes!r:.200}")
    law(written(given) == before, "findings are not changed", "what was given is different now")


def _described(
    source: Labels, sae: str, facts: SaeFacts, features: Sequence[int], findings: Findings
) -> dict[int, Label]:
    labels = list(source.describe(sae, facts, features, findings))
    numbers = [label.feature for label in labels]
    extra = set(numbers) - set(features)
    law(not extra, "only features that were asked for", f"{sorted(extra)} were not")
    law(len(set(numbers)) == len(numbers), "one label for each feature", f"{numbers}")
    for label in labels:
        law(label.sae == sae, "labels are of the SAE that was asked for", f"{label}")
        values = [label.description, label.cluster, label.url, *map(dict, label.contexts)]
        fine = is_plain(values) and bool(label.description or label.cluster)
        law(fine, "labels are plain values with text", f"{label!r:.300}")
    return {label.feature: label for label in labels}
