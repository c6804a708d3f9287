"""What errors of Hugging Face's libraries mean to a person."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import HarnessError, MachineError
from harness.text import for_terminal
from harness.web.waiting import PASSING, chain, response_of

_BROKEN = frozenset(
    {"TransportError", "ChunkedEncodingError", "ProtocolError", "ClientError", "ConnectionError",
     "TimeoutError", "Timeout", "gaierror"}
)  # fmt: skip
"""What Python and HTTP clients of any version call a connection that failed, or what is above it.
"""


def hub_error(
    error: BaseException,
    where: str,
    repo: str,
    refused: type[HarnessError],
    *,
    dataset: bool = False,
) -> HarnessError | None:
    """What an error of Hugging Face's libraries means to a person, in a message about `where`.

    MachineError (a rerun may do) for a hub that cannot be reached, breaks off or is busy;
    `refused`, the user's, for a token that is not accepted, a gate, and offline mode; None for
    what is about the names: a repository, revision or file that is not there.
    """
    errors = list(chain(error))
    kinds = {kind.__name__ for one in errors for kind in type(one).__mro__}
    response = response_of(error)
    status = getattr(response, "status_code", 0)
    code = response.headers.get("X-Error-Code") if response is not None else None
    said = for_terminal((str(error).strip() or type(error).__name__).splitlines()[0], 200)
    elsewhere = (
        f"run `hf download {repo}{' --repo-type dataset' * dataset}` where there is one, or give "
        "local files"
    )
    if "GatedRepoError" in kinds or status == 403:
        return refused(
            f"{where}: {repo} is gated, and your login may not read it. Accept its licence at "
            f"https://huggingface.co/{'datasets/' * dataset}{repo}, then run `hf auth login`."
        )
    if status == 401 and code != "RepoNotFound" and (token := _token_place()):
        return refused(
            f"{where}: the hub refuses the token for {repo}. It comes from {token}. Log in anew "
            "with `hf auth login`, or take the token away: what is public needs none."
        )
    # `datasets` quotes what it was without keeping it.
    if "OfflineModeIsEnabled" in kinds or "offline mode is enabled" in str(error):
        return refused(
            f"{where}: not in the local cache, and HF_HUB_OFFLINE is set, so it is not fetched. "
            f"Unset it, {elsewhere}."
        )
    if status in PASSING or status >= 500:
        return MachineError(
            f"{where}: the hub answers {status} for {repo}, and did so each time it was asked. Run "
            "the same command again later: it goes on from what is there."
        )
    if kinds & _BROKEN:
        return MachineError(
            f"{where}: the hub cannot be reached, or the download of {repo} broke off ({said}). "
            "Run the same command again: it goes on from what is there. Where there is no network, "
            f"{elsewhere}."
        )
    return None


def _token_place() -> str | None:
    """Where the hub's libraries take their token from; never the token itself."""
    from huggingface_hub.constants import HF_TOKEN_PATH

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name, "").strip():
            return f"the environment ({name})"
    return HF_TOKEN_PATH if Path(HF_TOKEN_PATH).is_file() else None
