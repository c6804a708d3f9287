"""Polar SAEs, and how lengths change."""
