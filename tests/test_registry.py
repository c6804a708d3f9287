"""Plugins: found one by one, guarded, named in full, and never more than their own failure."""

from __future__ import annotations

import signal
from collections.abc import Callable
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from harness.authoring.listing import list_plugins
from harness.errors import PluginError, TaskError
from harness.registry import Plugin, Registry, discover
from harness.task.file import builtin_tasks, read_source
from harness.task.load import load_for_command
from harness.task.resolve import resolve

FakeDist = Callable[..., Path]

ONE = """
from harness.contract import Component, hookimpl

@hookimpl
def harness_components():
    return [Component("metric", "{name}", "a metric", "{module}:Load", "{module}:Options")]
"""


def plugin_code(module: str, name: str) -> str:
    return ONE.format(module=module, name=name)


def plugin(registry: Registry, name: str) -> Plugin:
    (found,) = [plugin for plugin in registry.plugins if plugin.name == name]
    return found


INSTALLED = discover()
NAMES = [plugin.name for plugin in INSTALLED.plugins]


def identities(registry: Registry) -> set[tuple[str, str, str]]:
    return {(p.name, c.kind, c.name) for p in registry.plugins for c in p.components}


def test_a_folder_with_metadata_on_the_path_is_a_plugin(fake_dist: FakeDist) -> None:
    fake_dist("acme-one", plugin_code("acme_one", "thing"), version="2.5")
    registry = discover()
    found = plugin(registry, "acme_one")
    assert (found.status, found.distribution, found.version) == ("ready", "acme-one", "2.5")
    assert str(registry.find("metric", "thing")) == "acme_one/thing"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
        ("1 / 0", "ZeroDivisionError"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(5)", "SystemExit"),
        (ONE.replace("harness_components", "harness_component"), "harness_component"),
        (ONE.replace("harness_components()", "harness_components(config)"), "config"),
        (ONE.replace("return [", "return 5, ["), "must return Components, not 5"),
        (ONE.replace("return [Component", "return [1, Component"), "must return Components, not 1"),
        (ONE.replace("return [", "raise KeyError('k')\n    return ["), "KeyError"),
        (ONE.replace("return [", "x = ") .replace(")]", ")\n    return [x, x]"), "listed twice"),
        (ONE.replace('"metric"', '"metrics"'), "metrics"),
        ("x = 1", "harness_components"),
        (ONE.replace("@hookimpl", ""), "harness_components"),
    ],
    ids=["needs", "raises", "divides", "syntax", "exits", "misspelt", "argument", "not-iterable",
         "not-a-component", "hook-raises", "twice", "kind", "no-hook", "unmarked"],
)  # fmt: skip
def test_a_plugin_that_breaks_is_failed_with_its_reason_and_all_others_work(
    fake_dist: FakeDist, code: str, reason: str
) -> None:
    fake_dist("acme-bad", code.replace("{module}", "acme_bad").replace("{name}", "bad"))
    fake_dist("acme-good", plugin_code("acme_good", "good"))
    fake_dist("zzz-good", plugin_code("zzz_good", "late"))
    registry = discover()
    bad = plugin(registry, "acme_bad")
    assert bad.status == "failed"
    assert reason in bad.reason
    assert not bad.components
    assert identities(registry) == identities(INSTALLED) | {
        ("acme_good", "metric", "good"),
        ("zzz_good", "metric", "late"),
    }
    assert "acme_bad  (acme-bad 1.0)  failed: " in list_plugins(registry)


def test_a_broken_plugin_is_fatal_only_to_a_task_that_names_it(
    fake_dist: FakeDist, write: Callable[..., Path], fake_plugin: Path
) -> None:
    fake_dist("acme-bad", "raise RuntimeError('no luck')")
    registry = discover()
    fine = write()
    assert resolve(read_source(fine), registry)
    for more in ("models.base.backend=acme_bad/x", 'requires=["acme-bad>=1.0"]'):
        with pytest.raises(TaskError, match=r"acme.bad.*no luck"):
            resolve(read_source(fine, [more]), registry)


