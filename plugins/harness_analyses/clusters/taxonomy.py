"""The clusters that features may belong to, from a file. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OTHER = "other"
"""The cluster of what fits nowhere; every taxonomy has it."""


def taxonomy(file: str) -> dict[str, str]:
    """Names of clusters and what belongs to them, in the order of the file.

    A .toml or .json file with a table `clusters` of name = "description". Raises ValueError, in
    words for people, where it is something else, has no cluster "other", or has no other one.
    """
    path = Path(file)
    read: Any = {".toml": tomllib.loads, ".json": json.loads}.get(path.suffix.lower())
    if read is None:
        raise ValueError(f"{path.name} is neither .toml nor .json. Write the taxonomy as one")
    try:
        content = read(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        why = " ".join(str(error).split())[:300]
        raise ValueError(
            f"{path.name} cannot be read: {why}. Allowed: a table of clusters as TOML or JSON, in"
            " UTF-8. Mend what is named"
        ) from None
    clusters = content.get("clusters") if isinstance(content, Mapping) else None
    named = isinstance(clusters, Mapping) and all(
        isinstance(text, str) and name.strip() for name, text in clusters.items()
    )
    if not named or not clusters:
        raise ValueError(
            f'{path.name} has no clusters. Needed: a table `clusters` with name = "what belongs '
            'to it" for each'
        )
    if OTHER not in clusters:
        raise ValueError(
            f'{path.name} has no cluster "{OTHER}" for what fits nowhere. Add '
            f'{OTHER} = "anything else"'
        )
    if len(clusters) == 1:
        raise ValueError(
            f'{path.name} has one cluster, "{OTHER}", so that every feature is in it. Needed: two '
            "or more. Add one for what the fine-tuning is about"
        )
    return dict(clusters)


def sha256(clusters: Mapping[str, str]) -> str:
    """Hash of names and descriptions, for the records: a file's name does not say what is in it."""
    return hashlib.sha256(json.dumps(list(clusters.items())).encode()).hexdigest()
