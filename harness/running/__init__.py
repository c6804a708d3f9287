"""Runs a plan: loads models, reads text, edits, generates, has answers judged, keeps results."""