@pytest.mark.parametrize("requirement", ["acme-one>=2", "Acme_One", "acme.one ~= 2.5"])
def test_a_required_distribution_has_its_name_in_any_spelling(
    fake_dist: FakeDist, write: Callable[..., Path], fake_plugin: Path, requirement: str
) -> None:
    fake_dist("acme-one", plugin_code("acme_one", "thing"), version="2.5")
    assert resolve(read_source(write(), [f'requires=["{requirement}"]']), discover())


def test_a_required_plugin_that_is_turned_off_is_missing(
    fake_dist: FakeDist, write: Callable[..., Path], fake_plugin: Path
) -> None:
    fake_dist("acme-one", plugin_code("acme_one", "thing"))
    with pytest.raises(TaskError, match="acme-one"):
        resolve(read_source(write(), ['requires=["acme-one"]']), discover(["acme_one"]))


def test_two_distributions_that_offer_one_name_are_an_error_that_names_both(
    fake_dist: FakeDist,
) -> None:
    fake_dist("acme-one", entry_points=("thing = acme_one",))
    fake_dist("acme-two", entry_points=("thing = acme_two",))
    with pytest.raises(PluginError, match=r"'thing' is offered by acme-one and by acme-two"):
        discover()


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_a_disabled_plugin_is_not_even_imported(
    fake_dist: FakeDist, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    witness = tmp_path / "imported"
    code = f"open({str(witness)!r}, 'w').close()\n" + plugin_code("acme_one", "thing")
    fake_dist("acme-one", code)
    if how == "variable":
        monkeypatch.setenv("HARNESS_DISABLE", "acme_one harness_metrics")
    registry = discover(["acme_one"] if how == "argument" else [])
    assert not witness.exists()
    assert plugin(registry, "acme_one").status == "disabled"
    assert "acme_one" in registry.disabled
    with pytest.raises(PluginError, match=r"acme_one \(disabled"):
        registry.find("metric", "thing")
    monkeypatch.delenv("HARNESS_DISABLE", raising=False)
    discover()
    assert witness.exists()


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_a_plugin_that_is_not_there_cannot_be_disabled(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "variable":
        monkeypatch.setenv("HARNESS_DISABLE", "harness_metrisc")
    with pytest.raises(PluginError, match="Did you mean harness_metrics"):
        discover(["harness_metrisc"] if how == "argument" else [])


@pytest.mark.parametrize(
    ("requires", "status"),
    [
        (("sae-harness>=0.1",), "ready"),
        (("sae-harness>=99",), "failed"),
        (("SAE_Harness>=99",), "failed"),
        (("sae.harness>=99",), "failed"),
        (('sae-harness>=99; extra == "dev"',), "ready"),
        (('sae-harness>=99; python_version < "3"',), "ready"),
        (("sae-harness-extras>=99",), "ready"),
        (("torch>=99",), "ready"),
        (("sae-harness ~~ banana",), "failed"),
        ((), "ready"),
    ],
)
def test_a_plugin_that_wants_another_version_of_us_is_failed_without_an_import(
    fake_dist: FakeDist, requires: tuple[str, ...], status: str
) -> None:
    code = plugin_code("acme_one", "thing")
    fake_dist("acme-one", code if status == "ready" else "raise AssertionError", requires=requires)
    found = plugin(discover(), "acme_one")
    assert found.status == status
    assert bool(found.reason) == (status == "failed")
    assert "AssertionError" not in found.reason


def test_a_short_name_that_two_plugins_offer_is_an_error_that_lists_both(
    fake_dist: FakeDist,
) -> None:
    fake_dist("acme-one", plugin_code("acme_one", "thing"))
    fake_dist("acme-two", plugin_code("acme_two", "thing"))
    registry = discover()
    with pytest.raises(PluginError, match=r"acme_one/thing, acme_two/thing"):
        registry.find("metric", "thing")
    assert str(registry.find("metric", "acme_two/thing")) == "acme_two/thing"
    assert str(discover(["acme_one"]).find("metric", "thing")) == "acme_two/thing"


def test_a_kind_that_no_plugin_has_may_be_newer_than_the_installation() -> None:
    """What a user of an older version finds who updates the code alone."""
    with pytest.raises(PluginError, match=r"Allowed: none\. .* install it again: `pip install -e"):
        Registry(()).find("export", "csv")
    there = Plugin("p", "p", "1", "disabled", "turned off")
    with pytest.raises(PluginError, match=r"Allowed: none\. Plugins that are not in use: p"):
        Registry((there,)).find("export", "csv")


def test_a_guess_does_not_mind_the_case() -> None:
    for word in ("HARMBENCH", "HarmBanch"):
        with pytest.raises(PluginError, match="Did you mean harmbench"):
            discover().find("evaluator", word)


def test_a_name_belongs_to_its_kind(fake_dist: FakeDist) -> None:
    fake_dist("acme-one", plugin_code("acme_one", "thing"))
    with pytest.raises(PluginError, match="unknown evaluator 'thing'"):
        discover().find("evaluator", "thing")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("acme_two:Load", "cannot be imported: No module named 'acme_two'"),
        ("acme_one:Lod", "acme_one has no 'Lod'"),
        ("acme_one:needs", "acme_one has no 'needs'"),
    ],
)
def test_what_a_component_names_must_exist(fake_dist: FakeDist, path: str, said: str) -> None:
    fake_dist("acme-one", plugin_code("acme_one", "thing").replace("acme_one:Load", path))
    with pytest.raises(PluginError, match=said):
        discover().find("metric", "thing").load()


