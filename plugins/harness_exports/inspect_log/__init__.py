"""Completions and their scores as Inspect logs (`.eval`, version 2), which `inspect view` opens.

Written by ourselves, as JSON in a zip, so that it needs no package; inspect_ai's own reader accepts
them, and a test holds that.
"""
