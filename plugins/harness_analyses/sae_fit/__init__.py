"""Analyses of how well an SAE fits a model before and after fine-tuning."""
