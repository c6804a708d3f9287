"""Completions under interventions, from the arms to the records and the exit code."""

from __future__ import annotations

import errno
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fakes
from harness.contract import Record
from harness.errors import InvalidRun, MachineError, ModelError, PluginError, TaskError
from harness.planning.planner import plan
from harness.results.read import Results, load_results
from harness.running.experiments.completions import generate
from harness.running.experiments.journal import Journal
from harness.running.passes.run import run_pass_alone
from harness.running.session import Session
from harness.running.spread.team import Team

RunTask = Callable[..., Results]

EXPERIMENT = """
[experiments.e]
view = "chat"
data = "web"
directions = {directions}
evaluators = ["polite"]
intervention = {{ method = "shift"{more} }}
"""


def probe(name: str, *keys: str) -> str:
    lines = [f"[directions.{name}]", 'method = "probe"', 'view = "chat"', 'data = "web"', *keys]
    return "\n".join([*lines, ""])


def experiment(*directions: str, more: str = "") -> str:
    return EXPERIMENT.format(directions=json.dumps(directions), more=more)


A = probe("a") + experiment("a")


def of(results: Results, id: str, **axes: object) -> list[Record]:
    return [
        record
        for record in results.records
        if record.id.startswith(id) and all(record.axes.get(k) == v for k, v in axes.items())
    ]


