"""Benchmarks of lm-eval on edited models."""
