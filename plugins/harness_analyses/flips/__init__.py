"""Analyses of flip rates: overlaps between fine-tunes, profiles over layers, trajectories."""
