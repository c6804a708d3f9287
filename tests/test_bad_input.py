"""What is wrong with tasks, data, plugins, models and machines, said by the command itself.

Each ends with its exit code and one clear message: where, what is wrong, what is allowed, what to
do; without a traceback, and with nothing half-written. What single modules say is tested beside
them; here is what a person sees.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import fakes
from harness.cli import main
from harness.results import load_results
from harness.taskfile import task_folders

Said = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]

ORGANISM = task_folders()[0] / "organism"
EXPERIMENT = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
[metrics.active]
pair = "p"
[directions.a]
method = "probe"
view = "chat"
data = "web"
[experiments.e]
view = "chat"
data = "web"
directions = ["a"]
evaluators = ["polite"]
intervention = { method = "shift" }
[batch]
activations = 1
generation = 2
shard = 8
"""


@pytest.fixture
def said(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Said:
    """Runs a command in an empty folder: its exit code, output and complaints."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def said(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return said


def clear(err: str, *parts: str) -> None:
    """The complaint is of whole sentences, says all this, and is nothing but that."""
    assert "Traceback" not in err
    lines = err.splitlines()
    assert lines
    for line in lines:
        # Click ends the line on which a terminal shows ^C.
        assert line.startswith("harness: ") or not line, err
    for part in parts:
        assert re.search(part, err), (part, err)


# ── Task files ───────────────────────────────────────────────────────────────────────────────────

KINDS = "resid_pre, resid_post, attn_out"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("views = 5 6\n", [r"task\.toml: is not TOML: .*line 18"]),
        ("[models.x", [r"task\.toml: is not TOML: .*end of document"]),
        ("[views.x]\nmodle = 'base'\n",
         [r"task\.toml:18: views\.x\.model: is missing", r"views\.x\.modle: unknown key 'modle'",
          r"Allowed: edit, model, prompt\. Did you mean model\?"]),
        ("[gates.x]\nasert = 'l0 > 1'\n", [r"Allowed: assert\. Did you mean assert\?"]),
        ("[views.x]\nmodel = 5\n", [r"views\.x\.model: input should be a valid string, not 5"]),
        ("[pairs.p]\nleft='base'\nright='chat'\ndata='web'\nsaes='mid'\n",
         [r'pairs\.p\.saes: input should be a list, not "mid"']),
        ("[views.x]\nmodel = 2020-01-01\n", [r"views\.x\.model: 2020-01-01 is a date", "quotes"]),
        ("[data.x]\nfile='web.jsonl'\nlimit=99999999999999999999\n",
         [r"data\.x\.limit: is beyond the integers of TOML"]),
        ("[data.x]\nfile='web.jsonl'\nlimit=9223372036854775807\n",
         [r"data\.x\.limit: input should be less than"]),
        ("[pairs.p]\nleft='base'\nright='chat'\ndata='web'\naxes={ checkpoint = nan }\n",
         [r"pairs\.p\.axes\.checkpoint: .*finite.*NaN"]),
        ("x = " + "[" * 200 + "]" * 200 + "\n", [r"data\.web\.x: is nested too deeply.*32"]),
        ("[" + ".".join("a" * 2000) + "]\n", [r"a\.a\.a: is nested too deeply.*32"]),
        ("[views.x]\nmodel = 'base'\n[views.x]\n", [r"is not TOML: Cannot declare.*twice"]),
        ("[directions.d]\nmethod = 'prob'\n",
         [r"directions\.d\.method: unknown direction 'prob'.*Did you mean probe\?"]),
        ("[directions.d]\nmethod = 'probe'\nsite = 'resid_pots.2'\n",
         [r"directions\.d\.site: 'resid_pots\.2' is no site", KINDS,
          r"Did you mean resid_post\.2\?\n"]),
        ("[directions.d]\nmethod = 'probe'\nsite = 'blocks.2.hook_resid_post'\n",
         [r"Did you mean resid_post\.2\?"]),
        ("[directions.d]\nmethod = 'probe'\nsite = 'embed.2'\n", [r"Did you mean embed\?"]),
        ("[directions.d]\nmethod = 'probe'\nview = 'base'\ndata = 'web'\nsite = 'mlp_out.4'\n",
         [r"mlp_out\.4 is deeper than base, which has 4 blocks.*Allowed: .*mlp_out\.3"]),
        ("[directions.d]\nmethod = 'probe'\nsweep = { scale = [%s], offset = [%s] }\n"
         % ((", ".join(map(str, range(1000))),) * 2),
         [r"directions\.d: .*come to 1000000 directions; max_arms allows 1000", "to confirm"]),
        ("[data.x]\nfile = 'gone.jsonl'\n",
         [r"data\.x\.file: 'gone\.jsonl': no such file", "relative to"]),
        ("[data.x]\nfile = 'empty.jsonl'\n", [r"data\.x: .*empty\.jsonl is empty"]),
        ("[data.x]\nfile = 'torn.jsonl'\n", [r"data\.x: .*torn\.jsonl cannot be read: line 1"]),
        ("[data.x]\nfile = 'latin.jsonl'\n", [r"data\.x: .*latin\.jsonl cannot be read: .*utf-8"]),
        ("[data.x]\nfile = 'web.jsonl'\ncolumn = 'txet'\n",
         [r"data\.x: row 1 of .* has no column 'txet'.*It has: text.*Did you mean text\?"]),
        ("[data.x]\nfile = 'web.jsonl'\nlimit = 7\n",
         [r"data\.x: .*has 6 rows, the task wants 7\. Lower the limit"]),
        ("[models.mute]\nbackend='fake'\ntemplate=false\n[views.x]\nmodel='mute'\n"
         "prompt={style='chat'}\n",
         [r"views\.x\.prompt: the tokenizer of mute has no chat template.*plain"]),
        ("requires = ['acme-surprise>=2']\n", [r"requires"]),
        ("[analyses.x]\nmethod = 'transfer_correlation'\nsts = 'forecast'\n"
         "before = { experiment = 'bfore' }\nafter = { experiment = 'after' }\n", ["analyses.x"]),
    ],
)  # fmt: skip
def test_a_wrong_task_is_refused_before_anything_is_done(
    said: Said, write: Write, fake_plugin: Path, tmp_path: Path, text: str, parts: list[str]
) -> None:
    file = write(text) if not text.startswith("requires") else write(head=text + fakes.TINY)
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "torn.jsonl").write_text('{"text": "half a l')
    (tmp_path / "latin.jsonl").write_bytes('{"text": "é"}'.encode("latin-1"))
    code, out, err = said("check", file)
    assert code == 2, out
    clear(err, *parts)
    assert said("eval", file, "--out", tmp_path / "run")[0] == 2
    assert not (tmp_path / "run").exists()
    assert not list(Path.cwd().iterdir())
    assert not fakes.LAB.models


def test_everything_that_is_wrong_is_said_at_once(
    said: Said, write: Write, fake_plugin: Path
) -> None:
    """Of every kind: keys, types, names, plugins, paths, sites."""
    text = """
[views.x]
model = 5
[views.y]
model = "bsae"
[directions.d]
method = "prob"
[data.z]
file = "gone.jsonl"
[metrics.gap]
pair = "p"
sites = ["resid_pots.2"]
"""
    code, _, err = said("check", write(head='colour = "blue"\n' + fakes.TINY + text))
    assert code == 2
    clear(err, "colour", r"views\.x\.model", r"views\.y\.model.*Did you mean base", r"'prob'",
          r"gone\.jsonl", r"metrics\.gap\.pair", r"Did you mean resid_post\.2")  # fmt: skip
    assert len(err.splitlines()) == 7
    assert all(re.search(r"task\.toml:\d+: ", line) for line in err.splitlines())


@pytest.mark.parametrize(
    ("parent", "what"),
    [
        ("task.toml", r"goes round in a circle: .*task\.toml → .*task\.toml"),
        ("gone.toml", r"gone\.toml: no such task file\. It is extended by .*task\.toml"),
        ("", r"cannot be read: Is a directory\. It is extended by"),
        (".", r"cannot be read: Is a directory\. It is extended by"),
        ("/dev/zero", r"/dev/zero: is no file.*It is extended by"),
        ("pipe.toml", r"is no file.*It is extended by"),
        ("a\\nb.toml", r"task\.toml:1: extends: .*control characters"),
        ("a.bin", r"is not UTF-8 text: .*It is extended by"),
    ],
)
def test_what_cannot_be_extended_is_named_with_who_wants_it(
    said: Said, tmp_path: Path, parent: str, what: str
) -> None:
    (tmp_path / "a.bin").write_bytes(b"\xff\xfe")
    (tmp_path / "task.toml").write_text(f'extends = "{parent}"\nname = "x"\n')
    os.mkfifo(tmp_path / "pipe.toml")  # which nobody writes to
    code, _, err = said("check", tmp_path / "task.toml")
    assert code == 2
    clear(err, what)
    assert len(err.splitlines()) == 1


# ── Plugins ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "requires", "reason"),
    [
        ("import no_such_module\n", (), "No module named 'no_such_module'"),
        ("raise SystemExit(3)\n", (), "SystemExit: 3"),
        ("x = \n", (), "SyntaxError"),
        ("", ("sae-harness>=99",), "wants sae-harness>=99"),
        ("", (), "harness_components"),
    ],
)
def test_a_plugin_that_breaks_is_reported_and_fatal_only_where_it_is_used(
    said: Said, write: Write, fake_plugin: Path, fake_dist: Callable[..., Path],
    code: str, requires: tuple[str, ...], reason: str,
) -> None:  # fmt: skip
    fake_dist("acme-broken", code, requires=requires)
    exit_code, out, _ = said("plugins")
    assert exit_code == 0
    assert re.search(rf"acme_broken .*failed.*{re.escape(reason)}", out, re.DOTALL)
    assert said("check", write(EXPERIMENT))[0] == 0
    exit_code, _, err = said("check", write("[metrics.broken]\nview='base'\ndata='web'\n"))
    assert exit_code == 2
    clear(err, r"metrics\.broken\.method: unknown metric", re.escape(reason))


def test_a_plugin_that_is_there_twice_is_named_with_both_owners(
    said: Said, fake_plugin: Path, fake_dist: Callable[..., Path]
) -> None:
    fake_dist("acme-twin", entry_points=("fake = fakes",))
    code, _, err = said("plugins")
    assert code == 2
    clear(err, "'fake' is offered by acme-fake and by acme-twin", "uninstall one of them")


def test_a_name_that_two_plugins_have_is_asked_for_in_full(
    said: Said, write: Write, fake_plugin: Path, fake_dist: Callable[..., Path]
) -> None:
    fake_dist("acme-twin", "from fakes import harness_components\n")
    code, _, err = said("check", write("[directions.d]\nmethod = 'probe'\n"))
    assert code == 2
    clear(err, "'probe' is offered by more than one plugin", "acme_twin/probe, fake/probe")


# ── Models and SAEs of files that are wrong ──────────────────────────────────────────────────────

REAL = """\
name = "real"
[models.base]
path = "base"
[views.base]
model = "base"
[saes.mid]
path = "sae"
model = "base"
site = "resid_post.4"
[data.web]
file = "web.jsonl"
limit = 3
[metrics.l0]
view = "base"
data = "web"
saes = ["mid"]
"""


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A task on copies of the organism's base model and an SAE of it."""
    for name, source in (("base", "base"), ("sae", "saes/resid_post.4")):
        shutil.copytree(ORGANISM / source, tmp_path / name)
    shutil.copyfile(ORGANISM / "data" / "web.jsonl", tmp_path / "web.jsonl")
    (tmp_path / "real.toml").write_text(REAL)
    return tmp_path / "real.toml"


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def not_finite(file: Path) -> None:
    tensors = load_file(file)
    name = max(tensors, key=lambda one: tensors[one].numel())
    tensors[name].view(-1)[5] = torch.nan
    save_file(tensors, file, {"format": "pt"})


def garbage(file: Path) -> None:
    file.write_bytes(b"\xff" * 100)


@pytest.mark.parametrize(
    ("damaged", "damage", "parts"),
    [
        ("sae/sae_weights.safetensors", cut_off, [r"saes\.mid|SAE", "sae_weights"]),
        ("sae/sae_weights.safetensors", garbage, [r"saes\.mid|SAE", "sae_weights"]),
        ("sae/sae_weights.safetensors", not_finite, ["W_", "finite|NaN"]),
        ("base/model.safetensors", cut_off, ["model.safetensors"]),
        ("base/model.safetensors", garbage, ["model.safetensors"]),
        ("base/model.safetensors", not_finite, [r"base.*finite|NaN"]),
        ("base/config.json", garbage, ["config.json"]),
        ("base/tokenizer.json", garbage, ["token"]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_damaged_files_are_named(
    said: Said, real: Path, tmp_path: Path, damaged: str, damage: Callable[[Path], None],
    parts: list[str],
) -> None:  # fmt: skip
    damage(tmp_path / damaged)
    code, _, err = said("eval", real, "--out", tmp_path / "run")
    assert code == 2, err
    clear(err, *parts)
    assert not (tmp_path / "run" / "results.json").exists()


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["saes.mid.site=resid_post.6", "saes.mid.check_site=false"],
         [r"saes\.mid\.site: resid_post\.6 is deeper than base, which has 6 blocks"]),
        (["metrics.l0.saes=[]"], [r"metrics\.l0: .*l0 measures an SAE, and there is none"]),
        (["views.base.prompt={style='chat'}"], [r"views\.base\.prompt: .*no chat template.*plain"]),
        (["data.solved.file=web.jsonl", "data.solved.limit=40",
          "views.base.prompt={demonstrations={data='solved', count=40, answer='text'}}"],
         [r"views\.base: example .*tokens, \d+ of them before the query, with its 40 examples\. "
          r"Allowed: \d+, the context of", r"Show fewer \(prompt\.demonstrations\.count\)"]),
        (["views.base.prompt={demonstrations={data='web', count=4, answer='text'}}"],
         [r"data\.web: has 3 rows, and 4 demonstrations are wanted\. Lower the count"]),
        (["views.base.prompt={template='{quesiton}'}"],
         [r"views\.base: .*column 'quesiton' does not exist\. Allowed: .*text"]),
        (["data.web.column=id"], [r"data\.web: row 1 of .* has no column 'id'\. It has: text"]),
        (["models.base.device=cuda:77"], ["device 'cuda:77' cannot be used"]),
        (["models.base.dtype=float8"], [r"models\.base\.dtype: .*bfloat16"]),
        (["saes.mid.path=sae/resid_post.4.width_999"], ["no such file or folder"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_model_is_said(
    said: Said, real: Path, tmp_path: Path, overrides: list[str], parts: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    flags = [word for one in overrides for word in ("--set", one)]
    code, _, err = said("eval", real, "--out", tmp_path / "run", *flags)
    assert code == 2, err
    clear(err, *parts)
    assert not (tmp_path / "run" / "results.json").exists()


def test_a_module_that_is_not_there_is_named_with_one_that_is(
    said: Said, real: Path, tmp_path: Path
) -> None:
    """A path that looks like none of our kinds can only be known to be wrong by the model."""
    pair = '[pairs.p]\nleft = "base"\nright = "base"\ndata = "web"\nsites = ["model.layer.2.mlp"]\n'
    real.write_text(REAL.partition("[metrics")[0] + pair + '[metrics.cosine]\npair = "p"\n')
    code, _, err = said("eval", real, "--out", tmp_path / "run")
    assert code == 2, err
    clear(err, r"site model\.layer\.2\.mlp: no such module", r"Did you mean model\.layers\.2\.mlp")


def test_a_per_token_injection_is_refused_for_completions(said: Said) -> None:
    """Tokens that no other model has read have no change of their own."""
    task = task_folders()[0] / "mechanism.toml"
    where = "experiments.inject.intervention"
    code, _, err = said("check", task, "--set", f"{where}.tuned=prompt")
    assert code == 2
    clear(err, r"experiments\.inject\.intervention: .*no other view has read",
          "constant variant", r"views\.NAME\.edit")  # fmt: skip


def test_an_adapter_that_changes_nothing_makes_the_run_invalid(
    said: Said, write: Write, fake_plugin: Path, tmp_path: Path
) -> None:
    text = EXPERIMENT.replace('saes = ["mid"]', 'saes = ["mid"]\nexpect = "different"')
    code, _, err = said("eval", write(text), "--set", "models.chat.scale=1", "--out", "run")
    assert code == 3
    clear(err, r"pairs\.p: .*are the same")
    assert not fakes.LAB.generated
    assert load_results(Path("run")).status == "invalid"


def test_activations_that_are_not_finite_name_model_layer_and_document(
    said: Said, write: Write, fake_plugin: Path, tmp_path: Path
) -> None:
    file = write(EXPERIMENT)
    (tmp_path / "web.jsonl").write_text('{"text": "fine"}\n{"text": "bad ∞ one"}\n')
    code, _, err = said("eval", file, "--out", "run")
    assert code == 2
    clear(err, r"views\.\w+", r"resid_post\.2", "not finite", "bad ∞ one")


# ── The machine ──────────────────────────────────────────────────────────────────────────────────


def in_a_process_of_its_own(before: Callable[[], None], *arguments: object) -> tuple[int, str]:
    """Runs the command in a fork of this process, which has everything imported already: how the
    process ended (minus the signal that killed it), and what it complained of."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        torch.set_num_threads(1)  # the other threads of a pool are not in the fork
        code = 99
        try:
            before()
            code = main([str(one) for one in arguments])
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(writer)
    deadline = time.monotonic() + 60
    with os.fdopen(reader, errors="replace") as complaints:
        ended, status = os.waitpid(child, os.WNOHANG)
        while not ended:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.01)
            ended, status = os.waitpid(child, os.WNOHANG)
        return os.waitstatus_to_exitcode(status), complaints.read()


def killed_at(where: str, number: int) -> Callable[[], None]:
    """Makes the process kill itself, without warning, at its n-th step of a kind."""

    def before() -> None:
        counted = 0

        def step(was: Callable[..., Any]) -> Callable[..., Any]:
            def counting(*given: Any, **named: Any) -> Any:
                nonlocal counted
                counted += 1
                if counted == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return was(*given, **named)

            return counting

        match where:
            case "forward":
                fakes.FakeModel.activations = step(fakes.FakeModel.activations)  # type: ignore[method-assign]
            case "completion":
                fakes.FakeModel.generate = step(fakes.FakeModel.generate)  # type: ignore[method-assign]
            case "rename":
                os.replace = step(os.replace)

    return before


def numbers(folder: Path) -> list[Any]:
    """All records of a finished run."""
    content = json.loads((folder / "results.json").read_text())
    assert content["status"] == "complete"
    return list(content["records"])


@pytest.mark.parametrize(
    ("where", "number"),
    [("forward", 1), ("forward", 5), ("forward", 9), ("completion", 1), ("completion", 3),
     ("completion", 5), *(("rename", n) for n in range(1, 12, 2))],
)  # fmt: skip
def test_a_run_that_is_killed_continues_to_the_same_numbers(
    said: Said, write: Write, fake_plugin: Path, tmp_path: Path, where: str, number: int
) -> None:
    task = write(EXPERIMENT)
    arguments = ["eval", task, "--out", tmp_path / "run"]
    code, err = in_a_process_of_its_own(killed_at(where, number), *arguments)
    assert (code, err) == (-signal.SIGKILL, "")
    assert not (tmp_path / "run" / "results.json").exists() or where == "rename"
    code, _, err = said(*arguments)
    assert (code, err) == (0, "")
    assert said("eval", task, "--out", tmp_path / "calm")[0] == 0
    assert numbers(tmp_path / "run") == numbers(tmp_path / "calm")


@pytest.mark.parametrize("forward", [1, 4, 8])
def test_a_run_that_is_interrupted_in_a_pass_continues(
    said: Said, write: Write, fake_plugin: Path, tmp_path: Path, forward: int
) -> None:
    task = write(EXPERIMENT)
    fakes.LAB.crash_at_forward, fakes.LAB.crash = forward, KeyboardInterrupt()
    code, _, err = said("eval", task, "--out", tmp_path / "run")
    assert code == 130
    clear(err, "interrupted. Run the same command again to continue")
    fakes.LAB.clear()
    assert said("eval", task, "--out", tmp_path / "run")[0] == 0
    assert said("eval", task, "--out", tmp_path / "calm")[0] == 0
    assert numbers(tmp_path / "run") == numbers(tmp_path / "calm")


@pytest.mark.parametrize("size", [10, 300, 700, 1500, 3000, 6000, 20_000])
def test_a_disk_that_is_full_is_said_and_a_rerun_continues(
    said: Said, write: Write, fake_plugin: Path, tmp_path: Path, size: int
) -> None:
    """The kernel refuses to write beyond so many bytes of a file: a real short write."""
    task = write(EXPERIMENT)
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # noqa: E731
    code, err = in_a_process_of_its_own(limit, "eval", task, "--out", tmp_path / "run")
    assert code == 4, err
    clear(err, "File too large", "make room and run the same command again")
    assert not (tmp_path / "run" / "results.json").exists() or numbers(tmp_path / "run")
    code, _, err = said("eval", task, "--out", tmp_path / "run")
    assert (code, err) == (0, "")
    assert said("eval", task, "--out", tmp_path / "calm")[0] == 0
    assert numbers(tmp_path / "run") == numbers(tmp_path / "calm")
    assert not list((tmp_path / "run").rglob("*.partial"))


def test_a_folder_that_may_not_be_written_is_said(
    said: Said, write: Write, fake_plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs the tests may write everywhere; the system says here that they may not."""

    def refused(file: Path, text: str) -> None:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr("harness.folder.write_text", refused)
    code, _, err = said("eval", write(EXPERIMENT), "--out", "run")
    assert code == 2
    clear(err, r"run/\.task: cannot be used: Permission denied\. Name another folder with --out")
