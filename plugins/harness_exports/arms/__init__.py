"""The arms of a run's experiments, as exports read them: what wrote, under which edits, with what
scores."""
