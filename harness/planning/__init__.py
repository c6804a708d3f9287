"""From a task to a plan: the passes and completions, and what they will cost."""
