"""From a plan to results: loads models, reads text, edits, generates, judges."""
