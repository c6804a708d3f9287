"""Checks whether a plugin keeps the laws of its kind: `harness plugins check`."""
