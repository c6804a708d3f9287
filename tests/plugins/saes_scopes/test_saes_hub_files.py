"""Files of the hub, offline: a cache that is laid out by hand, and the hub's own errors."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

from harness.errors import MachineError, ModelError
from harness_saes.files.hub_files import cached, fetch, is_hub_id
from harness_saes.formats.gemma_scope import GemmaScopeOptions
from harness_saes.formats.gemma_scope_2.options import GemmaScope2Options
from harness_saes.formats.llama_scope.options import LlamaScopeOptions

REPOSITORY = "acme/scope"
FILES = ("layer_1/params.npz", "layer_1/config.json", "layer_12/params.npz", "README.md")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with one snapshot of `acme/scope`, as huggingface_hub lays it out."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def fill(*names, revision="main"):
        repository = tmp_path / "models--acme--scope"
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / revision).write_text("c0ffee")
        for name in names:
            file = repository / "snapshots" / "c0ffee" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(name)
        return repository / "snapshots" / "c0ffee"

    return fill


@pytest.fixture
def hub(monkeypatch):
    """The hub gives an error, or a folder."""

    def answer(result, listing=FILES):
        calls = []

        def download(repo, **keys):
            calls.append(keys["allow_patterns"])
            if isinstance(result, Exception):
                raise result
            return str(result)

        class Api:
            def list_repo_files(self, repo, revision=None):
                return list(listing)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        monkeypatch.setattr(huggingface_hub, "HfApi", Api)
        return calls

    return answer


def hub_error(kind, status=401):
    request = SimpleNamespace(url="https://huggingface.co", method="GET")
    response = SimpleNamespace(status_code=status, headers={}, request=request, url=request.url)
    return kind("the hub says no\nand why", response=response)


def test_cached_in_whole_asks_nobody(cache, hub):
    snapshot = cache(*FILES)
    calls = hub(RuntimeError("the hub was asked"))
    assert fetch(REPOSITORY, ["layer_1/params.npz"], None, "SAE x") == snapshot
    assert calls == []


def test_a_revision_is_its_own_snapshot(cache):
    snapshot = cache("README.md", revision="v2")
    assert cached(REPOSITORY, "v2") == snapshot
    assert cached(REPOSITORY, "c0ffee") == snapshot
    assert cached(REPOSITORY) is None
    assert cached("acme/other") is None


def test_what_is_lacking_is_downloaded(cache, hub):
    snapshot = cache("README.md")
    calls = hub(snapshot)
    (snapshot / "params.npz").write_text("")
    (snapshot / "config.json").unlink(missing_ok=True)
    assert fetch(REPOSITORY, ["params.npz"], None, "x", optional=["config.json"]) == snapshot
    assert calls == [["params.npz", "config.json"]]


def test_patterns(cache, hub):
    snapshot = cache(*FILES)
    calls = hub(errors.OfflineModeIsEnabled("offline"))
    # What a pattern could match elsewhere is unknown offline: what is here is taken.
    assert fetch(REPOSITORY, ["layer_*/params.npz"], None, "SAE x") == snapshot
    assert len(calls) == 1


def test_optional_files_stop_nothing(cache, hub):
    snapshot = cache("layer_1/params.npz")
    hub(errors.OfflineModeIsEnabled("offline"))
    names = ["layer_1/params.npz"]
    assert fetch(REPOSITORY, names, None, "SAE x", optional=["cfg.json"]) == snapshot


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            errors.OfflineModeIsEnabled("offline\nlong story"),
            r"not in the local cache, and HF_HUB_OFFLINE is set.* `hf download acme/scope`",
        ),
        (hub_error(errors.GatedRepoError), "gated.* Accept its licence at https://hugg.*/acme/sc"),
        (hub_error(errors.HfHubHTTPError, 403), "is gated, and your login may not read it"),
        (hub_error(errors.RepositoryNotFoundError), "no repository acme/scope, or none that your"),
        (hub_error(errors.RevisionNotFoundError), "has no revision 'v9'. Allowed: a branch"),
        (errors.LocalEntryNotFoundError("no network"), "could not be downloaded"),
        (ValueError(""), r"could not be downloaded \(ValueError\)"),
    ],
)
def test_what_the_hub_refuses(cache, hub, error, message):
    hub(error)
    with pytest.raises(ModelError, match=message) as caught:
        fetch(REPOSITORY, ["params.npz"], "v9", "SAE x")
    assert str(caught.value).startswith("SAE x: ")
    assert "\n" not in str(caught.value)


def test_a_hub_that_stays_broken_is_the_machines_fault(cache, hub, monkeypatch):
    monkeypatch.setattr("harness.web.waiting.FIRST_PAUSE", 0.0)
    calls = hub(hub_error(errors.HfHubHTTPError, 500))
    with pytest.raises(MachineError, match=r"SAE x: the hub answers 500 for acme/scope"):
        fetch(REPOSITORY, ["params.npz"], "v9", "SAE x")
    assert len(calls) == 6


def test_nothing_matches(cache, hub):
    hub(cache("README.md"))
    with pytest.raises(
        ModelError,
        match=r"matches 'layer_13/params.npz'. In acme/scope there is: README.md, layer_1, "
        r"layer_12. Did you mean layer_1\?",
    ):
        fetch(REPOSITORY, ["layer_13/params.npz"], None, "SAE x")
    with pytest.raises(ModelError, match=r"In acme/scope/layer_1 there is: config.json, params"):
        fetch(REPOSITORY, ["layer_1/parms.npz"], None, "SAE x")


def test_nothing_at_all(cache, hub):
    hub(cache("README.md"), listing=())
    with pytest.raises(ModelError, match=r"no file of acme/scope .* there is: none"):
        fetch(REPOSITORY, ["params.npz"], None, "SAE x")


def test_what_is_a_hub_id(tmp_path, monkeypatch):
    assert is_hub_id(REPOSITORY)
    for other in ("gpt2", "/tmp/x", "a/b/c", "./a/b", "a\\b", "~/b"):
        assert not is_hub_id(other)
    monkeypatch.chdir(tmp_path)
    (tmp_path / REPOSITORY).mkdir(parents=True)
    assert not is_hub_id(REPOSITORY)


def test_one_of_a_format_in_the_cache(cache, hub):
    """What is cached is described; what is not is to be downloaded."""
    cache(*FILES)
    hub(errors.OfflineModeIsEnabled("offline"))
    with pytest.raises(ModelError, match=r"Choose one: id = .* local cache: layer_1, layer_12"):
        GemmaScopeOptions(path=REPOSITORY).describe()
    here, there = (GemmaScopeOptions(path=REPOSITORY, id=f"layer_{n}") for n in (12, 13))
    assert here.found() is not None
    assert here.needs().download is None
    assert there.needs().download == "acme/scope layer_13"
    with pytest.raises(ModelError, match="acme/scope layer_13: not in the local cache"):
        there.fetched()


def test_a_companion_is_fetched_with_its_sae(cache, hub):
    snapshot = cache("README.md")
    calls = hub(snapshot)
    (snapshot / "a").mkdir()
    options = GemmaScope2Options(path=REPOSITORY, id="a")
    assert options.found() is None
    with pytest.raises(ModelError, match=r"no file of acme/scope matches 'a/params\.safetensors'"):
        options.fetched()
    assert calls == [["a/params.safetensors", "a/config.json"]]


def test_weights_without_their_configuration_are_not_cached(cache, hub):
    cache("a/checkpoints/final.safetensors")
    hub(errors.OfflineModeIsEnabled("offline"))
    assert LlamaScopeOptions(path=REPOSITORY, id="a").found() is None
    cache("a/hyperparams.json")
    assert LlamaScopeOptions(path=REPOSITORY, id="a").found() is not None


@pytest.mark.slow
def test_no_torch():
    """The light halves, which `harness check` imports, take no torch with them."""
    formats = ("gemma_scope", "gemma_scope_2.options", "llama_scope.options", "qwen_scope")
    modules = [
        "harness_saes.files.hub_files",
        *(f"harness_saes.formats.{name}" for name in formats),
    ]
    code = f"import sys, {', '.join(modules)}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
