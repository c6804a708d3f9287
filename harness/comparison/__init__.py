"""Compares runs with the first one, record by record and, where they share prompts, in pairs."""
