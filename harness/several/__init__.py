"""Several runs at once: what tells them apart, their numbers together, and a list of a folder's."""

from __future__ import annotations

from harness.several.gather import Gathered as Gathered, gather as gather, load_runs as load_runs
