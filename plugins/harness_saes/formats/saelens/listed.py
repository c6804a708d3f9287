"""The list of releases that comes with sae_lens, read without importing it.

The list is a YAML file of a megabyte and a half, which takes a second to parse: only the entries
that are asked for are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.errors import ModelError, unknown

LIST = "pretrained_saes.yaml"
NATIVE = "sae_lens"
"""The kind of files that sae_lens itself writes, which need no converter."""
_ENTRY = re.compile(r"^(?=[^\s#])", re.MULTILINE)
_NAME = re.compile(r"['\"]?([^'\":\n]+)['\"]? *:")


@dataclass(frozen=True)
class ListedSae:
    """One SAE of a release: its id there, and where its files are in the repository."""

    id: str
    path: str
    neuronpedia: str | None = None


@dataclass(frozen=True)
class Release:
    """One entry of the list."""

    name: str
    repository: str
    model: str
    kind: str
    """sae_lens' name for the converter of its files; `NATIVE` for its own."""
    saes: Mapping[str, ListedSae]
    """By id."""


@cache
def entries() -> tuple[str, ...]:
    """The text of each release in the list; none where sae_lens is not installed."""
    spec = find_spec("sae_lens")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder, LIST)
        if file.is_file():
            return tuple(_ENTRY.split(file.read_text(encoding="utf-8")))
    return ()


def releases() -> Iterator[Release]:
    """All releases of the list."""
    for text in entries():
        yield from releases_of(text)


def find(name: str, id: str, where: str) -> tuple[Release, ListedSae] | None:
    """A release and one SAE of it by their names; None for a repository of the hub that is not
    listed, and where there is no list.

    ModelError, which begins with `where`, for a release that is not (or no longer) listed, and for
    an id that is not in it.
    """
    texts = {match[1]: text for text in entries() if (match := _NAME.match(text))}
    if name not in texts:
        if not texts or "/" in name:
            return None
        said = unknown(f"release of {listed_by()}", name, texts)
        raise ModelError(
            f"{where}: {said} Or a repository of the hub (owner/name), with the SAE's folder as id."
        )
    for release in releases_of(texts[name]):
        if id not in release.saes:
            raise ModelError(f"{where}: {unknown(f'id of {name}', id, release.saes)}")
        return release, release.saes[id]
    return None


def listed_by() -> str:
    """The package whose list it is, with its version."""
    try:
        return f"sae-lens {version('sae-lens')}"
    except PackageNotFoundError:
        return "sae-lens"


@cache
def releases_of(text: str) -> tuple[Release, ...]:
    """The releases in a part of the list; nothing where it is not as expected."""
    return tuple(_releases(text))


def _releases(text: str) -> Iterator[Release]:
    for name, entry in _parsed(text).items():
        saes = entry.get("saes") if isinstance(entry, dict) else None
        if isinstance(saes, list):
            yield Release(
                str(name),
                str(entry.get("repo_id")),
                str(entry.get("model")),
                str(entry.get("conversion_func") or NATIVE),
                {str(sae["id"]): _sae(sae) for sae in saes if isinstance(sae, dict)},
            )


def _parsed(text: str) -> Mapping[Any, Any]:
    """The entries of a part of the list, by name; none where it is no such list."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is
    try:
        found = yaml.load(text, loader)
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _sae(sae: Mapping[str, Any]) -> ListedSae:
    neuronpedia = sae.get("neuronpedia")
    return ListedSae(
        str(sae.get("id")), str(sae.get("path")), str(neuronpedia) if neuronpedia else None
    )
