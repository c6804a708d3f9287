"""Sections of the report, as a plugin."""