def test_the_missing_requirement_of_a_component_comes_with_its_command(fake_dist: FakeDist) -> None:
    code = plugin_code("acme_one", "thing").replace("acme_one:Load", "no_such:Load")
    fake_dist("acme-one", code.replace(")]", ', "acme[all]")]'))
    with pytest.raises(PluginError, match=r"pip install 'acme\[all\]'"):
        discover().find("metric", "thing").load()


def test_options_that_are_no_options_are_the_plugins_error(fake_dist: FakeDist) -> None:
    fake_dist("acme-one", plugin_code("acme_one", "thing") + "Options = dict\n")
    with pytest.raises(PluginError, match=r"plugin acme_one: .* subclass of harness\.contract"):
        discover().find("metric", "thing").options()


@pytest.mark.parametrize("name", NAMES)
def test_disabling_a_built_in_plugin_removes_exactly_its_components(name: str) -> None:
    mine = {identity for identity in identities(INSTALLED) if identity[0] == name}
    assert mine, f"{name} provides nothing: {plugin(INSTALLED, name)}"
    without = discover([name])
    assert identities(without) == identities(INSTALLED) - mine
    assert [p.name for p in without.plugins if p.status == "disabled"] == [name]


def _installed(extra: str) -> bool:
    """Whether the packages of an extra such as `sae-harness[wandb]` are here."""
    name = extra.partition("[")[2].rstrip("]")
    wanted = [Requirement(text) for text in requires("sae-harness") or ()]
    needed = [one.name for one in wanted if one.marker and one.marker.evaluate({"extra": name})]
    return all(find_spec(package) for package in needed)


@pytest.mark.parametrize("name", NAMES)
def test_everything_that_a_plugin_lists_can_be_loaded(name: str) -> None:
    owned = [o for p in INSTALLED.plugins for c in p.components for o in INSTALLED.of(c.kind)
             if p.name == name and o.plugin is p and o.component is c]  # fmt: skip
    assert owned, plugin(INSTALLED, name).reason
    for one in owned:
        if one.component.extra and not _installed(one.component.extra):
            continue
        assert isinstance(one.load(), type), one
        assert one.options().__doc__, one
        assert one.component.summary


