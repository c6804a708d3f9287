"""Downloads from the hub that break off in the middle, on both routes."""

from __future__ import annotations

import pytest
from huggingface_hub.errors import HTTPError

from harness.errors import MachineError
from harness_saes.files.hub_files import fetch
from harness_transformers.files import fetch_folder


class TransportError(HTTPError):
    """As the hub's HTTP client has it: no OSError and no ValueError."""


class RemoteProtocolError(TransportError): ...


@pytest.mark.parametrize("route", ["model", "sae"])
def test_a_download_that_breaks_off_is_the_machines_fault(
    monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    """CASES row 24: it ended in the HTTP client's traceback; a rerun continues."""

    def broken(*given: object, **more: object) -> str:
        raise RemoteProtocolError("peer closed connection (received 10 bytes, expected 99)")

    monkeypatch.setattr("huggingface_hub.snapshot_download", broken)
    routes = {
        "model": lambda: fetch_folder("nobody/nothing", None, "models.m"),
        "sae": lambda: fetch("nobody/nothing", ["x.safetensors"], None, "saes.s"),
    }
    with pytest.raises(MachineError, match=r"broke off \(peer closed .* same command again"):
        routes[route]()
