"""What a pass reads: rows of tokens, the activations of both sides, filtered tokens."""
