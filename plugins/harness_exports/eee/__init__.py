"""Scores as records of Every Eval Ever 0.3.0: an aggregate for each state of a model, and beside it
its completions."""
