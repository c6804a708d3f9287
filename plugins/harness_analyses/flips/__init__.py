"""Analyses of flip rates: overlaps, layer profiles, trajectories."""
