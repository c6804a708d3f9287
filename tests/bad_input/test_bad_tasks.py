"""Tasks, data and plugins that are wrong, said by the command itself.

Each ends with its exit code and one clear message: where, what is wrong, what is allowed, what to
do; without a traceback, and with nothing half-written. What single modules say is tested beside
them; here is what a person sees.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import fakes

from .conftest import EXPERIMENT, Said, Write, clear

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
        ("[data.x]\nfile='web.jsonl'\nshuffle=99999999999999999999\n",
         [r"data\.x\.shuffle: is beyond the integers of TOML"]),
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
