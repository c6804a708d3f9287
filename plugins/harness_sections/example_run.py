"""A made-up run with numbers of every kind, for the samples of the sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import JSON, ClaimOutcome, FamilyOutcome, Record, Results

Axes = Mapping[str, JSON]
LAYERS = (2, 4, 5)
TUNES = ("guard", "rhyme")
DOMAINS = {"art": (2.0, -40.0), "computer science": (1.0, 5.0), "law": (1.5, -10.0)}
"""A forecast, and the change of accuracy in points."""
COMPARED: dict[str, Any] = {
    "sts": "guess",
    "before": {"experiment": "first", "direction": "none"},
    "after": {"experiment": "second", "direction": "none"},
    "evaluator": None,
}
SETTINGS = {
    "base": ("base", "web"),
    "other_data": ("base", "talk"),
    "other_model": ("chat", "talk"),
}
CHANGED: Axes = {"pair": "guard", "site": "resid_post.4", "sae": "s4"}
SAME = {"kind": "identical", "value": 1.0}


def example_run() -> Results:
    """One run: pairs by layer, fine-tunes, experiments, a forecast, features, claims and gates."""
    records = [*_pairs(), *_tunes(), *_experiments(), *_forecast(), *_clusters(), *_newness()]
    records += [*_selection(), *_together()]
    task = {
        "name": "example",
        "seed": 0,
        "models": {"base": {"path": "x"}},
        "preflight": {"data": "web"},
        "experiments": {"bypass": {}},
        "gates": {
            "kept": {"assert": "direction.norm >= 1"},
            "small": {"assert": "direction.norm <= 1"},
        },
    }
    origin = {
        "harness": "0.1.0",
        "git": None,
        "components": ["a", "b"],
        "models": {"base": {"fingerprint": "f00", "dtype": "float32"}},
        "packages": {"torch": "2"},
        "plugins": {"p": {"version": "1"}},
    }
    tables = {
        "completions": list(_completions()),
        "shift.features": _shifted(),
        "labels.own": _labels(),
        "v.hidden_shift": [{"verdict": "hidden shift at layer 2", "site": "resid_post.2"}],
        "way.points": _points(),
        "said.newness": [
            {**CHANGED, "conclusion": "new", "could_be": "", "verdict": "new at layer 4"}
        ],
        "rest.components": [
            {
                **CHANGED,
                "pc": 1,
                "share": 0.9,
                "share_of_change": 0.6,
                "mean_cosine": None,
                "feature": 7,
                "cosine": -0.3,
            }
        ],
        "chosen.candidates": _candidates(),
        "lens.tokens": [{**CHANGED, "pc": 1, "sign": "+", "rank": 1, "token": 9, "text": " sorry"}],
        "sparse.points": [
            {"sae": sae, "x": x, "y": y, "low": None, "high": 0.9, "of": "x.y@1", "unit": "share"}
            for sae, x, y in (("early", 13.0, 0.8), ("mid", 22.0, 0.7), ("late", 60.0, None))
        ],
        "families": [_member(p, at) for at, p in enumerate((1e-9, 0.03, 0.4, None))],
    }
    return Results(
        "complete", task, origin, tuple(records), tables=tables, claims=_claims(),
        families=_families(),
    )  # fmt: skip


def _candidates() -> list[Mapping[str, Any]]:
    """Two positions at two sites: one chosen, one discarded, one that passed, one undefined."""
    found = [(-1, 0, -3.0, None), (-1, 1, 0.5, "too deep"), (-2, 0, 1.5, None), (-2, 1, None, "no")]
    return [
        {
            "direction": "chosen",
            "position": position,
            "site": f"resid_pre.{layer}",
            "variant": None,
            "layer": layer,
            "token_id": 7 - position,
            "bypass": bypass,
            "induce": bypass,
            "kl": bypass and abs(bypass),
            "chosen": bypass == -3.0,
            "undefined": bypass is None,
            "discarded": why,
        }
        for position, layer, bypass, why in found
    ]


def _selection() -> Iterator[Record]:
    axes = {"direction": "chosen", "view": "chat"}
    yield _record("selected_direction.bypass", -3.0, axes, unit="log-odds", null=SAME)
    yield _record("selected_direction.token", None, axes, unit="token id")


def _record(id: str, value: float | None, axes: Axes, **more: Any) -> Record:
    """A number with an interval, or without a value and with a reason."""
    given = {
        "n": 100,
        "n_of": "tokens",
        "unit": "ratio",
        "ci": None if value is None else (value - 0.05, value + 0.05),
        "undefined": "nothing was measured" if value is None else None,
    }
    return Record(f"{id}@1", value, axes=dict(axes), **{**given, **more})


# ── Pairs of views, layer by layer ───────────────────────────────────────────────────────────────


def _pairs() -> Iterator[Record]:
    for layer in LAYERS:
        at: Axes = {"pair": "p", "data": "web", "site": f"resid_post.{layer}", "sae": f"s{layer}"}
        for id, value in (
            ("cosine.raw", 0.98),
            ("cosine.latent", 0.9),
            ("latent_overlap.topk", 0.4 + layer / 100),
            ("intersection_ratio.per_token", 0.3),
        ):
            yield _record(id, value, at, null=SAME)
        yield _record("intersection_ratio.chance", 0.02, at)
        yield _record("explained_ratio.ratio_of_means", 0.5, at)
        yield _record("cosine.share_below", 0.25, at, options={"below": 0.9})
        for percent, value in (("05", 0.5), ("25", 0.7), ("50", 0.8), ("75", 0.9), ("95", 0.95)):
            yield _record(f"cosine.quantile_{percent}", value, at)
        yield from _fits(layer)


def _fits(layer: int) -> Iterator[Record]:
    """FVU in three settings, and how much worse the others are."""
    at: Axes = {"site": f"resid_post.{layer}", "sae": f"s{layer}"}
    for number, (view, data) in enumerate(SETTINGS.values()):
        value = 0.03 + number / 20 + layer / 1000
        where = {"view": view, "data": data, "pair": data}
        yield _record("fvu.pooled", value, {**at, **where})
    options = {name: {"view": v, "data": d, "axes": {}} for name, (v, d) in SETTINGS.items()}
    for step in ("data", "model", "both"):
        axes = {**at, "analysis": "settings", "step": step}
        yield _record("fvu.degradation", 0.04, axes, options=options)
        yield _record("fvu.degradation_relative", 0.05, axes, options=options, ci=None)


def _newness() -> Iterator[Record]:
    """A written direction: few rows say no more of it than chance."""
    for k, left in ((1, 0.9), (4, 0.7), (16, 0.3)):
        for rows, value in (("decoder", left), ("random", left + 0.01), ("components", 0.1 / k)):
            yield _record("few_rows.fvu", value, {**CHANGED, "rows": rows, "k": k})
    yield _record("fvu_change.pooled", 1.3, CHANGED)
    yield _record("change_latents.woken", 3.0, CHANGED, ci=None)
    null = {"kind": "random", "value": 0.2, "q95": 0.3}
    yield _record("change_rest.max_abs_cosine", 0.3, {**CHANGED, "pc": 1}, ci=None, null=null)


# ── Fine-tunes ───────────────────────────────────────────────────────────────────────────────────


def _tunes() -> Iterator[Record]:
    for number, pair in enumerate(TUNES):
        for layer in LAYERS[:2]:
            at: Axes = {"pair": pair, "site": f"resid_post.{layer}", "sae": f"s{layer}"}
            yield from _flips(at, float(layer + number))
            yield from _components(at)
        own: Axes = {"pair": pair, "analysis": "layers", "injection": "none"}
        for layer in LAYERS[:2]:
            yield _record("layer_profile.share", layer / 6, {**own, "site": f"resid_post.{layer}"})
        yield _record("layer_profile.centre", 3.3, own)
    other = {"group": "guard", "against": "others", "analysis": "layers", "injection": "none"}
    yield _record("layer_profile.centre_difference", 0.4, other)
    overlap = {"pair": "guard", "against": "rhyme", "analysis": "tasks", "sae": "s4"}
    null = {"kind": "chance", "value": 5.5, "p": 1e-9}
    where = {**overlap, "site": "resid_post.4"}
    yield _record("flip_overlap.count", 35.0, where, null=null, options={"top": 100})
    yield _record("trajectory.change", 0.8, {"of": "cosine.raw@1", "analysis": "way"})


def _flips(at: Axes, rate: float) -> Iterator[Record]:
    tau = {"tau": 0.0}
    yield _record("flip_rate.token", rate, {**at, "injection": "none"}, options=tau)
    for k in (1, 10):
        arm = {**at, "injection": "pcs", "k": k}
        null = {"kind": "random", "value": 1.0}
        yield _record("flip_rate.token", rate, arm, options=tau)
        options = {**tau, "draws": 2}
        yield _record("flip_rate.over_random", 1 + k / 100, arm, options=options, null=null)
        for draw in range(2):
            drawn = {**at, "injection": "random", "k": k, "draw": draw}
            yield _record("flip_rate.token", 1.0 + draw, drawn, options=tau)


def _components(at: Axes) -> Iterator[Record]:
    where = {"pair": at["pair"], "site": at["site"]}
    for pc in (1, 2, 3):
        axes = {**where, "direction": "pcs", "pc": pc}
        yield _record("pc_explained_variance", 0.5 / pc, axes, ci=None)
        null = {"kind": "random", "value": 0.3, "q95": 0.4}
        axes = {**where, "sae": at["sae"], "pc": pc}
        yield _record("pc_feature_cosine.max_abs", 0.6 / pc, axes, null=null)


def _points() -> list[dict[str, Any]]:
    return [
        {
            "of": of, "series": "sae=s4", "pair": f"guard_{step}", "at": step, "value": step / 100,
            "low": step / 100 - 0.1, "high": step / 100 + 0.1, "unit": "cosine",
        }
        for of in ("cosine.raw@1", "cosine.latent@1")
        for step in (20, 50, 100)
    ]  # fmt: skip


# ── Experiments ──────────────────────────────────────────────────────────────────────────────────


def _arms() -> list[tuple[str, dict[str, JSON]]]:
    swept: list[tuple[str, dict[str, JSON]]] = [
        (name, {"k": k}) for name in ("rebuilt", "other") for k in (1, 8, 64)
    ]
    return [("none", {}), ("truth", {}), *swept, *(("chance", {"draw": d}) for d in range(3))]


def _experiments() -> Iterator[Record]:
    at: Axes = {"experiment": "bypass", "view": "chat", "data": "web", "evaluator": "words"}
    for place, (name, axes) in enumerate(_arms()):
        arm = {**at, "direction": name, **axes}
        for id in ("score", "score.verbatim", "broken_share"):
            value = None if name == "other" and place % 3 == 0 else place / 20
            yield _record(id, value, arm, n_of="prompts", unit="share")
        written = {name: one for name, one in arm.items() if name != "evaluator"}
        for id, value in (("text.tokens", 20.0), ("text.distinct_4", 0.75)):
            yield _record(id, value + place, written, n_of="prompts", unit="tokens")
        for id in ("refusal_score.rubric", "safety_score", "compliance_quality.strongreject"):
            yield _record(id, place / 20, arm, n_of="prompts", unit="share")
        yield _record("invalid_verdicts", 0.0, arm, n_of="prompts", unit="share")
        yield _record("edit.changed", 0.9, arm, unit="share")
    for name in ("rebuilt", "other"):
        for step, k in enumerate((1, 8, 64)):
            axes = {"direction": name, "k": k, "view": "chat"}
            yield _record("direction.nmse", 0.9 - step / 10, axes)
            yield _record("direction.cosine", step / 10, axes)
            null = {"kind": "chance", "value": 0.25}
            overlap = {**axes, "against": "x"}
            yield _record("feature_overlap.topk", 3.0, overlap, null=null, ci=None)
    yield _record("direction.norm", 4.6, {"direction": "truth"})
    yield _record("fvu.pooled", 0.1, {"model": "base", "data": "web", "site": "resid_post.2"})
    yield _record("agreement.share", 0.9, {"analysis": "judges", "experiment": "bypass"})


def _completions() -> Iterator[dict[str, Any]]:
    for name, axes in _arms():
        for number in range(4):
            yield {
                "experiment": "bypass", "direction": name, **axes, "example": str(number),
                "text": f"prompt {number}", "prompt": "", "completion": f"{name} {axes} {number}",
                "tokens": 1, "stopped": True, "verdicts": {"words": {"refusal": number % 2 == 0}},
            }  # fmt: skip


def _claims() -> tuple[ClaimOutcome, ...]:
    shared: dict[str, Any] = {"source": "Paper, section 5", "written": "2026-11-28T16:04:51Z"}
    held = ClaimOutcome(
        "a", "it is small", "x <= 1", "supported", 0.5, (0.4, 0.6), 1.0, 100, "prompts",
        against="random", control=0.9, difference=-0.4, difference_ci=(-0.5, -0.3),
        method="interval of the record", difference_method="interval over shared prompts",
        **shared,
    )  # fmt: skip
    late = ClaimOutcome(
        "b", "it is large", "x >= 1", "contradicted", 0.5, (0.4, 0.6), 1.0, 100, "prompts",
        late=True, method="interval of the record", **shared,
    )  # fmt: skip
    return held, late


def _families() -> tuple[FamilyOutcome, ...]:
    few = "their tests have too few draws or prompts: they come to p = 0.2 at least"
    found = FamilyOutcome(
        "moved", "features that moved", ("x.shift",), 0.05, "positive", 4, 1, 2, 0.2, 1e-9, 1, 1,
        few, 4, ("nothing moved",), written="2026-11-28T16:04:51Z",
    )  # fmt: skip
    return found, FamilyOutcome(
        "arms", "arms that do something", ("y[experiment=e]",), 0.1, "any", against="none",
        why="no y was measured.", late=True,
    )  # fmt: skip


def _member(p: float | None, at: int) -> Mapping[str, Any]:
    """A row of the table of members."""
    return {
        "family": "moved", "member": f"feature={at}", "id": "x.shift@1", "axes": "{}",
        "value": None if p is None else 0.5, "control": None, "p": p,
        "q": None if p is None else min(1.0, 4 * p), "discovery": at == 0, "out_of_reach": at == 2,
        "why": "it has no test" if p is None else None,
    }  # fmt: skip


# ── Two numbers over an axis ─────────────────────────────────────────────────────────────────────


def _together() -> Iterator[Record]:
    axes = {"analysis": "sparse", "over": "sae", "x": "l0", "y": "x.y"}
    for name, value in (("spearman", -1.0), ("pearson", None)):
        null = {"kind": "x in any order", "value": 0.0, "p": 1 / 3}
        yield _record(f"correlation_over.{name}", value, axes, null=null, n=3, ci=None)


# ── A forecast ───────────────────────────────────────────────────────────────────────────────────


def _forecast() -> Iterator[Record]:
    null = {"kind": "random dimensions", "value": 0.25}
    for domain, (forecast, points) in DOMAINS.items():
        for id in ("sts.act", "sts.icl", "sts.baseline.raw_activation"):
            yield _record(id, forecast, {"domain": domain, "analysis": "guess"}, null=null)
        name = domain.replace(" ", "_")
        moved: Axes = {"domain": name, "analysis": "held"}
        yield _record("accuracy.change", points, moved, options=COMPARED)
        for experiment, value in (("first", 0.9), ("second", 0.9 + points / 100)):
            where = {"experiment": experiment, "direction": "none", "domain": name}
            where |= {"evaluator": "exam", "task": "t"}
            yield _record("accuracy", value, where, n_of="questions", unit="share")
        advice = {"domain": domain, "analysis": "advice"}
        options = {"forecast": "sts.act", "sts": "guess"}
        yield _record("mixture.share", 1 / 3, advice, options=options, ci=None)
    for forecast in ("sts.baseline.raw_activation", "sts.act", "sts.icl"):
        for domains, n in (("extremes", 8), ("all", 14)):
            axes = {"forecast": forecast, "domains": domains, "analysis": "held"}
            for id, value in (("pearson", 0.4), ("spearman", 0.3), ("permutation_p", 0.04)):
                yield _record(f"sts.correlation.{id}", value, axes, options=COMPARED, n=n)
    axes = {"shift": "context", "space": "latents", "analysis": "guess"}
    yield _record("shift.concentration", 0.3, axes, null={"value": 0.01})


# ── Features ─────────────────────────────────────────────────────────────────────────────────────


def _clusters() -> Iterator[Record]:
    for number, sae in enumerate(("early", "mid")):
        for cluster, value in (("story", 0.1), ("refusal", 0.5 + number / 10), ("other", None)):
            at = {"analysis": "a", "sae": sae, "site": f"resid_post.{number}", "cluster": cluster}
            for id in ("flip_rate.cluster", "feature_shift.cluster"):
                yield _record(id, value, at, n_of="features", unit="share")


def _shifted() -> list[dict[str, Any]]:
    return [
        {
            "pair": "p", "sae": "mid", "site": "resid_post.4", "feature": feature,
            "delta": 1.0 - feature / 99, "z": None, "kind": "shifted, appeared",
        }
        for feature in range(8)
    ]  # fmt: skip


def _labels() -> Sequence[dict[str, Any]]:
    context = {"tokens": ["I", " am", " sorry"], "values": [0.0, 0.1, 3.0], "mark": 2, "value": 3.0}
    return [
        {
            "sae": "mid", "feature": feature, "description": f"meaning {feature}",
            "cluster": "refusal" if feature else None, "url": f"https://example.org/{feature}",
            "contexts": [context] * 2,
        }
        for feature in range(0, 8, 2)
    ]  # fmt: skip
