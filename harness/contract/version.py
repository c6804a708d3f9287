"""The version of the contract, and whether what was written for another version can run.

Within a major version the contract only grows: names, fields and parameters are added, with
defaults, and none is taken away or given another meaning. So a plugin for 1.0 runs with every 1.x.
"""

from __future__ import annotations

import re

CONTRACT = "1.0"
"""The version of `harness.contract` and `harness.testing`: `major.minor`.

A plugin says for which one it was written, as a text beside its hook: `harness_contract = "1.0"`.
One that says nothing is taken to be written for 1.0."""


def misfit(written_for: object) -> str:
    """Why a plugin that was written for this version cannot be used; empty where it can.

    It can where the major version is ours and the minor one is not above ours.
    """
    if not isinstance(written_for, str) or not re.fullmatch(r"\d{1,6}\.\d{1,6}", written_for):
        return f'its harness_contract is {written_for!r:.60}. Write a text such as "{CONTRACT}"'
    theirs, ours = (tuple(map(int, one.split("."))) for one in (written_for, CONTRACT))
    if theirs > ours:
        return (
            f"it was written for contract {written_for}, and this sae-harness has {CONTRACT}. "
            "Update sae-harness, or install an earlier version of the plugin"
        )
    if theirs[0] < ours[0]:
        return (
            f"it was written for contract {written_for}, and this sae-harness has {CONTRACT}. "
            "Update the plugin, or install an earlier version of sae-harness"
        )
    return ""
