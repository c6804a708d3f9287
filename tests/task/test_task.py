"""Understanding a task: everything that is wrong is said at once, with its place and a way out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import tomli_w

from fakes.tasks import EXPERIMENT, PROBE, only
from harness.contract import Options
from harness.contract.sites import Site
from harness.errors import TaskError
from harness.registry import Registry
from harness.task.file import Source, plain, read_source
from harness.task.resolve import resolve
from harness.task.task import Task, task_hash
from harness.task.validate import validated

Write = Callable[..., Path]
MakeTask = Callable[..., Task]
Problems = Callable[..., list[str]]


def test_a_task_without_problems_has_its_entries_with_typed_options(task: MakeTask) -> None:
    made = task(PROBE + 'view = "chat"\ndata = "web"\n' + EXPERIMENT)
    assert str(made.models["base"].owner) == "fake/fake"
    assert made.direction("d").view == "chat"
    assert made.sae_site("mid") == Site("resid_post", 2)
    assert made.interventions["e"].options.strength == 1
    assert made.evaluators["polite"].options.shrug == "∅"
    kinds = [owned.component.kind for owned in made.owners()]
    assert sorted(kinds) == ["backend", "direction", "evaluator", "intervention", "sae_format"]


def test_several_problems_are_said_at_once_each_with_file_line_and_key(
    problems: Problems, tmp_path: Path
) -> None:
    text = """
