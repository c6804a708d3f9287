"""Configuration files in YAML, which are mappings; only plain values are made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import ModelError
from harness_saes.files.header import first_line

_LARGEST = 1_000_000
"""Bytes of a configuration: one of any size would be read into memory by a mere look at it."""

_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
"""What mappings and lists are, unless a file says that they are something else."""


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file; ModelError where there is none.

    Tags that would make Python objects are refused, and so are aliases, of which a short file may
    stand for a huge one, and keys that come twice: readers differ in whose value they take.
    """
    import yaml

    try:
        if file.stat().st_size > _LARGEST:
            raise ModelError(
                f"{file}: has more than {_LARGEST} bytes. Expected a configuration. Copy or "
                "download it again."
            )
        text = file.read_text(encoding="utf-8")
        data = _plain(yaml.compose(text, Loader=yaml.SafeLoader), yaml.SafeLoader(""))
    except OSError as error:
        raise ModelError(
            f"{file}: cannot be read ({error.strerror or error}). Allowed: a YAML file. Copy it "
            "again, or change the path."
        ) from error
    except RecursionError as error:
        raise ModelError(
            f"{file}: is nested too deeply to be a configuration. Copy or download it again."
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ModelError(
            f"{file}: is no YAML of plain values ({first_line(error)}). Copy or download it again."
        ) from error
    if not isinstance(data, dict):
        raise ModelError(f"{file}: is no YAML mapping. Expected a configuration.")
    return data


def _plain(node: Any, loader: Any) -> Any:
    """The value of a node of the parsed file; ValueError for what no configuration has."""
    import yaml

    seen: set[int] = set()

    def value(node: Any) -> Any:
        if id(node) in seen:
            raise ValueError("it has an alias")
        seen.add(id(node))
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _TAGS:
            raise ValueError(f"it has a value of the type {node.tag[:80]!r}")
        if isinstance(node, yaml.MappingNode):
            found: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = value(key_node)
                if not isinstance(key, str):
                    raise ValueError(f"the key {str(key)[:80]!r} is no text")
                if key in found:
                    raise ValueError(f"the key {key[:80]!r} comes twice")
                found[key] = value(value_node)
            return found
        if isinstance(node, yaml.SequenceNode):
            return [value(one) for one in node.value]
        return loader.construct_object(node, deep=True)

    return None if node is None else value(node)