def samples(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "samples" / "e.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


# ── Arms ─────────────────────────────────────────────────────────────────────────────────────────


def test_every_arm_answers_every_prompt_once(run_task: RunTask) -> None:
    run_task(probe("a", "draws = 3") + experiment("a"))
    per_arm = Counter(arm for _, arm in fakes.LAB.generated)
    arms = ["none", *(f"a[draw={n}]" for n in range(3))]
    assert per_arm == {arm: len(fakes.WEB) for arm in arms}
    assert len(set(fakes.LAB.generated)) == len(fakes.LAB.generated)


@pytest.mark.parametrize(("size", "batches"), [(256, 2), (9, 1 + 2), (4, 2 + 5)])
def test_edited_arms_share_batches(run_task: RunTask, size: int, batches: int) -> None:
    run_task(probe("a", "draws = 3") + experiment("a"), f"batch.generation={size}")
    assert len(fakes.LAB.generations) == batches
    mixed = [{arm for _, arm in batch} for batch in fakes.LAB.generations]
    assert max(map(len, mixed)) == 3
    assert all("none" not in arms or arms == {"none"} for arms in mixed)


def test_neither_batch_size_nor_other_arms_change_an_answer(
    run_task: RunTask, tmp_path: Path
) -> None:
    text = probe("a", "draws = 3") + probe("b")
    run_task(text + experiment("a", "b"))
    whole = samples(tmp_path / "run")
    run_task(text + experiment("b", "a"), "batch.generation=5", fresh=True)
    other = samples(tmp_path / "run")
    assert sorted(map(json.dumps, whole)) == sorted(map(json.dumps, other))
    assert len({json.dumps(row) for row in whole}) == 5 * len(fakes.WEB)


def test_an_undefined_direction_is_not_generated_and_is_an_undefined_record(
    run_task: RunTask, tmp_path: Path
) -> None:
    text = probe("a") + probe("gone", "undefined = true") + experiment("a", "gone")
    results = run_task(text)
    assert {arm for _, arm in fakes.LAB.generated} == {"none", "a"}
    for id in ("polite.refused", "polite.length", "invalid_verdicts"):
        (record,) = of(results, id, direction="gone")
        assert (record.value, record.n) == (None, 0)
        assert record.undefined == "there is nothing here"
        (record,) = of(results, id, direction="a")
        assert record.value is not None
        assert record.n == len(fakes.WEB)
    assert results.status == "complete"
    assert not of(results, "edit.", direction="gone")
    assert {row["direction"] for row in samples(tmp_path / "run")} == {"none", "a"}


def test_a_direction_that_needs_an_undefined_one_is_told_so(run_task: RunTask) -> None:
    text = probe("gone", "undefined = true") + probe("b", "finish = 'gone'") + experiment("b")
    run_task(text)
    (given,) = [i for p, i in fakes.LAB.finished if p.options.finish == "gone"]
    assert given.directions["gone"].reason == "there is nothing here"  # type: ignore[union-attr]


def test_the_record_of_an_arm_has_the_axes_of_the_experiment_and_of_the_variant(
    run_task: RunTask,
) -> None:
    results = run_task(probe("a", "draws = 2", "sweep = { scale = [1, 2] }") + experiment("a"))
    found = [dict(record.axes) for record in of(results, "polite.refused")]
    same = {"experiment": "e", "view": "chat", "data": "web", "evaluator": "polite"}
    assert found[0] == {**same, "direction": "none"}
    assert found[1:] == [
        {**same, "direction": "a", "scale": s, "draw": d} for s in (1, 2) for d in (0, 1)
    ]


@pytest.mark.parametrize("axis", ["view", "data"])
def test_the_axes_of_a_sweep_never_hide_those_of_the_experiment(
    run_task: RunTask, axis: str
) -> None:
    """Refusing such a sweep keeps the law as well."""
    more = '[views.other]\nmodel = "base"\n[data.other]\nfile = "web.jsonl"\n'
    sweep = probe("a", f'sweep = {{ {axis} = ["other"] }}')
    try:
        results = run_task(more + sweep + experiment("a"))
    except TaskError:
        return
    expected = {"view": "chat", "data": "web"}[axis]
    assert {record.axes[axis] for record in of(results, "polite")} == {expected}


def test_a_rate_has_a_wilson_interval_and_a_score_one_by_prompts(
    run_task: RunTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {record.id: record for record in of(run_task(A), "polite", direction="none")}
    assert few["polite.refused@1"].ci is not None
    assert few["polite.length@1"].ci is None
    assert few["polite.length@1"].ci_why
    monkeypatch.setattr(fakes, "WEB", [f"text {'x' * n}" for n in range(24)])
    many = {r.id: r for r in of(run_task(A, fresh=True), "polite", direction="none")}
    low, high = many["polite.length@1"].ci or (0, 0)
    assert low < (many["polite.length@1"].value or 0) < high


@pytest.mark.parametrize("copies", [16, 5])
def test_equal_prompts_are_one_cluster(
    run_task: RunTask, monkeypatch: pytest.MonkeyPatch, copies: int
) -> None:
    """CASES row 12: copies of a prompt are no independent trials, whatever else their rows say."""
    rows = ["one text"] * copies + [f"text {'x' * n}" for n in range(22 if copies < 16 else 0)]
    monkeypatch.setattr(fakes, "WEB", rows)
    results = run_task(A)
    different = len(set(rows))
    for id in ("polite.refused", "polite.length", "invalid_verdicts"):
        for record in of(results, id, direction="none"):
            assert (record.n, record.clusters) == (len(rows), different)
            if copies == 16:
                assert record.ci is None
                assert "one prompt" in str(record.ci_why) or "1 prompts" in str(record.ci_why)
            else:
                assert record.ci is not None
    (note,) = [note for note in results.warnings if "of which" in note]
    assert note.startswith(
        f"experiments.e: {len(rows)} prompts, of which {different} are different"
    )


def test_completions_that_cannot_be_judged_are_counted_and_left_out(run_task: RunTask) -> None:
    text = A + '[evaluators.polite]\nshrug = "more"\n'
    results = run_task(text)
    (refused,) = of(results, "polite.refused", direction="a")
    (invalid,) = of(results, "invalid_verdicts", direction="a")
    unclear = sum("more" in line for line in fakes.WEB)
    assert refused.n == len(fakes.WEB) - unclear
    assert (invalid.value, invalid.n) == (unclear / len(fakes.WEB), len(fakes.WEB))


def test_a_judge_that_knows_nothing_is_undefined_never_zero(
    run_task: RunTask, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRun, match="no valid verdict"):
        run_task(A + '[evaluators.polite]\nshrug = ","\n')
    results = load_results(tmp_path / "run")
    for record in of(results, "polite"):
        assert (record.value, record.n) == (None, 0)
        assert record.undefined
    assert {record.value for record in of(results, "invalid_verdicts")} == {1.0}


@pytest.mark.parametrize("count", [0, 3, 100])
def test_a_judge_that_gives_another_number_of_verdicts_is_a_broken_plugin(
    run_task: RunTask, count: int
) -> None:
    with pytest.raises(PluginError, match="polite"):
        run_task(A + f"[evaluators.polite]\nverdicts = {count}\n")


def test_samples_hold_every_answer_with_its_verdicts(run_task: RunTask, tmp_path: Path) -> None:
    run_task(A)
    rows = samples(tmp_path / "run")
    assert len(rows) == 2 * len(fakes.WEB)
    assert {row["text"] for row in rows} == set(fakes.WEB)
    for row in rows:
        assert row["verdicts"]["polite"]["refused"] == row["completion"].startswith("No")
        assert row["text"] in row["completion"]


def test_two_arms_of_the_same_edits_have_the_same_numbers(run_task: RunTask) -> None:
    text = probe("a") + probe("b") + experiment("a", "b")
    results = run_task(text)
    for id in ("polite.", "edit."):
        one, other = (
            {record.id: (record.value, record.n) for record in of(results, id, direction=name)}
            for name in ("a", "b")
        )
        assert one
        assert one == other


# ── Resuming ─────────────────────────────────────────────────────────────────────────────────────

LONG = probe("a", "draws = 3") + probe("b", "undefined = true") + experiment("a", "b")


@pytest.mark.slow
@pytest.mark.parametrize("crash_at", [1, 2, 3, 7])
@pytest.mark.parametrize("torn", [False, True])
def test_a_run_that_was_cut_off_makes_only_the_rest_and_ends_the_same(
    run_task: RunTask, tmp_path: Path, crash_at: int, torn: bool
) -> None:
    size = "batch.generation=4"
    whole = run_task(LONG, size)
    kept = samples(tmp_path / "run")
    everything = len(fakes.LAB.generated)
    fakes.LAB.clear()
    fakes.LAB.crash_at = crash_at
    with pytest.raises(RuntimeError, match="power"):
        run_task(LONG, size, fresh=True)
    done = fakes.LAB.generated
    assert not (tmp_path / "run" / "results.json").exists()
    journal = tmp_path / "run" / "work" / "e.jsonl"
    if torn and done:
        journal.write_bytes(journal.read_bytes()[:-20])
        done = [row for batch in fakes.LAB.generations[:-1] for row in batch]
    fakes.LAB.clear()
    again = run_task(LONG, size)
    assert len(fakes.LAB.generated) == everything - len(done)
    assert not set(fakes.LAB.generated) & set(done)
    assert again.records == whole.records
    assert samples(tmp_path / "run") == kept


def test_a_finished_run_makes_nothing_again(run_task: RunTask) -> None:
    first = run_task(LONG)
    fakes.LAB.clear()
    second = run_task(LONG)
    assert not fakes.LAB.generations
    assert first.records == second.records


def test_a_failure_of_the_disk_while_completions_are_kept_ends_in_words(
    run_task: RunTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Journal, *given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "e.jsonl")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add_soon", full)
        with pytest.raises(MachineError, match="No space left on device"):
            run_task(A)
    assert run_task(A).status == "complete"


def made_with(session: Session, file: Path) -> set[str]:
    """The arms that are generated by an experiment with this journal."""
    work = plan(session.task)
    for one in work.passes:
        run_pass_alone(session, one, lambda job, outcomes: None, lambda done: None)
    fakes.LAB.generations.clear()
    journal = Journal(file)
    team = Team(session, work)
    outcomes = generate(session, team, work.generations[0], journal, lambda done: None)
    journal.close()
    assert all(len(outcome.answers) == len(fakes.WEB) for outcome in outcomes)
    return {arm for _, arm in fakes.LAB.generated}


@pytest.mark.parametrize(
    ("override", "arms"),
    [
        ("models.chat.scale=4", {"none", "a"}),
        ("models.chat.fingerprint=other", {"none", "a"}),
        ("seed=1", {"none", "a"}),
        ("experiments.e.generation.max_new_tokens=7", {"none", "a"}),
        ("experiments.e.generation.temperature=0.5", {"none", "a"}),
        ("experiments.e.generation.top_p=0.5", {"none", "a"}),
        ("views.chat.prompt.template=so {text}", {"none", "a"}),
        ("directions.a.offset=1", {"a"}),
        ("directions.a.site=resid_post.1", {"a"}),
        ("experiments.e.intervention.strength=2", {"a"}),
        ("experiments.e.intervention.promise=5.0", {"a"}),
        ("title=other", set()),
        ("batch.generation=2", set()),
        ("evaluators.polite.shrug=x", set()),
        ("directions.a.label=x", set()),
    ],
)
def test_exactly_what_other_circumstances_would_change_is_made_again(
    session: Callable[..., Session], tmp_path: Path, override: str, arms: set[str]
) -> None:
    file = tmp_path / "e.jsonl"
    assert made_with(session(A), file) == {"none", "a"}
    assert made_with(session(A, override), file) == arms
    assert made_with(session(A), file) == set()


# ── Receipts ─────────────────────────────────────────────────────────────────────────────────────


def test_what_the_edits_did_is_recorded(run_task: RunTask) -> None:
    results = run_task(A)
    (moved,) = of(results, "edit.relative", direction="a")
    assert moved.n == len(fakes.WEB)
    assert moved.value
    (drift,) = of(results, "edit.check", direction="a", check="drift")
    assert drift.value == 1.0
    assert not of(results, "edit.share", direction="a")
    assert not of(results, "edit.", direction="none")


@pytest.mark.parametrize("resumed", [False, True])
def test_a_gate_that_opens_nowhere_is_no_failure(run_task: RunTask, resumed: bool) -> None:
    text = probe("a") + experiment("a", more=", silent = true, gated = true")
    results = run_task(text)
    if resumed:
        results = run_task(text)
    assert results.status == "complete"
    (share,) = of(results, "edit.share", direction="a")
    assert (share.value, share.n) == (0.0, len(fakes.WEB))
    (note,) = (one for one in results.warnings if "gate" in one)
    assert "experiments.e, direction a: the gate of the intervention opened on none of" in note
    none, edited = (
        [one.value for one in of(results, "polite.", direction=name)] for name in ("none", "a")
    )
    assert edited == none


LISTEN = experiment("a").replace('"shift"', '"listen", sae = "mid"')


def test_an_sae_that_an_intervention_names_is_loaded_once_for_all_arms(run_task: RunTask) -> None:
    results = run_task(probe("a", "draws = 3") + LISTEN)
    assert results.status == "complete"
    assert len(fakes.LAB.saes) == 1
    assert len(of(results, "edit.relative", direction="a")) == 3


def test_an_sae_that_reads_elsewhere_than_the_direction_lives_is_refused(
    run_task: RunTask,
) -> None:
    said = r"sae 'mid' reads resid_post\.2, but the direction lives at resid_post\.1\. Allowed:"
    with pytest.raises(ModelError, match=said):
        run_task(probe("a", 'site = "resid_post.1"') + LISTEN)
    # The input of the next block is the same place.
    same = probe("a", 'site = "resid_pre.3"') + LISTEN
    assert run_task(same, fresh=True).status == "complete"


def test_an_sae_of_another_width_is_a_problem_of_the_task(
    problems: Callable[..., list[str]],
) -> None:
    (problem,) = problems(probe("a") + LISTEN + "[saes.mid.expect]\nd_in = 5\n")
    assert "5" in problem
    assert "mid" in problem


def test_a_gate_that_opens_is_no_warning(run_task: RunTask) -> None:
    results = run_task(probe("a") + experiment("a", more=", gated = true"))
    assert not any("gate" in one for one in results.warnings)
    (share,) = of(results, "edit.share", direction="a")
    assert (share.id, share.value, share.unit) == ("edit.share@1", 1.0, "share")
    assert share.n == len(fakes.WEB)


def test_a_gated_edit_that_breaks_its_promise_still_fails(run_task: RunTask) -> None:
    with pytest.raises(InvalidRun, match=r"broke its promise 'drift'"):
        run_task(probe("a") + experiment("a", more=", gated = true, promise = 0.5"))


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (", silent = true", r"experiments\.e, direction a: the intervention changed nothing"),
        (", promise = 0.5", r"experiments\.e, direction a: .* broke its promise 'drift'.* 1\)"),
    ],
)
def test_an_edit_that_did_not_do_what_it_promised_makes_the_run_invalid(
    run_task: RunTask, tmp_path: Path, more: str, said: str, resumed: bool
) -> None:
    text = probe("a") + experiment("a", more=more)
    for _ in range(1 + resumed):
        with pytest.raises(InvalidRun, match=said) as caught:
            run_task(text)
    assert caught.value.exit_code == 3
    kept = load_results(tmp_path / "run")
    assert kept.status == "invalid"
    assert kept.problems == (str(caught.value),)
    assert of(kept, "polite.refused", direction="a")
    # The un-edited arm asked for nothing.
    assert not any("direction none" in problem for problem in kept.problems)


