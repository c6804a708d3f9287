"""Predicts which domains a fine-tune will hurt, and compares this with what was measured."""
