"""Completions under interventions, and what judges say of them."""
