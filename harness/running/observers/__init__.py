"""Tells observers what happens in a run, without waiting for them."""
