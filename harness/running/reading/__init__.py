"""Reads what a pass needs: rows of tokens, activations of both sides, filtered tokens."""
