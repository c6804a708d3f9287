"""Analyses of how well an SAE fits before and after."""
