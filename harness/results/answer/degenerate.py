"""Template: which edits left no text behind, so that a score of it means little."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import Record, Results
from harness.results.answer.difference import difference
from harness.results.answer.pairs import percent
from harness.results.answer.sentence import Sentence
from harness.results.arms import Arms, all_arms, arm_key
from harness.results.records import grouped


def degenerate(results: Results) -> Iterator[Sentence]:
    """A sentence for each experiment with arms that write more degenerate texts than un-edited."""
    told: dict[str, Arms] = {arms.experiment: arms for arms in reversed(list(all_arms(results)))}
    for arms in reversed(told.values()):
        worse = [r for r in arms.degenerate.values() if _is_worse(arms, r)]
        if not worse:
            continue
        by_direction = grouped(worse, lambda record: str(record.axes.get("direction")))
        named = [
            _arm(mine[0]) if len(mine) == 1 else f"`{name}` ({len(mine)} arms)"
            for name, mine in by_direction.items()
        ]
        shares = [record.value or 0.0 for record in worse]
        text = (
            f"In {arms.experiment} the completions of {_listed(named)} are degenerate in "
            f"{percent(shares)} of cases ({_unedited(arms)} without an edit): "
            "their scores may say little."
        )
        yield Sentence(text, 0.45 + 0.3 * max(shares), tuple(worse))


def degenerate_note(arms: Arms, record: Record) -> str:
    """What a sentence about one arm must add where its completions are degenerate."""
    share = arms.degenerate.get(arm_key(record))
    if share is None or share.value is None or not _is_worse(arms, share):
        return ""
    return (
        f"; but {percent([share.value])} of these completions are degenerate "
        f"({_unedited(arms)} without an edit)"
    )


def _is_worse(arms: Arms, share: Record) -> bool:
    """Whether more of the arm's completions are degenerate than of the un-edited arm's."""
    before = _before(arms)
    if share.value is None or before is None or before.value is None:
        return False
    found = difference(share, before)
    return share.value > before.value if found is None else found.low > 0


def _before(arms: Arms) -> Record | None:
    return None if arms.unedited is None else arms.degenerate.get(arm_key(arms.unedited))


def _unedited(arms: Arms) -> str:
    before = _before(arms)
    value = 0.0 if before is None or before.value is None else before.value
    return percent([value])


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _arm(record: Record) -> str:
    """The arm's direction with what else tells it apart: `chat_features` at k = 1."""
    known = ("experiment", "view", "data", "evaluator", "direction")
    rest = [f"{key} = {value}" for key, value in record.axes.items() if key not in known]
    name = f"`{record.axes.get('direction')}`"
    return f"{name} at {', '.join(rest)}" if rest else name
