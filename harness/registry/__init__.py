"""Finds plugins and what they provide, without importing anything heavy."""

from harness.registry.plugins import (
    DISTRIBUTION,
    GROUP,
    Owned,
    Plugin,
    Registry,
    Status,
    discover,
    is_ours,
    normalized,
)

__all__ = [
    "DISTRIBUTION",
    "GROUP",
    "Owned",
    "Plugin",
    "Registry",
    "Status",
    "discover",
    "is_ours",
    "normalized",
]
