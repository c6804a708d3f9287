"""Evaluators: they judge what a model wrote, or ask it a benchmark's questions."""
