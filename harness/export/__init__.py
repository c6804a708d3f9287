"""Writes what a run has found in the forms of other tools: each form is a plugin."""
