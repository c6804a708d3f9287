"""Runs the benchmarks of lm-eval on models under interventions."""
