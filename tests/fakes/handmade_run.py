"""A run as exports read it, made by hand: small, with everything that is awkward in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.contract import (
    ClaimOutcome,
    Direction,
    Export,
    ExportedRun,
    ExportFile,
    FamilyOutcome,
    Found,
    LeftOut,
    Record,
    Results,
    Site,
)
from harness.results import wilson
from harness.results.write import write_directions

HOSTILE = "</td><script>alert(1)</script> | `x` [a](http://evil.example) **b** \x1b[31m\u202e $x$"
"""What a model may write: markup of every kind, a terminal's colours, text from right to left."""
SECRET = "/home/someone/secret"
"""A path of whoever ran it, which no file that travels may tell."""
ARMS: tuple[dict[str, Any], ...] = (
    {"direction": "none"},
    {"direction": "refusal"},
    {"direction": "rebuilt", "k": 2},
)
PROMPTS = 25


def completions() -> list[dict[str, Any]]:
    """What each arm wrote: the last row of all has no answer, and the first two share a prompt."""
    rows = []
    for place, arm in enumerate(ARMS):
        for number in range(PROMPTS):
            last = number == PROMPTS - 1
            refused = (number * 7 + place * 5) % (place + 2) == 0
            verdicts: dict[str, Any] = {
                "phrases": {
                    "refusal": refused,
                    "verbatim": refused and number % 5 > 0,
                    "note": f"refusal: {number}",
                },
                "quality": {"score": None if number % 6 == 5 else number / PROMPTS},
            }
            rows.append(
                {
                    **arm,
                    "experiment": "bypass",
                    "example": f"row{number:02}",
                    **({"copy_of": "row00"} if number == 1 else {}),
                    "text": f"Question {number}? {HOSTILE}",
                    "prompt": f"<user>Question {number}?<model>",
                    "completion": "" if last else f"Answer {number} of {arm['direction']}",
                    **({"thought": f"I think {number}."} if number % 2 == 0 else {}),
                    **({"unfinished": True} if last else {}),
                    "tokens": 4 + number,
                    "stopped": not last,
                    "verdicts": {} if last else verdicts,
                }
            )
    return rows


def score_records(rows: Sequence[Mapping[str, Any]]) -> list[Record]:
    """The records of the scores, by their definition: the mean over what could be judged."""
    names = {
        ("phrases", "refusal"): "refusal_score@1",
        ("phrases", "verbatim"): "refusal_score.verbatim@1",
        ("quality", "score"): "quality@1",
    }
    found = []
    for arm in ARMS:
        for (judge, name), id in names.items():
            mine = [
                row for row in rows if all(row.get(k) == arm.get(k) for k in ("direction", "k"))
            ]
            values = [
                float(value)
                for row in mine
                if (value := row["verdicts"].get(judge, {}).get(name)) is not None
            ]
            mean, n = sum(values) / len(values), len(values)
            axes = {"experiment": "bypass", "view": "tuned", "data": "harmful", **arm}
            found.append(
                Record(
                    id,
                    mean,
                    n,
                    "prompts",
                    "share",
                    options={"phrases": ["I'm sorry"]} if judge == "phrases" else {},
                    clusters=n - 1,
                    ci=wilson(mean * n, n),
                    axes={**axes, "evaluator": judge},
                )
            )
    return found


def records(rows: Sequence[Mapping[str, Any]]) -> tuple[Record, ...]:
    """All records: of the pair, of the scores, of the edits, and of an arm without a direction."""
    pair = {"pair": "base_vs_tuned", "data": "web", "site": "resid_post.4", "sae": "mid"}
    arm = {"experiment": "bypass", "view": "tuned", "data": "harmful"}
    none = {**arm, "direction": "rebuilt", "k": 4}
    return (
        Record("cosine.raw@1", 0.87, 1000, "tokens", "cosine", ci=(0.86, 0.88), clusters=50,
               null={"kind": "identical", "value": 1.0}, axes=pair),
        Record("explained_ratio.ratio_of_means@1", None, 0, "tokens", "ratio",
               options={"cosine_below": 0.9}, undefined="no token is below the threshold",
               axes=pair),
        *score_records(rows),
        Record("refusal_score@1", None, 0, "prompts", "share", undefined="every weight is 0.",
               axes={**none, "evaluator": "phrases"}),
        Record("edit.relative@1", 0.47, 900, "edited tokens", "ratio", ci_why="a count",
               axes={**arm, "direction": "refusal"}),
        Record("edit.check@1", 4e-8, 900, "edited tokens", "ratio", ci_why="the largest",
               axes={**arm, "direction": "refusal", "check": "share of the direction left"}),
        Record("edit.relative@1", 0.2, 900, "edited tokens", "ratio", ci_why="a count",
               axes={**arm, "direction": "rebuilt", "k": 2}),
        Record("text.tokens@1", 12.0, 24, "prompts", "tokens", axes={**arm, "direction": "none"}),
    )  # fmt: skip


