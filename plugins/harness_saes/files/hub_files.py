"""Files of a repository on the hub: just those that an SAE needs, the local cache first.

Imports huggingface_hub only when files are asked for, and never torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from harness.errors import MachineError, ModelError, listed, suggestion
from harness.web import hub_error, patiently
from harness_saes.files.header import first_line

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WILD = re.compile(r"[*?\[]")


def is_hub_id(location: str) -> bool:
    """Whether a location can be a repository on the hub: `owner/name`, and no local path."""
    return _HUB_ID.fullmatch(location) is not None and not Path(location).exists()


def cached(repo: str, revision: str | None = None) -> Path | None:
    """The local snapshot of a repository, without a network; None where there is none.

    It holds what was fetched of the repository so far, which may be little.
    """
    from huggingface_hub.constants import HF_HUB_CACHE  # a constant module: cheap

    folder = Path(HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
    name = revision or "main"
    named = folder / "refs" / name
    commit = named.read_text(encoding="utf-8").strip() if named.is_file() else name
    snapshot = folder / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def fetch(
    repo: str,
    patterns: Sequence[str],
    revision: str | None,
    where: str,
    *,
    optional: Sequence[str] = (),
) -> Path:
    """A local folder with the files of a hub repository that match, downloaded where needed.

    Patterns are paths in the repository, `*` for any characters; every one of `patterns` must
    match, those of `optional` may. The folder is the repository's snapshot in the cache: it may
    hold other files too. What is cached in whole is used as it is, without a network, so that a
    run does not change when a repository does; HF_HUB_OFFLINE is respected.

    Raises ModelError, beginning with `where`: not cached and offline mode, a token that is refused,
    a licence that is not accepted, no such repository or revision, a pattern that matches nothing
    (with what there is). MachineError: a hub that is busy or out of reach, a download that broke
    off; a rerun continues.
    """
    here = cached(repo, revision)
    exact = not any(_WILD.search(pattern) for pattern in (*patterns, *optional))
    if here is not None and exact and not _lacking(here, (*patterns, *optional)):
        return here
    try:
        folder = _download(repo, [*patterns, *optional], revision, where)
    except (ModelError, MachineError):
        # What is optional, or unlisted for want of a network, must not stop what is here.
        if here is None or _lacking(here, patterns):
            raise
        return here
    if lacking := _lacking(folder, patterns):
        raise _no_match(repo, lacking[0], _listing(repo, revision, folder), where)
    return folder


def _download(repo: str, patterns: list[str], revision: str | None, where: str) -> Path:
    """What matches, fetched; a repository without a match gives a folder without one."""
    from huggingface_hub import snapshot_download

    def ask() -> str:
        return snapshot_download(repo, revision=revision, allow_patterns=patterns)

    try:
        return Path(patiently(ask, repo))
    except Exception as error:
        known = hub_error(error, where, repo, ModelError)
        if told := known or _about(error, repo, revision, where):
            raise told from error
        raise


def _about(error: Exception, repo: str, revision: str | None, where: str) -> ModelError | None:
    """The error about names that are not on the hub; None for what is no error of the hub."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "RepositoryNotFoundError" in kinds:
        # The hub says the same of a private repository and of one that does not exist.
        return ModelError(
            f"{where}: the hub has no repository {repo}, or none that your login may read. "
            "Check its name, or run `hf auth login` if it is private."
        )
    if "RevisionNotFoundError" in kinds:
        return ModelError(
            f"{where}: {repo} has no revision {revision!r}. Allowed: a branch, a tag or a commit "
            "of the repository. Remove revision to read its main branch."
        )
    if not isinstance(error, (OSError, ValueError)):
        return None
    return ModelError(
        f"{where}: {repo} is not in the local cache, and it could not be downloaded "
        f"({first_line(error)}). Run `hf download {repo}` where there is a network, or give a "
        "local folder."
    )


def _listing(repo: str, revision: str | None, folder: Path) -> list[str]:
    """The files of a repository, or those of it that are cached where it can't be asked."""
    from huggingface_hub import HfApi

    try:
        return sorted(HfApi().list_repo_files(repo, revision=revision))
    except (OSError, ValueError):
        return _names(folder)


def _names(folder: Path) -> list[str]:
    return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())


def _lacking(folder: Path, patterns: Iterable[str]) -> list[str]:
    """The patterns that no file matches."""
    names = _names(folder)
    return [p for p in patterns if not any(fnmatchcase(name, p) for name in names)]


def _no_match(repo: str, pattern: str, names: Sequence[str], where: str) -> ModelError:
    """What there is: at the deepest folder on the pattern's way that exists, its entries."""
    parts = pattern.split("/")
    for depth in range(len(parts) - 1, -1, -1):
        inside = "".join(f"{part}/" for part in parts[:depth])
        entries = {n[len(inside) :].split("/")[0] for n in names if n.startswith(inside)}
        if entries:
            break
    at = f"{repo}/{inside}".rstrip("/")
    return ModelError(
        f"{where}: no file of {repo} matches {pattern!r}. In {at} there is: {listed(entries)}."
        f"{suggestion(parts[depth], entries)}"
    )
