"""Evaluators: judges of completions, and benchmarks that run on an edited model."""
