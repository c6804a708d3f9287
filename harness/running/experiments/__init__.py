"""Generates completions under interventions and has them judged."""
