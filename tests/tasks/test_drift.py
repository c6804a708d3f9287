"""What the drift and the diagnosis task promise of the organism, as a user runs them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

import harness
from harness.cli.main import main
from harness.contract import Record
from harness.results.read import Results

TASKS = Path(__file__).parents[2] / "tasks"
DRIFT, DIAGNOSIS = TASKS / "drift.toml", TASKS / "diagnosis.toml"
SITES = ("resid_post.2", "resid_post.4", "resid_post.5")
MIDDLE = SITES[1]
SMALL = """
extends = "{drift}"
preflight = false
[data.web]
limit = 40
[data.conversations]
limit = 12
[statistics.features]
delta = 0.005
"""
"""The same task in a second, for what needs several runs."""
IDENTICAL = """
extends = "small.toml"
[models.chat]
path = "{base}"
[views]
chat_turns = false
[pairs]
conversations = false
web.expect = "same"
[data]
conversations = false
[analyses]
fvu_settings = false
[metrics]
fvu_conversations = false
explained_ratio_everywhere = {{ method = "explained_ratio", pair = "web" }}
intersection_ratio_everywhere = {{ method = "intersection_ratio", pair = "web" }}
"""
pytestmark = pytest.mark.slow


def run(task: Path, out: Path, *more: str) -> Results:
    assert main(["eval", str(task), "--out", str(out), *more]) == 0
    return harness.load_results(out)


@pytest.fixture(scope="module")
def drift(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run(DRIFT, tmp_path_factory.mktemp("drift") / "run")


@pytest.fixture(scope="module")
def diagnosed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("diagnosis") / "run"
    run(DIAGNOSIS, out)
    return out


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.toml").write_text(SMALL.format(drift=DRIFT))
    base = TASKS / "organism" / "base"
    (folder / "identical.toml").write_text(IDENTICAL.format(base=base))
    return folder


@pytest.fixture(scope="module")
def few(small: Path) -> Results:
    return run(small / "small.toml", small / "few")


def number(results: Results, id: str, **axes: str) -> float:
    value = results.value(id, **axes)
    assert value is not None
    return value


def found(results: Results, start: str) -> list[Record]:
    """Records of one kind; there must be some."""
    records = [record for record in results.records if record.id.startswith(start)]
    assert records, start
    return records


# ── drift.toml ───────────────────────────────────────────────────────────────────────────────────


def test_every_site_has_every_number(drift: Results) -> None:
    ids = (
        "cosine.raw", "cosine.latent", "cosine.recon", "cosine.share_below", "cosine.quantile_50",
        "explained_ratio.ratio_of_means", "explained_ratio.mean_of_ratios",
        "intersection_ratio.per_token", "intersection_ratio.micro", "intersection_ratio.chance",
        "latent_overlap.topk", "l1_divergence.normalized", "filtered_share",
        "feature_shift.shifted", "feature_shift.appeared",
    )  # fmt: skip
    for site in SITES:
        for id in ids:
            assert drift.value(id, site=site) is not None, (id, site)
        for view in ("base", "chat"):
            assert drift.value("l0", pair="web", site=site, view=view) == 32
    assert drift.value("kl.next_token") is not None


def test_the_papers_picture_at_the_middle_site(drift: Results) -> None:
    share = number(drift, "cosine.share_below", site=MIDDLE)
    assert 0.05 < share < 0.40
    assert number(drift, "filtered_share", site=MIDDLE) == pytest.approx(share)
    assert 0.2 < number(drift, "explained_ratio.ratio_of_means", site=MIDDLE) < 0.8
    ratio = number(drift, "intersection_ratio.per_token", site=MIDDLE)
    assert 0.1 < ratio < 0.6
    assert ratio > 3 * number(drift, "intersection_ratio.chance", site=MIDDLE)


def test_an_sae_explains_less_on_other_text_and_less_in_the_other_model(drift: Results) -> None:
    settings = (("base", "web"), ("base", "conversations"), ("chat_turns", "conversations"))
    for site in SITES:
        values = [
            number(drift, "fvu.pooled", site=site, pair=data, view=view) for view, data in settings
        ]
        assert values[0] < 0.05
        assert all(later > earlier for earlier, later in pairwise(values))
        for step, rise in (("data", values[1] - values[0]), ("both", values[2] - values[0])):
            assert drift.value("fvu.degradation", site=site, step=step) == pytest.approx(rise)


def test_cosine_is_higher_than_overlap_at_every_site(drift: Results) -> None:
    for site in SITES:
        cosine, overlap = (number(drift, id, site=site) for id in (
            "cosine.raw", "latent_overlap.topk"))  # fmt: skip
        assert cosine > overlap + 0.25


def test_the_table_of_features_has_meanings(drift: Results) -> None:
    tables = [rows for name, rows in drift.tables.items() if name.startswith("features.")]
    assert {row["site"] for rows in tables for row in rows} == set(SITES)
    assert all(drift.tables[f"labels.{sae}"] for sae in ("early", "mid", "late"))


def test_two_runs_give_the_same_records(small: Path, few: Results) -> None:
    again = run(small / "small.toml", small / "again")
    assert again.records == few.records


def test_batches_and_shards_decide_nothing(small: Path, few: Results) -> None:
    sizes = ("--set", "batch.activations=3", "--set", "batch.shard=500")
    other = run(small / "small.toml", small / "sizes", *sizes)
    assert [(r.id, r.options, r.axes, r.n) for r in other.records] == [
        (r.id, r.options, r.axes, r.n) for r in few.records
    ]
    for one, two in zip(few.records, other.records, strict=True):
        assert two.undefined == one.undefined
        ends = [
            pytest.approx(v, rel=1e-6, abs=1e-6)
            for v in (one.value, *(one.ci or ()))
            if v is not None
        ]
        assert [v for v in (two.value, *(two.ci or ())) if v is not None] == ends, one.id


def test_a_model_against_itself_gives_every_null(small: Path) -> None:
    results = run(small / "identical.toml", small / "identical")
    ratios = [
        r for r in found(results, "explained_ratio.") if not r.id.startswith("explained_ratio.sc")
    ]
    assert {r.axes["site"] for r in ratios} == set(SITES)
    for record in ratios:
        assert record.value is None
        assert "agree" in (record.undefined or "")
    everywhere = [r for r in results.records if "cosine_below" not in r.options]
    for record in everywhere:
        if record.null is not None and not record.id.startswith("difference"):
            assert record.value == record.null["value"], record.id
    known = {record.id.partition("@")[0] for record in everywhere if record.null is not None}
    assert known >= {
        "cosine.raw", "cosine.latent", "cosine.recon", "cosine.share_below", "cosine.quantile_05",
        "intersection_ratio.per_token", "intersection_ratio.micro", "latent_overlap.topk",
        "latent_overlap.topk_dataset", "l1_divergence.normalized", "kl.next_token",
        "feature_shift.shifted", "feature_shift.appeared", "feature_shift.frequency",
    }  # fmt: skip
    for record in found(results, "filtered_share"):
        assert record.value == 0
    for record in found(results, "intersection_ratio.per_token"):
        assert record.value == 1 or record.undefined


# ── diagnosis.toml ───────────────────────────────────────────────────────────────────────────────


def test_each_layer_has_its_verdict(diagnosed: Path) -> None:
    results = harness.load_results(diagnosed)
    shifts = [results.value("hidden_shift", site=site) for site in SITES]
    assert shifts == [1.0, 0.0, 0.0]
    (rows,) = [rows for name, rows in results.tables.items() if name.endswith("hidden_shift")]
    verdicts = [row["verdict"] for row in rows]
    assert verdicts[0].startswith("hidden shift at layer 2: dense cosine 0.9")
    assert [text.partition(":")[0] for text in verdicts[1:]] == [
        "open shift at layer 4", "open shift at layer 5",
    ]  # fmt: skip
    assert all(row["firm"] for row in rows)


def test_the_verdict_is_in_the_report_and_on_the_terminal(
    diagnosed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(diagnosed)]) == 0
    verdict = "hidden shift at layer 2: dense cosine"
    assert verdict.capitalize() in capsys.readouterr().out
    assert verdict in (diagnosed / "report.html").read_text()


def test_the_articles_thresholds_say_openly_shifted(diagnosed: Path) -> None:
    """What the task says of them in its comment."""
    results = harness.load_results(diagnosed)
    assert max(number(results, "cosine.raw", site=site) for site in SITES) < 0.95


def test_the_shipped_gates_hold(diagnosed: Path, tmp_path: Path) -> None:
    file = tmp_path / "gates.xml"
    assert main(["gate", str(diagnosed), "--junit", str(file)]) == 0
    suites = ElementTree.parse(file).getroot()
    assert (suites.get("tests"), suites.get("failures")) == ("13", "0")


def test_a_gate_that_fails_ends_with_1(diagnosed: Path, tmp_path: Path) -> None:
    """The example in a comment of the task; the run itself is not repeated."""
    (example,) = (line for line in DIAGNOSIS.read_text().splitlines() if "--set 'gates." in line)
    setting = example.partition("--set ")[2].strip("'")
    assert setting.startswith("gates.")
    command = ["eval", str(DIAGNOSIS), "--out", str(diagnosed), "--set", setting]
    assert main(command) == 1
    file = tmp_path / "gates.xml"
    assert main(["gate", str(diagnosed), "--junit", str(file)]) == 1
    suites = ElementTree.parse(file).getroot()
    assert suites.get("failures") == "1"
    (failure,) = suites.iter("failure")
    assert "resid_post.2" in str(failure.text)
