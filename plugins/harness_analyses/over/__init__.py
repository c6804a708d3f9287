"""Whether two numbers of a run go together over SAEs, checkpoints, or any other axis."""
