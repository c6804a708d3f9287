"""Turns a task into a plan: the passes over activations, the completions, and what they cost."""