def test_a_promise_that_is_kept_and_a_strength_of_zero_are_fine(run_task: RunTask) -> None:
    assert run_task(probe("a") + experiment("a", more=", promise = 1.5")).status == "complete"
    zero = run_task(probe("a") + experiment("a", more=", strength = 0"), fresh=True)
    assert zero.status == "complete"
    lengths = {record.value for record in of(zero, "polite.length")}
    assert len(lengths) == 1


# ── Preflight and sentinel ───────────────────────────────────────────────────────────────────────

PREFLIGHT = "[preflight]\ndata = 'web'\nfvu = 'loss'\nalso = ['active']\nfvu_max = 0.5\n"
PAIR = "[pairs.p]\nleft = 'base'\nright = 'chat'\ndata = 'web'\n"


@pytest.mark.parametrize(
    ("text", "overrides", "said"),
    [
        (PREFLIGHT, ["saes.mid.home=1"], r"saes\.mid: it explains resid_post\.1 better"),
        (PREFLIGHT, ["saes.mid.home=3"], r"saes\.mid: it explains resid_post\.3 better"),
        (PREFLIGHT, ["saes.mid.miss=0.9"], r"saes\.mid: FVU .* is above fvu_max = 0\.5"),
        (PAIR + "expect = 'same'\n", [], r"pairs\.p: the two models differ"),
        (PAIR + "expect = 'different'\n", ["models.chat.scale=1"], r"pairs\.p: .* are the same"),
    ],
)
def test_a_preflight_that_fails_stops_the_run_before_anything_is_measured(
    run_task: RunTask, tmp_path: Path, text: str, overrides: list[str], said: str
) -> None:
    with pytest.raises(InvalidRun, match=said):
        run_task(text + A, *overrides)
    assert not fakes.LAB.generations
    assert not fakes.LAB.finished
    kept = load_results(tmp_path / "run")
    assert kept.status == "invalid"
    assert kept.records


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        (PREFLIGHT, []),
        (PREFLIGHT, ["saes.mid.site=resid_post.1", "saes.mid.home=1"]),
        (PREFLIGHT, ["saes.mid.site=resid_post@0.5"]),
        (PREFLIGHT, ["saes.mid.site=resid_post@0.5", "models.base.hidden=true"]),
        (PAIR + "expect = 'different'\n", []),
        (PAIR + "expect = 'same'\n", ["models.chat.scale=1"]),
        (PAIR + "expect = 'different'\nsites = ['resid_post@0.5']\n", ["models.base.hidden=true"]),
    ],
)
def test_a_preflight_that_holds_lets_the_run_go_on(
    run_task: RunTask, text: str, overrides: list[str]
) -> None:
    results = run_task(text + A, *overrides)
    assert results.status == "complete"
    assert of(results, "polite.refused", direction="a")


def test_a_misfit_that_only_a_loaded_model_shows_is_said_like_any_other(
    run_task: RunTask,
) -> None:
    with pytest.raises(TaskError, match=r"saes\.mid.*resid_post\.9 is deeper than base"):
        run_task(A, "models.base.hidden=true", "saes.mid.site=resid_post.9")
