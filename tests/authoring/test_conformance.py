"""`harness plugins check`: what is right passes, and what is broken is named by its law.

Broken plugins are packages of `harness new` with one thing changed.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import harness.testing
from harness.authoring.conformance.check import LawResult, check
from harness.authoring.conformance.sampled import laws_of
from harness.authoring.conformance.table import laws
from harness.authoring.listing import components
from harness.cli.main import main
from harness.contract import Kind
from harness.errors import PluginError
from harness.registry import discover

Change = tuple[str, str, str]
"""A file of the package, what stands there, and what is put in its place."""
Install = Callable[..., str]

pytestmark = pytest.mark.usefixtures("asked_once")
BUILT_IN = [plugin.name for plugin in discover().plugins]


def results(package: str) -> list[LawResult]:
    return list(check(components(discover(), package)))


def failures(package: str) -> list[str]:
    return [f"{one.law}: {one.why}" for one in results(package) if one.outcome == "FAILED"]


# ── What is right ────────────────────────────────────────────────────────────────────────────────


TRUE_REASONS = re.compile(
    "it has no options|it is of a kind for which a task has no table|it states no null for "
    "identical sides|no sample gives batches; what reads no activations has none"
    "|its arms have no (gate|checks)|it has no strength, or|it reads no other view, or"
    "|it is given another view's activations"
    "|no sample has the table `completions`|no table of the samples has text that a model"
    "|the model (has no method generate_each|offers everything|does not offer)"
    r"|no sample gives `(kept|ahead)`|.*It needs: pip install 'sae-harness\[\w+\]'"
    "|the files hold no score under an intervention"
    "|it shows no figure of|it is lent no model with torch|[0-9]+ verdicts in 10 s"
)
"""Why a law is not tried on something of ours: there is nothing that it could be tried on."""


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_component_keeps_the_laws(name: str) -> None:
    found = results(name)
    assert [(one.law, one.why) for one in found if one.outcome == "FAILED"] == []
    mine = components(discover(), name)
    assert all(one.component.samples for one in mine)
    # Of a component whose extra is not installed here, only what needs no import is tried.
    lacking = {one.owned for one in found if "It needs: pip install" in one.why}
    assert len(found) >= 16 * (len(mine) - len(lacking))
    untried = [(str(one.owned), one.law, one.why) for one in found if one.outcome == "not tried"]
    assert [one for one in untried if not TRUE_REASONS.match(one[2])] == []


@pytest.mark.slow
def test_what_is_checked_is_printed_law_by_law(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("metric", "fine")
    assert main(["plugins", "check", "fine"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("harness_fine/fine  (metric)\n     passed  declaring the plugin imports")
    assert "     passed  the laws of its kind: padding\n" in out
    assert main(["plugins", "check", "harness_fine/fine"]) == 0
    assert capsys.readouterr().out == out


@pytest.mark.slow
def test_without_samples_the_laws_of_the_kind_are_not_tried_and_it_is_said(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("metric", "bare", ("plugin.py", 'samples="harness_bare.samples:samples",', ""))
    assert main(["plugins", "check", "bare"]) == 0
    said = capsys.readouterr().out
    assert "\n  not tried  the laws of its kind\n             it ships no samples, so" in said


@pytest.mark.slow
def test_the_tables_are_80_columns_wide_and_count_what_came_out(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reasons stand once below all laws that share them; the counts add up to what is listed."""
    package = install("intervention", "wide")
    assert main(["plugins", "check", package]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    why = " ".join(line.strip() for line in lines if not line[:11].strip())
    assert why.count("no sample gives `model` and `tokens`") == 1
    assert why.count("it reads no other view") == 1
    of = [line[:11].strip() for line in lines if line.startswith(" ")]
    assert f"{of.count('passed')} laws passed, 0 failed, {of.count('not tried')} not" in lines[-1]
    assert main(["plugins", "check", "harness_labels"]) == 0
    *rows, last = capsys.readouterr().out.rpartition("\n\n")[2].splitlines()
    assert rows[0].split() == ["component", "passed", "failed", "not", "tried"]
    assert [row.split()[0] for row in rows[1:]] == [
        f"harness_labels/{name}" for name in ("neuronpedia", "contexts", "file")
    ]
    passed = sum(int(row.split()[1]) for row in rows[1:])
    assert last == f"{passed} laws passed, 0 failed, 0 not tried."


def test_hostile_names_of_laws_and_reasons_stay_text() -> None:
    """What a plugin raises is a stranger's text: no escapes, and no row of its own."""
    (owned,) = components(discover(), "harness_labels/file")
    said = list(laws([LawResult(owned, "FAILED", "x\x1b[2J", "a\n     passed  all\x07")]))
    assert said[0].startswith("     FAILED  x")
    assert all(line.isprintable() for line in said)
    assert not said[1].startswith("     passed")


@pytest.mark.slow
def test_a_law_without_anything_to_try_it_on_has_not_passed(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    """CASES row 35: laws were told as passed that no sample had anything for."""
    install("intervention", "half")
    found = results("half")
    (module,) = [one for one in found if one.law == "the laws of its kind"]
    assert module.outcome == "passed"
    by_law = {one.law.partition("the laws of its kind: ")[2]: one for one in found}
    assert by_law["shape and dtype kept"].outcome == "passed"
    given = {one for one in found if one.outcome == "not tried"}
    assert all(one.why for one in given)
    assert main(["plugins", "check", "half"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    counts = [sum(one.outcome == kind for one in found) for kind in ("passed", "FAILED")]
    assert last == f"{counts[0]} laws passed, {counts[1]} failed, {len(given)} not tried."


@pytest.mark.slow
def test_what_no_sample_reaches_is_named_with_what_it_would_take(install: Install) -> None:
    """CASES row 35: a finder without batches has tried no order and no merge; an intervention
    without a model has run on none."""
    finder = {one.law: one for one in results("harness_directions/random")}
    split = finder["the laws of its kind: any split into batches gives the same"]
    assert split.outcome == "not tried"
    assert "no sample gives batches" in split.why
    assert finder["the laws of its kind: every variant comes out once"].outcome == "passed"
    install("intervention", "modest")
    edit = {one.law: one for one in results("harness_modest")}
    fires = edit["the laws of its kind: edits fire and keep their promises"]
    assert fires.outcome == "not tried"
    assert "harness.testing.organism" in fires.why
    strong = {one.law: one for one in results("harness_interventions/ablation")}
    assert strong["the laws of its kind: strength 0 is the identity"].outcome == "not tried"
    bare = {one.law: one for one in results("harness_interventions/addition")}
    assert bare["the laws of its kind: strength 0 is the identity"].outcome == "passed"


def test_every_check_names_its_laws() -> None:
    checks = [name for name in dir(harness.testing) if name.startswith("check_")]
    assert len(checks) == 15
    for name in checks:
        laws = laws_of(getattr(harness.testing, name))
        assert len(laws) >= 8, name
        assert all(re.fullmatch(r".{3,110}", law) and "·" not in law for law in laws), laws


# ── What is broken ───────────────────────────────────────────────────────────────────────────────

UNPICKLES = (
    "sae.py",
    "        facts = self.options.describe()\n",
    "        import pickle\n\n"
    "        try:\n"
    "            with open(self.options.path, 'rb') as file:\n"
    "                pickle.load(file)\n"
    "        except Exception:\n"
    "            pass\n"
    "        facts = self.options.describe()\n",
)
LOADS_WITH_TORCH = (
    "sae.py",
    "        facts = self.options.describe()\n",
    "        import torch\n\n"
    "        try:\n"
    "            with open(self.options.path, 'rb') as file:\n"
    "                torch.load(file, weights_only=False)\n"
    "        except Exception:\n"
    "            pass\n"
    "        facts = self.options.describe()\n",
)
LEFT_BEHIND = (
    "backend.py",
    "        try:\n            yield receipts\n        finally:\n            self._session = None",
    "        yield receipts\n        self._session = None",
)
ORDER_DEPENDENT = (
    "statistic.py",
    "        merged = {**left, **right}\n",
    "        if right.get('tokens', 0) > left.get('tokens', 0):\n"
    "            return dict(right)\n"
    "        merged = {**left, **right}\n",
)
OF_ITS_OWN = (
    "statistic.py",
    "        return self.merge(\n            state,",
    "        return plus(\n            state,",
)
PLUS = (
    "statistic.py",
    "class Wrong4Statistic:",
    "def plus(left, right):\n"
    "    shared = {name: left[name] + right[name] for name in left.keys() & right.keys()}\n"
    "    return {**left, **right, **shared}\n\n\n"
    "class Wrong4Statistic:",
)
Broken = tuple[str, Kind, list[Change], str]
HEAVY: list[Broken] = [
    (
        "imports torch at declaration",
        "metric",
        [("plugin.py", "from harness.contract", "import torch\nfrom harness.contract")],
        r"declaring the plugin imports nothing heavy: it imports torch",
    ),
    (
        "imports torch in its options",
        "evaluator",
        [("options.py", "from harness.contract", "import torch\nfrom harness.contract")],
        r"its options import nothing heavy: it imports torch",
    ),
]
"""What a process of its own finds out."""
BROKEN: list[Broken] = [
    (
        "wrong decode bias",
        "sae_format",
        [("sae.py", 'return out + self._weights["b_dec"]', "return out")],
        r"check_sae_format, sample 1: reference: reconstruction is off",
    ),
    ("unpickles", "sae_format", [UNPICKLES], r"no pickle is opened: .* as a pickle ran its code"),
    ("loads with torch", "sae_format", [LOADS_WITH_TORCH], r"no pickle is opened"),
    (
        "sees padding",
        "backend",
        [("backend.py", "x.float().cumsum(1) / count", "x.float().cumsum(1) / width")],
        r"check_backend, sample 1: padding and batch change nothing",
    ),
    ("order-dependent merge", "statistic", [PLUS, OF_ITS_OWN, ORDER_DEPENDENT],
     r"check_statistic, sample 1: merge is commutative"),
    (
        "counts padding",
        "metric",
        [("metric.py", "return zeros.index_add(0, document, values.double())",
          "out = zeros.index_add(0, document, values.double())\n    return out + (out == 0)")],
        r"check_metric, sample 1: padding",
    ),
    ("leaves its hook behind", "backend", [LEFT_BEHIND],
     r"check_backend, sample 1: hooks are gone after an error"),
    (
        "a raw error",
        "sae_format",
        [("options.py", "(OSError, SafetensorError, ValueError)", "ZeroDivisionError")],
        r"a bad file is refused in words: .* raises .*SafetensorError",
    ),
    (
        "described otherwise",
        "sae_format",
        [("sae.py", "self.facts = facts", "self.facts = facts.__class__(d_in=1)")],
        r"described as it is loaded: architecture",
    ),
    (
        "another fingerprint each time",
        "sae_format",
        [("sae.py", "self.fingerprint = fingerprint", "self.fingerprint = str(id(self))")],
        r"loaded twice, the same fingerprint",
    ),
    (
        "a wrong number",
        "statistic",
        [("statistic.py", "np.linalg.norm(mean)", "np.abs(mean).sum()")],
        r"the numbers are the reference's: 'wrong\d+\.norm@1'",
    ),
    (
        "nothing is 0",
        "statistic",
        [("statistic.py", "value=None if mean is None else", "value=0.0 if mean is None else"),
         ("statistic.py", '"no token was measured" if mean is None else None', "None")],
        r"nothing read is undefined, not an error: without a batch",
    ),
    (
        "labels nobody asked for",
        "labels",
        [("labels.py", "        return labels\n",
          "        return [*labels, Label(sae, 10**6, 'x')]\n")],
        r"only features that were asked for: \[1000000\]",
    ),
    (
        "labels by place",
        "labels",
        [("labels.py", '", ".join(places)', 'f"{len(labels)}"')],
        r"the order of features does not matter",
    ),
    (
        "an option without a docstring",
        "evaluator",
        [("options.py", '    """The characters that make a question."""\n', "")],
        r"every option is described: marks: no docstring",
    ),
    (
        "options that take anything",
        "evaluator",
        [("options.py", "    marks:", '    model_config = {"extra": "allow"}\n    marks:')],
        r"unknown options are errors: extra is 'allow'",
    ),
    (
        "an option of the core's",
        "metric",
        [("options.py", "    length:", '    view: str = ""\n    """Mine."""\n    length:')],
        r"no option is called like a key of the core: view",
    ),
    (
        "options of another kind",
        "evaluator",
        [("options.py", "EvaluatorOptions", "MetricOptions")],
        r"its options are those of its kind: .* is no EvaluatorOptions",
    ),
    (
        "a section that needs options",
        "section",
        [("options.py", 'it has none."""', 'one."""\n\n    most: int\n    """How many."""')],
        r"a section's options all have defaults: most",
    ),
    (
        "a method that is missing",
        "metric",
        [("metric.py", "def sums(", "def sum(")],
        r"it has what the contract asks of its kind \(metric\): \w+ has no method sums",
    ),
    (
        "a method that takes something else",
        "evaluator",
        [("evaluator.py", "answers: Sequence[Answer], tools: Tools", "answers: Sequence[Answer]")],
        r"does not take what Evaluator gives: self, answers, tools",
    ),
    (
        "a class that is not there",
        "metric",
        [("plugin.py", ".metric:", ".metrics:")],
        r"what it names can be loaded: .*cannot be imported",
    ),
    (
        "samples of somebody else",
        "evaluator",
        [("samples.py", "yield partial(check_evaluator,", "yield partial(print,")],
        r"a sample must be partial\(check_evaluator",
    ),
    (
        "samples of another class",
        "evaluator",
        [("samples.py", "check_evaluator, ", "check_evaluator, 5, ")],
        r"it is of 5, no Wrong",
    ),
    (
        "no sample",
        "evaluator",
        [("samples.py", "    yield partial(", "    yield from () or partial(")],
        r"there is no sample|is not iterable",
    ),
    (
        "no notes",
        "labels",
        [("labels.py", '    notes: tuple[str, ...] = ()\n', "")],
        r"lacks something of Labels",
    ),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("light")
@pytest.mark.parametrize(
    ("number", "kind", "changes", "law"),
    [(number, *rest) for number, (_, *rest) in enumerate(BROKEN)],
    ids=[name for name, *_ in BROKEN],
)
def test_a_broken_plugin_is_named_by_its_law(
    install: Install, number: int, kind: Kind, changes: list[Change], law: str
) -> None:
    package = install(kind, f"wrong{number}", *changes)
    found = failures(package)
    assert any(re.search(law, text) for text in found), found


@pytest.fixture
def empty_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is started finds a torch that is imported at once; this one has the real one
    already."""
    importlib.import_module("torch")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "torch.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "empty")


@pytest.mark.slow
@pytest.mark.usefixtures("empty_torch")
@pytest.mark.parametrize(
    ("number", "kind", "changes", "law"),
    [(number, *rest) for number, (_, *rest) in enumerate(HEAVY)],
    ids=[name for name, *_ in HEAVY],
)
def test_a_plugin_that_imports_what_is_heavy_is_named_by_its_law(
    install: Install, number: int, kind: Kind, changes: list[Change], law: str
) -> None:
    package = install(kind, f"heavy{number}", *changes)
    found = failures(package)
    assert any(re.search(law, text) for text in found), found


@pytest.mark.slow
def test_a_broken_plugin_ends_with_2(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("evaluator", "silent", ("evaluator.py", "for answer in answers]", "for answer in ()]"))
    assert main(["plugins", "check", "silent"]) == 2
    said = capsys.readouterr()
    assert "     FAILED  the laws of its kind\n" in said.out
    assert "             check_evaluator, sample 1: one verdict per answer: 0 for 5" in said.out
    assert said.err == "harness: 1 law broken. What FAILED says what to do.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check"], "write harness plugins"),
        (["check", "a", "b"], "write harness plugins"),
        (["a", "b"], "write harness plugins"),
        (["check", "no_such"], "unknown component 'no_such'"),
    ],
)
def test_other_words(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_plugin_that_cannot_be_used_is_not_checked(fake_dist: Callable[..., Path]) -> None:
    fake_dist("acme-bad", "raise RuntimeError('no luck')")
    for name in ("acme_bad", "acme_bad/thing"):
        with pytest.raises(PluginError, match="acme_bad is failed: RuntimeError: no luck"):
            components(discover(), name)


@pytest.mark.slow
def test_a_plugin_that_only_this_process_can_import_is_told(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = install("metric", "hidden")
    registry = discover()
    monkeypatch.setattr(sys, "path", [p for p in sys.path if "harness-hidden" not in p])
    found = [one for one in check(components(registry, package)) if one.outcome == "FAILED"]
    assert "in a process of its own it cannot be imported" in found[0].why


# ── What is shown ────────────────────────────────────────────────────────────────────────────────


def test_tables_inside_of_options_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "agreement"]) == 0
    out = capsys.readouterr().out
    assert "  left: Judge = required\n" in out
    assert "        evaluator: string = required\n" in out
    assert "        means: boolean = true\n" in out


def test_a_kind_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("sae-format", "sae_format"):
        assert main(["plugins", name]) == 0
        out = capsys.readouterr().out
        assert "saelens" in out
        assert "(harness_saes)" in out
        assert "fvu" not in out
