"""Directions of a concept that two sets of text tell: probes, LEACE, personas, components."""
