"""A person's configuration file: where it is, what is wrong with it, what it decides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness.errors import TaskError, UsageError
from harness.registry import Registry
from harness.settings.apply import OFFLINE, personal
from harness.settings.file import VARIABLE, settings
from harness.store.cache import FOLDER, LIMIT
from harness.task.executor import Wanted, wanted
from harness.task.task import Task

Said = Callable[..., tuple[int, str, str]]
Config = Callable[[str], Path]
METRIC = '[metrics.mean]\nview = "base"\ndata = "web"\nsites = ["embed"]\n'
HARNESS = [sys.executable, "-m", "harness.cli.main"]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Writes the file that HARNESS_CONFIG names."""

    def config(text: str) -> Path:
        file = tmp_path / "my.toml"
        file.write_text(text, encoding="utf-8")
        monkeypatch.setenv(VARIABLE, str(file))
        return file

    return config


@pytest.fixture
def load(write: Callable[..., Path], registry: Registry) -> Callable[..., Task]:
    """Loads the tiny task, with more text, as a command does."""

    def load(text: str = "", models: dict[str, str | None] | None = None,
             executor: Wanted | None = None, *overrides: str) -> Task:  # fmt: skip
        person, name = personal(), str(write(text))
        return person.load(registry, name, executor or Wanted(), overrides, None, models)

    return load


# ── Where it is ──────────────────────────────────────────────────────────────────────────────────


def test_it_lies_in_the_folder_for_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    assert settings().source is None  # there is none
    for folder, home in ((tmp_path / ".config", ""), (tmp_path / "x", str(tmp_path / "x"))):
        monkeypatch.setenv("XDG_CONFIG_HOME", home)
        file = folder / "sae-harness" / "config.toml"
        file.parent.mkdir(parents=True)
        file.write_text(f'device = "{folder.name}"\n', encoding="utf-8")
        assert settings().spec.device == folder.name
    monkeypatch.setenv("XDG_CONFIG_HOME", "x")  # no absolute path: as if it were not set
    assert settings().spec.device == ".config"
    monkeypatch.setenv(VARIABLE, "")
    assert settings().source is None


def test_a_file_that_is_named_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (tmp_path / "none.toml", tmp_path):
        monkeypatch.setenv(VARIABLE, str(place))
        with pytest.raises(UsageError, match=f"^{VARIABLE}: {place} "):
            settings()


# ── What is wrong with it ────────────────────────────────────────────────────────────────────────


def test_everything_wrong_is_said_at_once_with_its_line(config: Config) -> None:
    file = config(
        'devise = "cpu"\n# a remark\ndtype = 5\nworkers = "two"\noffline = 1\ncache = ""\n'
        'cache_limit = "big"\nexecutor = 7\n[data]\n'
    )
    with pytest.raises(TaskError) as wrong:
        settings()
    said = [str(one) for one in wrong.value.problems]
    assert len(said) == 8
    assert all(one.startswith(f"{file}:") for one in said)
    lines = {int(one.removeprefix(f"{file}:").partition(":")[0]) for one in said}
    assert lines == {1, 3, 4, 5, 6, 7, 8, 9}
    (first,) = [one for one in said if "devise" in one]
    assert first.endswith(
        "devise: unknown key 'devise'. Allowed: cache, cache_limit, device, dtype, executor, "
        "offline, workers. Did you mean device?"
    )
    assert any("cache_limit: 'big' is no size. Allowed: " in one for one in said)


@pytest.mark.parametrize("text", ["device = ", "a\0b", 'device = "\ud800"'])
def test_what_is_no_toml_is_one_line(config: Config, text: str) -> None:
    config("").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(TaskError) as wrong:
        settings()
    assert len(wrong.value.problems) == 1


def test_workers_are_said_once(config: Config) -> None:
    config("workers = 2\n[executor]\nworkers = 3\n")
    with pytest.raises(TaskError, match="leave one of them out"):
        settings()


def test_a_command_ends_with_2_and_says_the_line(
    said: Said, config: Config, write: Callable[..., Path], fake_plugin: Path
) -> None:
    file = config("\noffline = 3\n")
    task = write(METRIC)
    for words in (("check", task), ("plan", task), ("eval", task), ("cache",)):
        code, _, err = said(*words)
        assert code == 2
        assert f"{file}:2: offline: " in err.replace("../", f"{file.parent}/")
    assert said("eval", "--help")[0] == said("plugins")[0] == 0


# ── Precedence ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("key", ["device", "dtype"])
def test_a_models_key_is_the_commands_the_tasks_the_persons(
    config: Config, load: Callable[..., Task], key: str
) -> None:
    config(f'{key} = "mine"\n')
    task = load(f'[models.third]\nbackend = "fake"\n{key} = "its"\n')
    found = {name: getattr(one.options, key) for name, one in task.models.items()}
    assert found == {"base": "mine", "chat": "mine", "third": "its"}
    assert task.settings.keys == {key: ("models.base", "models.chat")}
    assert task.resolved["models"]["base"][key] == "mine"  # it decides numbers: it is the task's
    task = load("", {key: "the command's"})
    assert {getattr(one.options, key) for one in task.models.values()} == {"the command's"}
    assert not task.settings
    task = load("", None, None, f"models.base.{key}=set")
    assert task.settings.keys == {key: ("models.chat",)}


def test_a_model_that_has_no_such_option_gets_none(
    config: Config, load: Callable[..., Task], fake_plugin: Path, registry: Registry
) -> None:
    config('device = "mine"\n')
    before = load()
    config("")
    without = load()
    assert before.models["base"].options.device == "mine"
    assert without.models["base"].options.device == "cpu"
    assert not without.settings


