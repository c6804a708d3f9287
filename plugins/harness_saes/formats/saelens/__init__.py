"""Folders of sae-lens."""