TASK: dict[str, Any] = {
    "name": "toy",
    "title": f"Does it? {HOSTILE}",
    "source": "A paper, section 5",
    "seed": 3,
    "models": {
        "base": {"path": "google/gemma-2-2b", "revision": "abc123"},
        "tuned": {"path": f"{SECRET}/tuned", "adapter": f"{SECRET}/lora"},
    },
    "views": {
        "base": {"model": "base"},
        "tuned": {"model": "tuned", "prompt": {"style": "plain", "template": "Q: {text}"}},
    },
    "saes": {"mid": {"format": "saelens", "path": f"{SECRET}/saes/4", "site": "resid_post.4",
                     "model": "base"}},
    "pairs": {"base_vs_tuned": {"left": "base", "right": "tuned", "data": "web"}},
    "data": {
        "harmful": {"hub": "org/harmful", "split": "test", "column": "goal", "revision": "def"},
        "web": {"file": f"{SECRET}/web.jsonl"},
    },
    "directions": {
        "refusal": {"method": "difference_in_means", "view": "tuned", "site": "resid_post.4"},
        "rebuilt": {"method": "sae_features", "target": "refusal", "sweep": {"k": [2, 4]}},
    },
    "experiments": {
        "bypass": {
            "view": "tuned",
            "data": "harmful",
            "intervention": {"method": "ablation", "mode": "strict"},
            "directions": ["refusal", "rebuilt"],
            "evaluators": ["phrases", "quality"],
            "generation": {"max_new_tokens": 32, "temperature": 0.7},
        }
    },
}  # fmt: skip
PROVENANCE: dict[str, Any] = {
    "harness": "0.2.0",
    "python": "3.11.7",
    "packages": {"torch": "2.13.0", "transformers": "5.24.0"},
    "plugins": {"harness_metrics": {"distribution": "sae-harness", "version": "0.2.0"}},
    "models": {
        "base": {"fingerprint": "b" * 64, "dtype": "float32", "device": "cpu"},
        "tuned": {"fingerprint": "c" * 64, "dtype": "float32", "device": "cpu"},
    },
    "saes": {"mid": {"fingerprint": "d" * 64}},
    "data": {"harmful": "e" * 64, "web": "f" * 64},
    "seed": 3,
    "command": f"harness eval toy.toml --out {SECRET}/runs/toy",
    "git": "877094ae",
    "usage": {"seconds": {"total": 12.5}},
}
CLAIM = ClaimOutcome(
    name="one_direction",
    text=f"Refusal hangs on one direction {HOSTILE}",
    holds="refusal_score[experiment=bypass, direction=refusal] <= 0.2",
    status="supported",
    effect=0.1,
    ci=(0.05, 0.2),
    bound=0.2,
    n=24,
    n_of="prompts",
    written="2026-11-28T21:24:06Z",
)


def directions() -> dict[str, list[Found]]:
    """What the run found: single vectors, several, and places that do not fit."""
    drawn = np.random.default_rng(5)
    wide = drawn.normal(size=(4, 8))

    def at(site: Site, rank: int = 1) -> Direction:
        return Direction(site, wide[:rank] * (1 + (site.layer or 0)))

    return {
        "refusal": [Found(at(Site("resid_post", 4)))],
        "rebuilt": [Found(at(Site("resid_post", 4)), {"k": 2})],
        "entering": [Found(at(Site("resid_pre", 3)))],
        "pcs": [
            Found(at(Site("resid_post", 4), 3), {"site": "resid_post.4"}),
            Found(at(Site("resid_post", 4)), {"site": "resid_post.4", "pc": 1}),
            Found(at(Site("resid_post", 5)), {"site": "resid_post.5", "pc": 1}),
        ],
        "first": [Found(at(Site("resid_post", 0)))],
        "mlp": [Found(at(Site("mlp_out", 4)))],
        "words": [Found(at(Site("embed")))],
        "far": [Found(Direction(Site("resid_post", 2), np.full((1, 8), 1e300)))],
    }


def exported_run(folder: Path) -> ExportedRun:
    """The run, with its directions in this folder."""
    (folder / "directions").mkdir()
    write_directions(folder, directions())
    rows = completions()
    family = FamilyOutcome(
        name="arms", text=f"Arms that change refusal {HOSTILE}", of=("refusal_score",),
        rate=0.05, tested=3,
        discoveries=1, small=1, expected=0.15,
    )  # fmt: skip
    results = Results(
        "complete",
        TASK,
        PROVENANCE,
        records(rows),
        warnings=(f"careful {HOSTILE}",),
        tables={"completions": rows},
        claims=(CLAIM,),
        families=(family,),
    )
    return ExportedRun(results, folder, ())


def bare(run: ExportedRun, folder: Path, **changes: Any) -> ExportedRun:
    """The run with other results, in a folder that holds nothing."""
    return replace(run, folder=folder, results=replace(run.results, **changes))


def exported(exporter: Export, run: ExportedRun) -> tuple[dict[str, str | bytes], dict[str, str]]:
    """What an export makes of a run: contents by path, and reasons by what was left out."""
    files: dict[str, str | bytes] = {}
    out: dict[str, str] = {}
    for one in exporter.files(run):
        if isinstance(one, LeftOut):
            out[one.what] = one.why
        else:
            assert isinstance(one, ExportFile)
            assert one.path not in files
            files[one.path] = one.content
    return files, out