[directions.one]
method = "probe"
scael = 2
[directions.two]
method = "prob"
[directions.three]
method = "probe"
draws = "5"
[views.third]
modl = "base"
[data.gone]
file = "gone.jsonl"
"""
    found = problems(text)
    places = {problem.removeprefix(f"{tmp_path}/").split(": ")[1] for problem in found}
    lines = {int(re.search(r"task\.toml:(\d+):", problem)[1]) for problem in found}  # type: ignore[index]
    assert places == {
        "directions.one.scael", "directions.two.method", "directions.three.draws",
        "views.third.modl", "views.third.model", "data.gone.file",
    }  # fmt: skip
    assert len(lines) == 6


def test_an_unknown_reference_is_said_beside_other_problems(problems: Problems) -> None:
    found = problems(PROBE + "scael = 2\n[views.third]\nmodel = 'bsae'\n")
    assert any("scael" in one for one in found)
    assert any("unknown model 'bsae'" in one for one in found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sead = 1", (r"task\.toml:2: sead: unknown key 'sead'", "Did you mean seed")),
        ("[dat.web]", ("dat: unknown key 'dat'", "Did you mean data")),
    ],
)
def test_an_unknown_key_of_the_core_is_named_with_what_is_allowed(
    write: Write, registry: Registry, text: str, said: tuple[str, ...]
) -> None:
    with pytest.raises(TaskError) as caught:
        resolve(read_source(write(head=f'name = "x"\n{text}\n')), registry)
    only([str(problem) for problem in caught.value.problems], *said)


def test_of_several_things_that_a_value_may_be_a_table_is_called_one() -> None:
    class Point(Options):
        id: str

    class Over(Options):
        x: Point | Literal["axis"]

    _, (wrong,) = validated(Over, {"x": "l0"}, Source(Path("task.toml"), {}))
    assert "x: should be a table or 'axis', not \"l0\"." in str(wrong)


@pytest.mark.parametrize(
    ("text", "path", "suggestion"),
    [
        ("[views.v]\nmodel = 'base'\npromt = {}", "views.v.promt", "prompt"),
        ("[views.v]\nmodel = 'base'\nprompt = { stile = 1 }", "views.v.prompt.stile", "style"),
        (
            "[views.v]\nmodel = 'base'\nprompt.demonstrations = { data = 'web', cout = 1 }",
            "views.v.prompt.demonstrations.cout",
            "count",
        ),
        ("[data.d]\nfile = 'web.jsonl'\nlimt = 1", "data.d.limt", "limit"),
        ("[preflight]\ndata = 'web'\nfvu_mx = 1", "preflight.fvu_mx", "fvu_max"),
        ("[models.m]\nbackend = 'fake'\nexpect = { layer = 1 }", "models.m.expect.layer", "layers"),
        ("[batch]\ngenerations = 1", "batch.generations", "generation"),
    ],
)
def test_an_unknown_key_inside_a_table_is_named_with_the_keys_of_that_table(
    problems: Problems, text: str, path: str, suggestion: str
) -> None:
    only(problems(text), rf": {re.escape(path)}: unknown key", f"Did you mean {suggestion}")


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("[models.m]\nbackend = 'fake'\nscael = 1", "models.m.scael", ("expect", "scale")),
        ("[saes.s]\nmodel='base'\nformat='fake'\nhme = 1", "saes.s.hme", ("check_site", "home")),
        (PROBE + "scael = 1", "directions.d.scael", ("sweep", "scale")),
        ("[metrics.gap]\nview='base'\ndata='web'\npwer = 1", "metrics.gap.pwer", ("pair", "power")),
        ("[evaluators.polite]\nshrg = 'x'", "evaluators.polite.shrg", ("method", "shrug")),
        (
            PROBE + EXPERIMENT.replace('"shift"', '"shift", strenth = 1'),
            "experiments.e.intervention.strenth",
            ("method", "strength"),
        ),
        (PROBE + '"sca el" = 1', 'directions.d."sca el"', ("sweep", "scale")),
        (PROBE + '"scale.x" = 1', 'directions.d."scale.x"', ("sweep", "scale")),
    ],
)
def test_the_keys_of_the_core_and_of_the_plugin_are_allowed_together(
    problems: Problems, text: str, path: str, allowed: tuple[str, str]
) -> None:
    core, plugin = allowed
    only(problems(text), rf": {re.escape(path)}: unknown key", rf"Allowed: .*\b{core}\b",
         rf"Allowed: .*\b{plugin}\b", f"Did you mean {plugin}")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('seed = "5"', "seed"),
        ("seed = true", "seed"),
        ("seed = 1.5", "seed"),
        ("seed = -1", "seed"),
        ("title = 5", "title"),
        ("batch = 5", "batch"),
        ("models = 5", "models"),
        ("data = [1]", "data"),
        ("data.web = 5", "data.web"),
        ("directions = { d = 5 }", "directions.d"),
        ("experiments = { e = 5 }", "experiments.e"),
        ("seed = 99999999999999999999", "seed"),
    ],
)
def test_a_value_of_another_type_is_a_problem_of_its_key(
    write: Write, registry: Registry, text: str, path: str
) -> None:
    with pytest.raises(TaskError) as caught:
        resolve(read_source(write(head=f'name = "x"\n{text}\n')), registry)
    only([str(problem) for problem in caught.value.problems], rf"task\.toml:2: {path}: ")


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ('data.web.limit="5"', "data.web.limit"),
        ("data.web.limit=0", "data.web.limit"),
        ("data.web.where={ a = [1] }", "data.web.where.a"),
        ('models.chat.scale="5"', "models.chat.scale"),
        ("models.chat.scale=true", "models.chat.scale"),
        ("models.chat.backend=5", "models.chat.backend"),
        ("saes.mid.check_site=1", "saes.mid.check_site"),
        ("saes.mid.site=resid_post.x", "saes.mid.site"),
        ("views.chat.prompt.style=chatty", "views.chat.prompt.style"),
        ("data.web.sha256=abc", "data.web.sha256"),
    ],
)
def test_a_value_of_another_type_is_one_problem_with_the_path_of_its_key(
    problems: Problems, override: str, path: str
) -> None:
    only(problems("", override), rf"^--set: {re.escape(path)}: ")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("[views.v]\nprompt = {}", "views.v.model"),
        ("[directions.d]\nscale = 1", "directions.d.method"),
        ("[evaluators.polite]\nmethod = 'polite'\n[metrics.demanding]\nview='base'\ndata='web'\n"
         "saes = ['mid']", "metrics.demanding.level"),
        ("[pairs.p]\nleft = 'base'\nright = 'chat'", "pairs.p.data"),
    ],
)  # fmt: skip
def test_a_missing_key_is_named_at_the_line_of_its_table(
    problems: Problems, text: str, path: str
) -> None:
    only(problems(text), rf"task\.toml:\d+: {re.escape(path)}: is missing")


def test_an_sae_without_a_model_or_a_pair_is_told_both(problems: Problems) -> None:
    found = problems("[saes.s]\nformat = 'fake'")
    only(found, r"task\.toml:\d+: saes\.s: give either model, .* or pair")


def test_a_task_without_a_name_says_so(write: Write, registry: Registry) -> None:
    with pytest.raises(TaskError, match=r"task\.toml: name: is missing"):
        resolve(read_source(write(head="seed = 1\n")), registry)


@pytest.mark.parametrize("name", ["a b", "../up", ".hidden", "ü", "x" * 81, ""])
def test_a_name_that_is_no_file_name_is_refused(problems: Problems, name: str) -> None:
    assert problems("", f'name="{name}"')
    assert any("data" in one for one in problems(f'[data."{name}"]\nfile = "web.jsonl"\n'))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.web.url='https://x.org/a.jsonl'", "exactly one of file, hub and url"),
        ("data.web.file=false", "data.web.file"),
        ("data.web.sha256=" + "a" * 64, "belong together"),
    ],
)
def test_data_have_one_source(problems: Problems, override: str, said: str) -> None:
    only(problems("", override), said)


# ── References ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[views.v]\nmodel='bsae'", ("views.v.model: unknown model 'bsae'", "mean base")),
        ("[saes.s]\nmodel='bsae'\nformat='fake'\nsite='resid_post.1'", ("saes.s.model", "base")),
        ("[preflight]\ndata='wbe'\nfvu='loss'\nalso=[]", ("preflight.data: unknown data", "web")),
        ("[pairs.p]\nleft='base'\nright='caht'\ndata='web'", ("pairs.p.right: unknown view",)),
        ("[pairs.p]\nleft='base'\nright='chat'\ndata='web'\nsaes=['mdi']", ("p.saes", "mid")),
        ("[metrics.mean]\npair='p'", ("metrics.mean.pair: unknown pair 'p'. Allowed: none",)),
        ("[metrics.mean]\nview='base'\ndata='wbe'\nsites=['embed']", ("data", "mean web")),
        (PROBE + "view = 'caht'\ndata = 'web'", ("directions.d.view: unknown view", "chat")),
        (PROBE + "start = 'e'", ("directions.d.start: unknown direction 'e'",)),
        (PROBE + "sae = 'mdi'", ("directions.d.sae: unknown SAE", "mid")),
        (PROBE + EXPERIMENT.replace('["d"]', '["d", "dd"]'), ("e.directions", "mean d")),
        (PROBE + EXPERIMENT.replace('"polite"', '"plite"'), (r"e.evaluators\[0\]", "polite")),
        ("[views.v]\nmodel='base'\nprompt.demonstrations = { data = 'wbe' }",
         ("views.v.prompt.demonstrations.data", "mean web")),
        (PROBE + "sweep = { view = ['base', 'caht'] }\ndata = 'web'", ("caht",)),
        (PROBE + "sweep = { sae = ['mid', 'mdi'] }", ("mdi",)),
        (PROBE + "sweep = { finish = ['d2', 'd3'] }\n[directions.d2]\nmethod = 'probe'", ("d3",)),
    ],
)  # fmt: skip
def test_an_unknown_reference_is_named_with_a_suggestion(
    problems: Problems, text: str, said: tuple[str, ...]
) -> None:
    only(problems(text), r"task\.toml:\d+: ", *said)


# ── Places ───────────────────────────────────────────────────────────────────────────────────────


def test_a_path_is_relative_to_the_file_that_wrote_it(write: Write, registry: Registry) -> None:
    parent = write("[data.own]\nfile = 'own.jsonl'\n", "far/away/parent.toml")
    (parent.parent / "own.jsonl").write_text('{"text": "a"}')
    head = 'extends = "far/away/parent.toml"\n[data.web]\nfile = "web.jsonl"\n'
    child = write(head=head)
    made = resolve(read_source(child), registry)
    assert made.spec.data["own"].file == str(parent.parent / "own.jsonl")
    assert made.spec.data["web"].file == str(child.parent / "web.jsonl")


def test_a_path_of_the_command_line_is_relative_to_the_working_folder(
    task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "x.jsonl").write_text('{"text": "a"}')
    monkeypatch.chdir(tmp_path / "here")
    made = task("", "data.web.file=x.jsonl")
    assert made.spec.data["web"].file == str(tmp_path / "here" / "x.jsonl")


def test_a_missing_file_is_named_with_the_folder_where_it_was_looked_for(
    problems: Problems, tmp_path: Path
) -> None:
    only(
        problems("[data.gone]\nfile = 'gone.jsonl'\n"),
        r"data\.gone\.file: 'gone\.jsonl': no such file or folder",
        re.escape(f"Paths are relative to {tmp_path}"),
    )


@pytest.mark.parametrize("path", ["owner/name", "gpt2", "owner/name-1.5_b"])
def test_what_looks_like_a_hub_id_is_taken_as_it_is(task: MakeTask, path: str) -> None:
    assert task("", f"models.chat.path={path}").models["chat"].options.path == path


@pytest.mark.parametrize(
    "path", ["models/gmma", "./owner/name", "../name", "/no/such", "a/b/c", "a b", "~nobody/x"]
)
def test_a_misspelt_folder_is_no_hub_id(problems: Problems, tmp_path: Path, path: str) -> None:
    (tmp_path / "models" / "gemma").mkdir(parents=True)
    only(problems(f"[models.m]\nbackend = 'fake'\npath = '{path}'\n"), "models.m.path",
         "no such file or folder, and it is no hub id")  # fmt: skip


def test_the_resolved_task_gives_the_same_task_from_any_folder(
    write: Write, registry: Registry, tmp_path: Path
) -> None:
    file = write(PROBE + 'view = "chat"\ndata = "web"\nsweep = { scale = [1, 2] }\n' + EXPERIMENT)
    first = resolve(read_source(file), registry)
    again = tmp_path / "elsewhere" / "task.toml"
    again.parent.mkdir()
    again.write_text(tomli_w.dumps(plain(dict(first.resolved))))
    second = resolve(read_source(again), registry)
    assert second.spec == first.spec
    assert task_hash(second) == task_hash(first)


def test_a_changed_task_has_another_hash(task: MakeTask) -> None:
    hashes = {task_hash(task("", *more)) for more in ([], ["seed=1"], ["models.chat.scale=4"])}
    assert len(hashes) == 3


# ── Plugins ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[models.m]\nbackend='fke'", ("models.m.backend: unknown backend 'fke'", "mean fake")),
        ("[saes.s]\nmodel='base'\nformat='fke'", ("s.format: unknown sae format 'fke'",)),
        ("[directions.d]\nmethod='prob'", ("d.method: unknown direction 'prob'", "probe")),
        ("[metrics.men]\nview='base'\ndata='web'", ("unknown metric 'men'", "mean mean")),
        (PROBE + EXPERIMENT.replace('"shift"', '"shft"'), ("unknown intervention", "shift")),
        ("[preflight]\ndata='web'\nalso=['loss']\nfvu='lss'", ("unknown metric 'lss'",)),
        ("[models.m]\nbackend='other/fake'", ("unknown backend 'other/fake'",)),
    ],
)
def test_an_unknown_component_is_named_with_a_suggestion(
    problems: Problems, text: str, said: tuple[str, ...]
) -> None:
    only(problems(text), r"task\.toml:\d+: ", *said)


def test_a_full_name_finds_its_component(task: MakeTask) -> None:
    assert str(task("", "models.chat.backend=fake/fake").models["chat"].owner) == "fake/fake"


def test_a_preflight_metric_that_needs_options_is_a_problem(problems: Problems) -> None:
    only(problems("[preflight]\ndata='web'\nfvu='loss'\nalso=['demanding']"), "demanding", "level")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_format_is_found_by_its_claim_only_when_one_claims(
    write: Write, registry: Registry, tmp_path: Path, count: int
) -> None:
    folder = tmp_path / "sae"
    folder.mkdir()
    if count:
        (folder / "fake.sae").touch()
    twice = Registry((*registry.plugins, *registry.plugins)) if count == 2 else registry
    text = '[saes.s]\nmodel = "base"\npath = "sae"\nsite = "resid_post.1"\n'
    file = write(head=text)
    # Two plugins of one name cannot be installed; here they stand for two formats that claim.
    if count == 1:
        more = write(text).with_name("task.toml")
        assert str(resolve(read_source(more), registry).saes["s"].owner) == "fake/fake"
        return
    with pytest.raises(TaskError, match="Say which it is: format = one of") as caught:
        resolve(read_source(file), twice)
    assert ("no format claims" in str(caught.value)) == (count == 0)


@pytest.mark.parametrize(
    ("requires", "said"),
    [
        ('["acme-missing>=0.3"]', r"requires\[0\]|no plugin of 'acme-missing'"),
        ('["sae-harness<0.0.1"]', r"sae-harness .* is installed. Run: pip install"),
        ('[">=1"]', "is no requirement"),
    ],
)
def test_a_plugin_that_the_task_requires_must_be_there(
    write: Write, requires: str, said: str
) -> None:
    from harness.registry import discover

    head = f'name = "x"\nrequires = {requires}\n'
    with pytest.raises(TaskError, match=said) as caught:
        resolve(read_source(write(head=head)), discover())
    assert "task.toml:2: requires[0]" in str(caught.value)


def test_a_key_that_looks_like_a_name_of_pydantics_is_a_key(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text('name = "x"\n"[key]" = 1\n[data.d]\nfile = "t.toml"\n"[key]" = ""\n')
    from harness.cli.main import main

    assert main(["check", str(file)]) == 2
