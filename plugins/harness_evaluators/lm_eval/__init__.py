"""The evaluator `lm_eval`: benchmarks of lm-eval on edited models."""
