"""The documentation is true: commands run, links resolve, generated pages are up to date."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest

import harness.contract
import harness.testing
import pages
from harness.authoring.conformance.sampled import laws_of
from harness.cli.main import cli, main
from harness.contract import Options
from harness.registry import DISTRIBUTION, Registry, discover, normalized
from pages import PAGES, ROOT, blocks

ELSEWHERE = ("python.md", "benchmarks.md")
"""Pages whose blocks other tests run."""
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PLACE = re.compile(r"`((?:harness|plugins|docs|tests|tasks)/[\w./-]*)`( \(next\))?")
"""A path of the repository in prose; `(next)` behind it says that it does not exist yet."""
IDS = {page.name: page for page in PAGES}


@pytest.fixture(scope="session")
def build() -> Iterator[Mapping[str, Callable[[], str]]]:
    """What `docs/build.py` makes, by file."""
    sys.path.insert(0, str(ROOT / "docs"))
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.PAGES
    sys.path.remove(str(ROOT / "docs"))


# ── Generated pages ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "contract.md",
        "tasks.md",
        "task.schema.json",
        "metrics.md",
        "components.md",
        "gallery.md",
        "directory.md",
        "architecture.md",
        "architecture.svg",
    ],
)
def test_a_generated_page_is_what_the_script_makes(
    name: str, build: Mapping[str, Callable[[], str]]
) -> None:
    assert name in build
    committed = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert committed == build[name](), f"docs/{name} is out of date. Run: python docs/build.py"


def test_all_generated_pages_are_tested(build: Mapping[str, Callable[[], str]]) -> None:
    made = {page.name for page in PAGES if "Made by docs/build.py" in _text(page)}
    assert made | {"task.schema.json", "architecture.svg"} == set(build)


def test_the_reference_has_every_name_of_the_contract() -> None:
    missing = {
        name
        for name, member in vars(harness.contract).items()
        if inspect.isclass(member) and member.__module__.startswith("harness.")
    } - set(_headings("contract.md"))
    assert not missing


def test_every_hook_says_what_it_is_for_and_when_it_is_called() -> None:
    said = inspect.getdoc(harness.contract.harness_components) or ""
    for part in ("Returns:", "Stops at the first answer:", "Called:", "Implemented by:"):
        assert part in said


def _ours() -> Registry:
    ours = [point for point in importlib.metadata.entry_points(group="harness")
            if point.dist and normalized(point.dist.name) == DISTRIBUTION]  # fmt: skip
    return discover(candidates=ours)


def test_every_metric_says_unit_and_source_and_when_it_is_undefined() -> None:
    for owned in _ours().of("metric"):
        said = owned.load().__doc__
        for word in ("Unit:", "Source:", "ndefined"):
            assert word in said, f"{owned}: its docstring has no {word!r}"


def test_every_component_and_option_is_described() -> None:
    headings = set(_headings("components.md")) | set(_headings("metrics.md"))
    for plugin in _ours().plugins:
        for component in plugin.components:
            assert component.name in headings
    packages = {"harness", *(plugin.name for plugin in _ours().plugins)}
    for options in _subclasses(Options):
        # Other tests of this process leave classes of their own plugins behind.
        if options.__module__.partition(".")[0] in packages:
            for name, field in options.model_fields.items():
                assert field.description, f"{options.__module__}.{options.__name__}.{name}"


def _subclasses(of: type[Options]) -> Iterator[type[Options]]:
    for one in of.__subclasses__():
        yield one
        yield from _subclasses(one)


# ── Blocks ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_block_is_of_its_language_and_somebody_runs_it(page: Path) -> None:
    for block in blocks(page):
        pages.parsed(block)
        looked_at = block.language in ("sh", "text") or block.mark in ("file", "not run")
        assert looked_at or block.page in ELSEWHERE, f"{block}: nothing runs it"
        if block.mark == "command":
            assert block.page == "README.md"
            assert (ROOT / ".ci").is_dir()


def test_other_tests_run_the_pages_that_are_run_elsewhere() -> None:
    assert '"docs/python.md"' in _text(ROOT / "tests" / "test_python_api.py")
    scripts = set(re.findall(r"tests/benchmarks/(\w+)\.py", _text(IDS["benchmarks.md"])))
    there = {file.stem for file in (ROOT / "tests" / "benchmarks").glob("[!t_]*.py")}
    assert scripts == there - {"conftest"}
    for script in scripts:
        assert list((ROOT / "tests").rglob(f"test_{script}.py")), f"nothing runs {script}.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [page.name for page in PAGES if page.name not in (*ELSEWHERE, "plugins.md")]
)
def test_the_commands_of_a_page_run(name: str, tmp_path: Path, warm_python: list[str]) -> None:
    (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    pages.run(IDS[name], tmp_path, warm_python)


@pytest.mark.slow
def test_a_plugin_is_written_as_its_page_says(tmp_path: Path, warm_python: list[str]) -> None:
    """From an empty folder to an installed, tested package that a task uses."""
    pages.run(IDS["plugins.md"], tmp_path, warm_python)
    text = (tmp_path / "runs" / "growth" / "results.json").read_text(encoding="utf-8")
    assert '"growth.ratio_of_means@1"' in text
    (tree,) = (block.text for block in blocks(IDS["plugins.md"]) if block.language == "text")
    written = {file.name for file in (tmp_path / "harness-crest").rglob("*")}
    assert set(re.findall(r"^ +(\w+\.\w+)", tree, re.MULTILINE)) <= written


def test_the_task_of_the_readme_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    (tmp_path / "organism").symlink_to(ROOT / "tasks" / "organism")
    monkeypatch.chdir(tmp_path)
    found = [block for block in blocks(IDS["README.md"]) if block.language == "toml"]
    assert found
    for block in found:
        Path(block.of).write_text(block.text, encoding="utf-8")
        assert main(["check", block.of]) == 0, capsys.readouterr().err


# ── Prose ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", IDS)
def test_links_resolve(name: str) -> None:
    for target in LINK.findall(pages.prose(IDS[name])):
        if target.startswith(("https://", "http://")):
            continue
        path, _, fragment = target.partition("#")
        file = IDS[name].parent / path if path else IDS[name]
        assert file.exists(), f"{name}: {target}"
        if fragment:
            assert fragment in _anchors(file), f"{name}: {target}"


@pytest.mark.parametrize("name", IDS)
def test_places_that_are_named_exist_or_are_said_to_come_next(name: str) -> None:
    wrong = [
        f"{path} {'exists' if next_ else 'does not exist'}"
        for path, next_ in PLACE.findall(pages.prose(IDS[name]))
        if (ROOT / path).exists() == bool(next_)
    ]
    assert not wrong, f"{name}: {', '.join(wrong)}"


def test_the_architecture_names_places() -> None:
    """The test above can see something, and what comes next: at times nothing does."""
    found = PLACE.findall(pages.prose(IDS["architecture.md"]))
    assert len(found) > 100
    assert PLACE.findall("in `harness/x/` (next)") == [("harness/x/", " (next)")]


def test_the_page_on_plugins_lists_what_a_plugin_may_import(
    build: Mapping[str, Callable[[], str]],
) -> None:
    from generator.layers import FOR_SAMPLES, PUBLIC

    listed = re.findall(r"^\| `(harness\.\w+)` \|", _text(IDS["plugins.md"]), re.MULTILINE)
    assert sorted(listed) == sorted({**PUBLIC, **FOR_SAMPLES})


@pytest.mark.slow
def test_the_picture_of_the_layers_draws_every_part_and_every_arrow_down(
    build: Mapping[str, Callable[[], str]],
) -> None:
    from generator import architecture
    from generator.layers import LABELS, LAYERS, MOVED
    from generator.picture import arrows

    root = ElementTree.fromstring(build["architecture.svg"]())
    texts = {one.text for one in root.iter("{http://www.w3.org/2000/svg}text")}
    drawn = {part for layer in LAYERS for part in layer.parts if part not in MOVED}
    assert {LABELS.get(part, part) for part in drawn} <= texts
    found = [
        one.get("d", "") for one in root.iter("{http://www.w3.org/2000/svg}path")
        if one.get("class") == "arrow"
    ]  # fmt: skip
    assert len(found) == len(list(arrows(LAYERS, architecture.parts())))
    for arrow in found:
        numbers = [float(number) for number in re.findall(r"[\d.]+", arrow)]
        assert numbers[1] < numbers[-1]


@pytest.mark.parametrize("name", IDS)
def test_tables_have_as_many_cells_in_every_row(name: str) -> None:
    width = 0
    for line in pages.prose(IDS[name]).splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not width or not cells or cells == width, f"{name}: {line}"
        width = cells


@pytest.mark.parametrize("name", IDS)
def test_commands_that_are_named_exist(name: str) -> None:
    lines = [
        line for block in blocks(IDS[name]) if block.language == "sh"
        for line in block.text.replace("\\\n", " ").splitlines()
    ]  # fmt: skip
    for line in [*lines, *pages.inline(IDS[name])]:
        if not line.startswith("harness "):
            continue
        words = shlex.split(line, comments=True)[1:]
        command: click.Command | None = cli
        if words and not words[0].startswith("-"):
            command = cli.get_command(click.Context(cli), words[0])
            assert command is not None, f"{name}: {line}: no such command"
        while isinstance(command, click.Group) and words[1:] and words[1] in command.commands:
            command, words = command.commands[words[1]], words[1:]
        assert command is not None
        known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
        known |= {"--help", "--version", "-h"}
        for word in words[1:]:
            word = word.strip("[]")
            assert not word.startswith("-") or word in known, f"{name}: {line}: no option {word}"


def test_the_laws_that_the_page_on_plugins_names_are_tried() -> None:
    rows = re.findall(r"\| `(check_\w+)` \| \*(.+?)\* \|", _text(IDS["plugins.md"]))
    assert len(rows) >= 5
    for check, law in rows:
        assert law in laws_of(getattr(harness.testing, check)), f"{check}: no law {law!r}"


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _headings(name: str) -> list[str]:
    return HEADING.findall(pages.prose(IDS[name]))


def _anchors(file: Path) -> set[str]:
    """The fragments that GitHub gives the headings of a page."""
    seen: dict[str, int] = {}
    found = set()
    for heading in HEADING.findall(pages.prose(file)):
        anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        again = seen.get(anchor, 0)
        seen[anchor] = again + 1
        found.add(f"{anchor}-{again}" if again else anchor)
    return found
