"""The section on what several fine-tunes changed: flips, checkpoints, components."""
