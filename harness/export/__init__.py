"""Writes what a run has found in the forms of other tools: its figures as SVG files."""
