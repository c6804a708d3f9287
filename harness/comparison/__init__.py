"""Runs compared with the first one, record by record and prompt by prompt."""
