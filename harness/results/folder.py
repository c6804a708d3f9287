"""What the files of a run's folder are called, for those who look for runs."""

from __future__ import annotations

RESULTS = "results.json"
"""What a run has found; written at its end."""
IDENTITY = ".task"
"""Whose folder it is; written at the start of a run."""
REPORT = "report.html"
CLAIMS = "claims.jsonl"
FAMILIES = "families.jsonl"
MEMORIES = (CLAIMS, FAMILIES)
"""When the folder first knew what its task states."""
FOLDERS = ("work", "samples", "tables", "directions", "arrays", "benchmarks")
"""The folders of a run in its folder."""