def test_what_is_wrong_with_a_key_is_said_with_the_persons_line(
    config: Config, write: Callable[..., Path]
) -> None:
    file = config('\ndevice = "gpu"\nexecutor = "lokal"\nworkers = 0\n')
    from harness.registry import discover

    with pytest.raises(TaskError) as wrong:
        personal().load(discover(), "refusal", Wanted())
    said = [str(one).replace("../", f"{file.parent}/") for one in wrong.value.problems]
    assert any(one.startswith(f"{file}:2: models.base.device: ") for one in said)
    assert any(one.startswith(f"{file}:3: executor.method: unknown executor") for one in said)


def test_the_executor_and_its_workers(config: Config) -> None:
    from harness.registry import discover

    registry = discover()
    config('executor = "ray"\nworkers = 3\n')
    task = personal().load(registry, "refusal", Wanted())
    assert task.executor is not None
    assert (str(task.executor.owner), task.executor.options.workers) == ("harness_executors/ray", 3)
    assert task.settings.keys == {"executor": (), "workers": ()}
    task = personal().load(registry, "refusal", wanted(None, 5, "--{}"))
    assert task.executor is not None
    assert (str(task.executor.owner), task.executor.options.workers) == ("harness_executors/ray", 5)
    assert task.settings.keys == {"executor": ()}
    task = personal().load(registry, "refusal", wanted("local", None, "--{}"))
    assert task.executor is not None
    assert task.executor.options.workers is None
    assert not task.settings
    config('[executor]\nmethod = "ray"\nworkers = 3\n')
    assert personal().load(registry, "refusal", Wanted()).settings.keys == {"executor": ()}


def test_the_cache_is_the_environments_then_the_persons(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER)
    monkeypatch.delenv(LIMIT, raising=False)
    config('cache = "kept"\ncache_limit = "5MB"\n')
    cache, said = personal().cache()
    assert cache is not None
    assert (cache.folder, cache.limit) == (tmp_path / "kept", 5_000_000)  # beside the file
    assert set(said.keys) == {"cache", "cache_limit"}
    assert personal().cache(wanted=False) == (None, said.__class__(said.file, {}))
    monkeypatch.setenv(FOLDER, str(tmp_path / "other"))
    monkeypatch.setenv(LIMIT, "1GB")
    cache, said = personal().cache()
    assert cache is not None
    assert (cache.folder, cache.limit, dict(said.keys)) == (tmp_path / "other", 10**9, {})
    monkeypatch.setenv(FOLDER, "")
    assert personal().cache() == (None, said)
    monkeypatch.delenv(FOLDER)
    config("cache = false\n")
    cache, said = personal().cache()
    assert cache is None
    assert set(said.keys) == {"cache"}
    file = config('cache = "my.toml"\n')
    with pytest.raises(TaskError, match=r"my.toml:1: cache: .* is a file\. Allowed: "):
        personal().cache()
    assert file.is_file()


@pytest.mark.slow
def test_the_hub_is_left_alone_before_anything_reads_the_variable(
    config: Config, environment: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    """In a process of its own: the libraries of the hub read the variable once."""
    config("offline = true\n")
    code = (
        "import sys; from harness.settings.apply import personal; one = personal()\n"
        "assert not any(n in sys.modules for n in ('huggingface_hub', 'transformers', 'torch'))\n"
        "from huggingface_hub.constants import HF_HUB_OFFLINE\n"
        "print(one.offline, HF_HUB_OFFLINE, list(one.cache()[1].keys))"
    )
    env = {key: value for key, value in environment().items() if key != OFFLINE}
    env |= {VARIABLE: os.environ[VARIABLE], "PYTHONPATH": os.pathsep.join(sys.path)}
    for given, said in (({}, "True True ['offline']"), ({OFFLINE: "0"}, "False False []"),
                        ({OFFLINE: "1"}, "False True []")):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", code], env={**env, **given}, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert done.stdout.strip() == said


# ── What is said of it ───────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_check_plan_and_results_say_which_keys_decided(
    said: Said, config: Config, write: Callable[..., Path], fake_plugin: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    file = config('device = "mine"\ncache = false\n')
    monkeypatch.delenv(FOLDER)
    task = write(METRIC + '[models.third]\nbackend = "fake"\ndevice = "its"\n')
    words = "gives device (models.base, models.chat), cache"
    for command in ("check", "plan"):
        code, out, err = said(command, task)
        assert code == 0, err
        # A long path is broken where the line ends.
        assert "".join(f"my.toml {words}.".split()) in "".join(out.split())
    code, _, err = said("eval", task, "--out", "run")
    assert code == 0, err
    assert f"my.toml {words}" in err
    about = json.loads(Path("run", "results.json").read_text(encoding="utf-8"))["provenance"]
    assert about["settings"] == {
        "path": str(file), "keys": {"device": ["models.base", "models.chat"], "cache": []}
    }  # fmt: skip
    code, _, err = said("eval", task, "--out", "run", "--device", "x", "--no-cache", "--fresh")
    assert code == 0, err
    assert "gives" not in err
    about = json.loads(Path("run", "results.json").read_text(encoding="utf-8"))["provenance"]
    assert "settings" not in about


def test_what_has_no_effect_is_not_said(
    said: Said, config: Config, write: Callable[..., Path], fake_plugin: Path
) -> None:
    config('offline = true\ncache = "x"\ncache_limit = "1GB"\n')  # the environment says both
    code, out, _ = said("check", write(METRIC))
    assert code == 0
    assert "gives" not in out


def test_nothing_of_it_counts_in_python(
    config: Config, write: Callable[..., Path], fake_plugin: Path
) -> None:
    config('device = "mine"\nworkers = 2\n')
    task = harness.load(write(METRIC))
    assert task.models["base"].options.device == "cpu"
    assert task.executor is None
