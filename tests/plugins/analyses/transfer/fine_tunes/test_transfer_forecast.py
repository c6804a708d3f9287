"""The analysis over fine-tunes: its numbers by hand, what is refused, and what must not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from fakes.reductions import pick
from harness.contract import JSON, Arrays, Findings, Outcome, Record
from harness.errors import DataError
from harness_analyses.transfer import ridge_probe
from harness_analyses.transfer.fine_tunes.options import TransferForecastOptions as Given
from harness_analyses.transfer.fine_tunes.transfer_forecast import TransferForecast

TUNES = ("capitals", "cures", "pirate", "sums")
DOMAINS = ("art", "health", "history", "law", "math", "music")
OWN = {"capitals": "history", "cures": "health", "sums": "math"}
HEADLINE: dict[str, Any] = {"within": "fine-tune", "samples": "others"}
STS = {"shift": "shift", "domains": "asked", "ranks": [0, 3]}
Scores = dict[tuple[str, str], float]


def changes(seed: int = 0) -> Scores:
    """|after − before| in points of each sample; all of them losses."""
    rng = np.random.default_rng(seed)
    return {(t, d): float(rng.integers(1, 60)) for t in TUNES for d in DOMAINS}


def forecasts(seed: int = 1) -> Scores:
    rng = np.random.default_rng(seed)
    return {where: float(rng.normal()) for where in changes()}


def accuracy(experiment: str, domain: str, value: float) -> Record:
    axes: dict[str, JSON] = {
        "experiment": experiment, "direction": "none", "evaluator": "exam", "domain": domain,
    }  # fmt: skip
    return Record("accuracy@1", value, 40, "questions", "share", ci_why="few", axes=axes)


def findings(
    scores: Scores | None = None, size: Scores | None = None, arrays: tuple[Arrays, ...] = ()
) -> Findings:
    scores, size = scores or forecasts(), size or changes()
    before = {domain: 0.7 + 0.03 * place for place, domain in enumerate(DOMAINS)}
    found = [accuracy("before", domain, before[domain]) for domain in DOMAINS]
    for (tune, domain), points in size.items():
        found.append(accuracy(tune, domain, before[domain] - points / 100))
    for (tune, domain), value in scores.items():
        undefined = np.isnan(value)
        found.append(Record(
            "sts.act@1", None if undefined else value, 9, "tokens", "activation", STS,
            undefined="so" if undefined else None, ci_why="few",
            axes={"analysis": f"sts_{tune}", "domain": domain.title()},
        ))  # fmt: skip
    return Findings(tuple(found), arrays=arrays)


def options(names: tuple[str, ...] = TUNES, **more: Any) -> Given:
    plan = {"draws": 100, "domains": len(DOMAINS)}
    given = {"before": {"experiment": "before"}, "permutations": 99, "plan": plan, **more}
    return Given.model_validate({"tunes": [tune(name) for name in names], **given})


def tune(name: str, **more: JSON) -> dict[str, Any]:
    own = [OWN[name]] if name in OWN else []
    return {"name": name, "sts": f"sts_{name}", "after": {"experiment": name}, "own": own, **more}


def run(found: Findings, **more: Any) -> Outcome:
    return TransferForecast(options(**more)).run(found)


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return run(findings())


def r(outcome: Outcome, **axes: Any) -> Record:
    at = {"forecast": "sts.act", "over": "fine-tunes", **HEADLINE, **axes}
    return pick(outcome, "forecast.correlation@1", **at)


def lists(scores: Scores, own: bool, tunes: tuple[str, ...] = TUNES) -> list[list[float]]:
    """For each fine-tune its values, by domain."""
    return [
        [scores[tune, domain] for domain in DOMAINS if own or OWN.get(tune) != domain]
        for tune in tunes
    ]


# ── Numbers ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("samples", ["others", "all"])
def test_r_is_scipys_with_and_without_what_a_tune_was_trained_on(
    outcome: Outcome, samples: str
) -> None:
    own = samples == "all"
    x, y = (lists(of, own) for of in (forecasts(), changes()))
    pooled = [np.concatenate(of) for of in (x, y)]
    within = [np.concatenate([np.array(row) - np.mean(row) for row in of]) for of in (x, y)]
    for name, pair in (("nothing", pooled), ("fine-tune", within)):
        found = r(outcome, within=name, samples=samples)
        assert found.value == pytest.approx(stats.pearsonr(*pair)[0], abs=1e-9)
        assert (found.n, found.clusters) == (24 if own else 21, 4)


def test_a_change_of_a_sample_is_in_points_with_its_sign(outcome: Outcome) -> None:
    found = pick(outcome, "forecast.change@1", fine_tune="sums", domain="law")
    assert found.value == pytest.approx(-changes()["sums", "law"])


def test_other_tunes_are_the_mean_of_all_but_itself(outcome: Outcome) -> None:
    rows = {(row["fine_tune"], row["domain"]): row for row in outcome.tables["samples"]}
    size = changes()
    found = rows["pirate", "history"]["sts.baseline.other_tunes"]
    assert found == pytest.approx(np.mean([size[t, "history"] for t in ("cures", "sums")]))
    within = r(outcome, forecast="sts.baseline.other_tunes", within="domain")
    assert "turned round" in (within.undefined or "")
    assert rows["pirate", "history"]["own"] is False
    assert rows["capitals", "history"]["own"] is True


def test_base_accuracy_is_the_one_before(outcome: Outcome) -> None:
    before = [0.7 + 0.03 * place for place in range(6)]
    per_tune = [[b for b, d in zip(before, DOMAINS, strict=True) if OWN.get(t) != d] for t in TUNES]
    y = lists(changes(), own=False)
    pair = [np.concatenate([np.array(row) - np.mean(row) for row in of]) for of in (per_tune, y)]
    found = r(outcome, forecast="sts.baseline.base_accuracy")
    assert found.value == pytest.approx(stats.pearsonr(*pair)[0], abs=1e-9)
    alike = r(outcome, forecast="sts.baseline.base_accuracy", within="domain")
    assert alike.undefined == "the forecast does not vary within every domain"


def test_a_difference_is_of_both_correlations(outcome: Outcome) -> None:
    rival = "sts.baseline.base_accuracy"
    found = pick(outcome, "forecast.difference@1", forecast="sts.act", against=rival,
                 over="fine-tunes", **HEADLINE)  # fmt: skip
    second = r(outcome, forecast=rival).value
    assert found.value == pytest.approx((r(outcome).value or 0) - (second or 0), abs=1e-12)


def counted(statistic: str, tokens: str, **axes: JSON) -> Arrays:
    ids, counts = np.unique([ord(c) for c in tokens], return_counts=True)
    return Arrays(statistic, axes, {"ids": ids, "counts": counts})


def test_token_overlap_is_the_share_of_the_domains_tokens() -> None:
    tunes = [tune(name, tokens=f"tokens_{name}") for name in TUNES]
    arrays = [counted(f"tokens_{t}", "abc" if t == "sums" else "abcdef") for t in TUNES]
    arrays += [counted("words", "aaxb" + "xyzuvw"[place:], domain=d)
               for place, d in enumerate(DOMAINS)]  # fmt: skip
    outcome = run(findings(arrays=tuple(arrays)), tunes=tunes, domain_tokens="words", probe=False)
    rows = {(row["fine_tune"], row["domain"]): row for row in outcome.tables["samples"]}
    # Of "aaxbxyzuvw" three in ten are known.
    assert rows["sums", "art"]["sts.baseline.token_overlap"] == pytest.approx(3 / 10)
    assert rows["sums", "music"]["sts.baseline.token_overlap"] == pytest.approx(3 / 5)


def moments(statistic: str, means: list[float], **axes: JSON) -> Arrays:
    sums = np.array([means]) * 10
    values = {
        "tokens": np.array([10]),
        "documents": np.array([5]),
        "left_sum": sums,
        "left_square": sums,
        "raw_left_sum": sums[:, :2],
        "raw_left_square": sums[:, :2],
    }
    return Arrays(statistic, axes, values)  # fmt: skip


@pytest.mark.slow
def test_shared_latents_and_the_probe_read_the_moments() -> None:
    rng = np.random.default_rng(0)
    asked = {d: rng.gamma(1, size=8) for d in DOMAINS}
    asked["art"] = np.array([9.0, 8, 7, 0, 0, 0, 0, 0])
    arrays = [moments("shift", [0, 5, 6, 7, 0, 0, 0, 0])]
    arrays += [moments("asked", list(mean), domain=d.title()) for d, mean in asked.items()]
    outcome = run(findings(arrays=tuple(arrays)))
    rows = {(row["fine_tune"], row["domain"].lower()): row for row in outcome.tables["samples"]}
    # The three most active of the training are 1, 2, 3; of art 0, 1, 2.
    assert rows["sums", "art"]["sts.baseline.shared_latents"] == 2
    kept = [d for d in DOMAINS if d != "math"]
    features = np.array([asked[d][:2] for d in kept])
    size = np.array([changes()["sums", d] for d in kept])
    expected = ridge_probe.predictions(features, size)
    found = [rows["sums", d]["sts.baseline.probe[space=raw]"] for d in kept]
    assert found == pytest.approx(list(expected))


def test_a_planted_relation_is_found_and_its_baselines_are_beaten() -> None:
    rng = np.random.default_rng(5)
    planted = {where: value + rng.normal(0, 4) for where, value in changes().items()}
    outcome = run(findings(planted))
    for over in ("fine-tunes", "either"):
        found = r(outcome, over=over)
        assert found.ci is not None
        assert found.ci[0] > 0.8
    p = {way: pick(outcome, "forecast.permutation_p@1", forecast="sts.act", exchanged=way,
                   **HEADLINE).value for way in ("apart", "together")}  # fmt: skip
    assert p["apart"] == pytest.approx(0.01)
    assert p["together"] is not None
    assert p["together"] <= 0.03


# ── Laws ─────────────────────────────────────────────────────────────────────────────────────────


def test_neither_the_order_of_fine_tunes_nor_of_domains_matters(outcome: Outcome) -> None:
    backwards = Findings(tuple(reversed(findings().records)))
    other = run(backwards, tunes=[tune(name) for name in reversed(TUNES)])
    assert outcome.tables == other.tables
    left, right = ([(x.id, x.value, x.ci, x.axes) for x in of.records] for of in (outcome, other))
    assert left == right


def test_the_power_is_there_before_and_whatever_is_measured(outcome: Outcome) -> None:
    for found in (outcome, run(Findings())):
        first = found.records[0]
        assert first.id == "forecast.power@1"
        assert first.axes["shares"] == "stated"
        assert first.value is not None
        assert first.n == 100


def test_one_fine_tune_has_no_correlation_and_says_why() -> None:
    found = TransferForecast(options(("sums",))).run(findings())
    one = r(found)
    assert one.value is None
    assert "1 fine-tune; a forecast over fine-tunes needs 2" in (one.undefined or "")
    assert found.records[0].undefined is not None


def test_two_fine_tunes_have_a_correlation_without_interval() -> None:
    one = r(TransferForecast(options(("capitals", "sums"))).run(findings()))
    assert one.value is not None
    assert (one.ci, one.ci_why) == (None, "2 fine-tunes; an interval needs 3")


def test_a_constant_forecast_is_undefined() -> None:
    one = r(run(findings(dict.fromkeys(changes(), 0.1))))
    assert one.undefined == "the forecast does not vary within every fine-tune"


def test_a_forecast_that_is_undefined_somewhere_is_none() -> None:
    one = r(run(findings({**forecasts(), ("sums", "law"): float("nan")})))
    assert one.undefined == "the forecast of sums in law is undefined"


def test_without_forecasts_or_accuracies_the_record_says_why() -> None:
    only = tuple(one for one in findings().records if one.id.startswith("accuracy"))
    for records, why in (((), "has no accuracy by domain"), (only, "made no forecast by domain")):
        (found,) = [one for one in run(Findings(records)).records if "correlation" in one.id]
        assert found.value is None
        assert why in (found.undefined or "")


def test_domains_that_do_not_fit_are_refused() -> None:
    scores = forecasts()
    del scores["sums", "law"]
    with pytest.raises(DataError, match=r"analyses\.sts_sums: sts\.act has no forecast for .*law"):
        run(findings(scores))
    more = {**forecasts(), ("sums", "magic"): 1.0}
    with pytest.raises(DataError, match="forecasts the domain magic, whose accuracy was not"):
        run(findings(more))
    with pytest.raises(DataError, match=r"tunes\.sums: own names magic"):
        run(findings(), tunes=[tune("sums") | {"own": ["magic"]}])
    with pytest.raises(DataError, match=r'statistics\.asked.*method = "token_counts"'):
        run(findings(), tunes=[tune("sums", tokens="t")], domain_tokens="asked")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"tunes": []}, "at least 1 item"),
        ({"domain_tokens": "asked"}, "the fine-tune capitals has no tokens"),
        ({"plan": {"correlation": 1.0}}, "less than 1"),
    ],
    ids=["no-fine-tune", "no-tokens", "certain"],
)
def test_options_that_make_no_sense_are_refused(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        options(**more)


def test_a_name_may_not_come_twice() -> None:
    with pytest.raises(ValidationError, match="the name sums twice"):
        options(("sums", "sums"))


def test_check_says_the_power_or_that_there_will_be_no_interval() -> None:
    (said,) = options().foresee(None)  # type: ignore[arg-type]
    assert "a true correlation of 0.5 within fine-tunes will be told from 0 with a chance" in said
    (few,) = options(("sums",)).foresee(None)  # type: ignore[arg-type]
    assert "its intervals will be undefined: it has 1 fine-tune" in few
