"""`tasks/smollm2/get` and `build`: each mistake is one message, before anything heavy begins."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.client import IncompleteRead
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

SMOLLM2 = Path(__file__).parents[2] / "tasks" / "smollm2"
NAMES = ("sources", "documents", "fetching", "needs")
ROW = json.dumps({"text": "A sentence of some words."}) + "\n"


@pytest.fixture
def modules() -> Iterator[SimpleNamespace]:
    """The modules of `get` and `build`; the organism's build has modules of the same names."""
    before = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    folders = [str(SMOLLM2 / "get"), str(SMOLLM2 / "build")]
    sys.path[:0] = folders
    found: dict[str, ModuleType] = {name: importlib.import_module(name) for name in NAMES}
    yield SimpleNamespace(**found)
    for folder in folders:
        sys.path.remove(folder)
    for name in NAMES:
        del sys.modules[name]
    sys.modules.update(before)


def said(command: str, *arguments: object) -> str:
    """The one line that a command ends with; it fails, and quickly, without a traceback."""
    ended = subprocess.run(
        [sys.executable, str(SMOLLM2 / command), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "https_proxy": "http://127.0.0.1:9", "COLUMNS": "80"},
    )
    assert ended.returncode in (1, 2)
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1, ended.stderr
    assert "==" not in ended.stdout  # no step has begun
    return lines[0]


def inputs(folder: Path, *names: str) -> Path:
    """A folder with some of what `get` fetches."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(ROW)
    folder.mkdir(exist_ok=True)
    return folder


# ── build ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.jsonl", '{"body": "x"}\n', "row 1 has no `text`"),
        ("a.jsonl", "5\n", "row 1 has no `text`"),
        ("a.jsonl", '{"text": "x"\n', "is no JSON"),
        ("a.json", '{"text": "x"}', "holds no list of rows"),
        ("a.json", "[" * 100_000, "is no JSON"),
        ("a.json", "[]", "there is no text in it"),
        ("a.txt", " \n \n", "there is no text in it"),
        ("a.html", "<script>x</script>", "there is no text in it"),
        ("a.pdf", "%PDF", "no text is read from this"),
        ("a/b.md", "text", "there is no text in it"),
    ],
)
def test_files_without_text_are_named(
    modules: SimpleNamespace, tmp_path: Path, name: str, content: str, wanted: str
) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)
    given = file.parent if file.suffix == ".md" else file
    where = inputs(tmp_path / "inputs", "heldout.jsonl")
    found = modules.needs.problem(("text",), [given], where, tmp_path / "out", "")
    assert found is not None
    assert found.startswith(f"{given}: ")
    assert wanted in found


def test_a_file_with_text_is_none(modules: SimpleNamespace, tmp_path: Path) -> None:
    where = inputs(tmp_path / "inputs", "heldout.jsonl", "text/a.jsonl")
    (where / "b.txt").write_text("\n\nwords of a text")
    for given in (where / "text", where / "text" / "a.jsonl", where / "b.txt"):
        assert modules.needs.problem(("text",), [given], where, tmp_path / "out", "") is None


def test_text_without_text_is_one_message_of_the_command(tmp_path: Path) -> None:
    where = inputs(tmp_path / "inputs", "heldout.jsonl")
    (tmp_path / "a.jsonl").write_text('{"body": "x"}\n')
    found = said("build", "--out", tmp_path / "out", "--inputs", where, "--only", "text",
                 "--text", tmp_path / "a.jsonl")  # fmt: skip
    assert "row 1 has no `text`" in found


@pytest.mark.parametrize(
    ("only", "there", "missing", "todo"),
    [
        ("model", (), "SmolLM2-135M-Instruct.Q4_1.gguf", "python tasks/smollm2/get first"),
        ("text", (), "heldout.jsonl", "python tasks/smollm2/get first"),
        ("safety", (), "harmful_lora.jsonl", "python tasks/smollm2/get first"),
        ("python", (), "domain.jsonl", "python tasks/smollm2/get --debian first"),
        ("written", (), "model.safetensors", "The step model writes it: add it to --only"),
        ("saes", (), "activations", "The step activations writes it"),
        ("card", (), "measured.json", "The step measure writes it"),
    ],
)
def test_what_a_step_reads_is_looked_for_before_it_begins(
    modules: SimpleNamespace,
    tmp_path: Path,
    only: str,
    there: tuple[str, ...],
    missing: str,
    todo: str,
) -> None:
    where = inputs(tmp_path / "inputs", *there)
    found = modules.needs.problem((only,), [], where, tmp_path / "out", "")
    assert found is not None
    assert f"{missing}: there is no such file" in found
    assert todo in found


def test_every_step_with_an_input_is_a_step(modules: SimpleNamespace) -> None:
    text = (SMOLLM2 / "build" / "__main__.py").read_text()
    made = {need.made_by for needs in modules.needs.LEFT.values() for need in needs}
    for step in {*modules.needs.INPUTS, *modules.needs.LEFT, *made}:
        assert f'"{step}"' in text


def test_half_of_a_model_is_told_from_all_of_it(modules: SimpleNamespace, tmp_path: Path) -> None:
    where = inputs(tmp_path / "inputs", modules.needs.GGUF)
    found = modules.needs.problem(("model",), [], where, tmp_path / "out", "0" * 64)
    assert "or half of it. Remove it and run" in found
    right = modules.fetching.digest((where / modules.needs.GGUF).read_bytes())
    assert modules.needs.problem(("model",), [], where, tmp_path / "out", right) is None


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("--only", "modle"), "invalid choice: 'modle'"),
        (("--part", "2/2"), "invalid part value: '2/2'"),
        (("--threads", "0"), "invalid threads value: '0'"),
        (("--inputs", "/nowhere"), "/nowhere/SmolLM2-135M-Instruct.Q4_1.gguf: there is no such"),
    ],
)
def test_a_wrong_argument_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], wanted: str
) -> None:
    assert wanted in said("build", "--out", tmp_path, *arguments)


def test_an_out_that_is_no_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert f"{out}: is no folder" in said("build", "--out", out)


# ── get ──────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_network_the_address_is_named(tmp_path: Path) -> None:
    found = said("get", "--out", tmp_path / "out")
    assert "could not be read" in found
    assert "give --data" in found
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_wrong_folder_is_told_by_the_file_that_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for data in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        found = said("get", "--out", tmp_path / "out", "--data", data)
        assert f"{data}/refusal/harmful_train.json: there is no such file" in found


def test_half_a_copy_is_told_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "refusal").mkdir()
    (tmp_path / "refusal" / "harmful_train.json").write_text('[{"instruction": "x"')
    found = said("get", "--out", tmp_path / "out", "--data", tmp_path)
    assert "harmful_train.json: its sha256 is " in found


def test_a_connection_that_breaks_half_way_is_no_traceback(
    modules: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(url: str, timeout: float) -> None:
        raise IncompleteRead(b"half")

    monkeypatch.setattr("urllib.request.urlopen", broken)
    with pytest.raises(modules.fetching.GetError, match="could not be read"):
        modules.fetching.fetched(modules.sources.C4, None)


def test_a_model_that_was_cut_off_is_fetched_again(
    modules: SimpleNamespace, tmp_path: Path
) -> None:
    file = tmp_path / "model"
    right = modules.fetching.digest(b"whole")
    file.write_bytes(b"who")
    assert not modules.fetching.is_there(file, right)
    modules.fetching.keep(file, b"whole")
    assert modules.fetching.is_there(file, right)
    assert [one.name for one in tmp_path.iterdir()] == ["model"]
    assert not modules.fetching.is_there(tmp_path, right)
