"""Edits of a model made from a direction: removing it, and adding it."""
