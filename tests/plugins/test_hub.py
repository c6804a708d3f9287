"""What a hub says that is not what was asked for, told alike of models and of SAEs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.hub import Hub, used
from fakes.replay import Reply, pauses_of_web
from harness.errors import DataError, MachineError, ModelError
from harness.web import hub_error, telling
from harness_saes.files.hub_files import fetch
from harness_transformers.files import fetch_folder

Get = Callable[[], Path]
ABOUT = "/api/models/acme/thing/revision/main"
ROUTES = {
    "model": lambda: fetch_folder("acme/thing", None, "model"),
    "sae": lambda: fetch("acme/thing", ["*.json"], None, "saes.s"),
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    served = Hub()
    served.serve("acme/thing", {"config.json": "{}"})
    used(monkeypatch, served.url, tmp_path / "cache")
    yield served
    served.close()


@pytest.fixture(params=ROUTES)
def get(request: pytest.FixtureRequest) -> Get:
    return ROUTES[request.param]


def test_what_is_there_is_fetched(hub: Hub, get: Get) -> None:
    assert (get() / "config.json").read_text() == "{}"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_hub_is_waited_for_as_it_asks(
    hub: Hub, get: Get, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CASES row 24: the first answer 429 ended the run, as a fault of the user's."""
    pauses = pauses_of_web(monkeypatch)
    hub.first(ABOUT, *[Reply("", status, {"Retry-After": "21"})] * 2)
    said: list[str] = []
    with telling(said.append):
        assert (get() / "config.json").exists()
    assert pauses == [21.0, 21.0]
    assert said == [f"acme/thing: answered {status}. Asked again in 21 s; Ctrl-C ends the run."] * 2


@pytest.mark.parametrize("asked", [{}, {"Retry-After": "9999"}])
def test_a_hub_that_stays_busy_is_the_machines_fault(
    hub: Hub, get: Get, asked: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = pauses_of_web(monkeypatch)
    hub.first(ABOUT, *[Reply("", 429, asked)] * 9)
    with pytest.raises(MachineError, match=r"the hub answers 429 .*same command again later"):
        get()
    assert len(pauses) == (0 if asked else 5)
    assert sum(pauses) < 60


@pytest.mark.parametrize("place", ["environment", "file"])
@pytest.mark.parametrize("message", ["Invalid credentials in Authorization header", ""])
def test_a_refused_token_is_no_gate(
    hub: Hub, get: Get, place: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """CASES row 24: 401 was told as a licence that is to be accepted."""
    token = "hf_" + "s" * 34
    if place == "environment":
        monkeypatch.setenv("HF_TOKEN", token)
        where = r"the environment \(HF_TOKEN\)"
    else:
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache" / "no-token").write_text(token)
        where = str(tmp_path / "cache" / "no-token")
    hub.first(ABOUT, Reply("", 401, {"X-Error-Message": message} if message else {}))
    with pytest.raises(ModelError, match=rf"refuses the token .*from {where}.*hf auth log") as told:
        get()
    assert "gated" not in str(told.value)
    assert token not in str(told.value)


@pytest.mark.parametrize(
    "reply",
    [Reply("", 403), Reply("", 403, {"X-Error-Code": "GatedRepo"}),
     Reply("", 401, {"X-Error-Code": "GatedRepo"})],
)  # fmt: skip
def test_a_gate_is_a_gate(
    hub: Hub, get: Get, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_fine")
    hub.first(ABOUT, reply)
    with pytest.raises(
        ModelError, match=r"is gated.*Accept its licence at https://huggingface.co/"
    ):
        get()


@pytest.mark.parametrize("status", [401, 404])
def test_a_repository_that_is_not_there_is_a_wrong_name(hub: Hub, get: Get, status: int) -> None:
    hub.first(ABOUT, Reply("", status, {"X-Error-Code": "RepoNotFound"}))
    with pytest.raises(ModelError) as told:
        get()
    assert "token" not in str(told.value)


def test_a_hub_out_of_reach_is_the_machines_fault(
    hub: Hub, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CASES row 24: it was 4 for data, and 2 for models and SAEs."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MachineError, match=r"hub cannot be reached, .*same command again"):
        get()


def test_offline_mode_is_the_users(hub: Hub, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    """CASES row 24, its kind: a rerun of the same command would never do."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"HF_HUB_OFFLINE is set.*`hf download acme/thing`"):
        get()


class TransportError(Exception):
    """As the HTTP client of `datasets` has it: no OSError."""


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TransportError("peer closed"), MachineError),
        (caused(ValueError("no builder"), TransportError("peer closed")), MachineError),
        (ConnectionError("Couldn't reach 'a/b' on the Hub (ConnectError)"), MachineError),
        (ConnectionError("Cannot reach https://x: offline mode is enabled."), DataError),
        (ValueError("Unknown split"), type(None)),
        (FileNotFoundError("a/b doesn't exist on the Hub"), type(None)),
    ],
)
def test_data_are_told_alike(error: Exception, kind: type) -> None:
    """CASES row 24: a transport that broke in `datasets` counted as the user's fault."""
    told = hub_error(error, "data.d", "a/b", DataError, dataset=True)
    assert type(told) is kind
    if told is not None:
        assert "`hf download a/b --repo-type dataset`" in str(told)
