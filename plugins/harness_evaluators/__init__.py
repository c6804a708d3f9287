"""Judges of what a model wrote."""
