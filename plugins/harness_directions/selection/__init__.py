"""Arditi's selection: candidates at every closing token and layer, tried without a completion."""