# ── What a stranger's plugin does to us ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import time\ntime.sleep(60)", "importing it takes more than 0.5 s"),
        ("while True:\n    pass", "importing it takes more than 0.5 s"),
        ("class Mine(BaseException): pass\nraise Mine('no')", "Mine: no"),
    ],
)
def test_a_plugin_that_stops_or_hangs_at_import_stops_nothing(
    fake_dist: FakeDist, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    """CASES row 31: it hung or ended every command."""
    monkeypatch.setattr("harness.registry.guard.SLOWEST", 0.5)
    fake_dist("acme-bad", code)
    fake_dist("zzz-good", plugin_code("zzz_good", "late"))
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    registry = discover()
    assert plugin(registry, "acme_bad").reason == reason
    assert plugin(registry, "zzz_good").status == "ready"
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_the_user_may_still_interrupt_an_import(fake_dist: FakeDist) -> None:
    fake_dist("acme-slow", "import os, signal\nos.kill(os.getpid(), signal.SIGINT)")
    # A shell in the background starts processes that ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            discover()
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_a_plugin_prints_is_not_in_our_output(
    fake_dist: FakeDist, said: Callable[..., tuple[int, str, str]]
) -> None:
    """CASES row 31: it stood in the JSON of `harness schema`."""
    fake_dist("acme-loud", "print('hello')\n" + plugin_code("acme_loud", "loud"))
    code, out, err = said("plugins", "harness_labels")
    assert (code, "hello" in out, "hello" in err) == (0, False, True)


def test_options_that_break_at_import_are_an_error_of_that_plugin(fake_dist: FakeDist) -> None:
    fake_dist("acme-odd", plugin_code("acme_options", "odd"))
    fake_dist("acme-options", "1 / 0")
    with pytest.raises(PluginError, match=r"acme_odd/odd: .*ZeroDivisionError.*plugin's author"):
        discover().find("metric", "odd").options()


# ── Names that two plugins have ──────────────────────────────────────────────────────────────────


def test_our_own_defaults_and_tasks_name_our_own_components(
    fake_dist: FakeDist, write: Callable[..., Path], tmp_path: Path
) -> None:
    """CASES row 30: with a plugin's metric `l0`, built-in tasks no longer passed `check`."""
    entry = '    Component("{}", "{}", "x", "acme_two:Load", "acme_two:Options"),\n'
    also = [("metric", "l0"), ("metric", "fvu"), ("metric", "cosine"), ("backend", "transformers")]
    fake_dist(
        "acme-two",
        "from harness.contract import Component, hookimpl\n@hookimpl\n"
        f"def harness_components():\n    return [\n{''.join(entry.format(*one) for one in also)}]",
    )
    registry = discover()
    drift = load_for_command(registry, "drift", ["data.web.at_most=4"])
    assert {str(owner).partition("/")[0] for owner in drift.owners()} & {"acme_two"} == set()
    # A task of one's own that extends it and writes the name itself must say whose it means.
    (own := tmp_path / "own.toml").write_text('extends = "drift"\n[metrics.mine]\nmethod = "l0"\n')
    with pytest.raises(TaskError, match=r"own\.toml:\d+: metrics\.mine\.method: .*acme_two/l0"):
        resolve(read_source(own), registry)
    own.write_text('extends = "drift"\n[preflight]\nalso = ["l0"]\n')
    with pytest.raises(TaskError, match=r"own\.toml:\d+: preflight: .*harness_metrics/l0"):
        resolve(read_source(own), registry)
    own.write_text('extends = "drift"\n[preflight]\nalso = ["acme_two/l0"]\n')
    assert "more than one" not in str(_problems(own, registry))
    own.write_text('extends = "drift"\n')
    assert resolve(read_source(own), registry).metrics.keys() == drift.metrics.keys()


def _problems(file: Path, registry: Registry) -> str:
    with pytest.raises(TaskError) as caught:
        resolve(read_source(file), registry)
    return str(caught.value)


def test_a_built_in_task_is_extended_by_its_name(
    tmp_path: Path, said: Callable[..., tuple[int, str, str]]
) -> None:
    """CASES row 33: `extends = "refusal"` was no such file."""
    (own := tmp_path / "refusal.toml").write_text('extends = "refusal"\ntitle = "Mine"\n')
    theirs, mine = read_source(builtin_tasks()["refusal"]), read_source(own)
    assert {**mine.values, "title": theirs.values["title"]} == theirs.values
    own.write_text('extends = "refusla"\n')
    with pytest.raises(TaskError, match=r"no such task file.*a built-in task: .*refusal"):
        read_source(own)
    code, out, _ = said("tasks")
    assert code == 0
    assert str(builtin_tasks()["refusal"].parent) in out
