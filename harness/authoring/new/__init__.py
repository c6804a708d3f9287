"""Writes a new plugin, a package whose tests pass: `harness new`."""
