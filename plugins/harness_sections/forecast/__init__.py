"""Predicted and measured transfer."""
