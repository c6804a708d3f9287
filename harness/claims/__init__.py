"""Claims: what a task expects of its numbers, held against what a run has found."""

from harness.claims.evaluate import evaluate as evaluate, evaluate_results as evaluate_results
