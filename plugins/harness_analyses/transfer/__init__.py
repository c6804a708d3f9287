"""Predicting which domains a fine-tune will hurt, and the check of the prediction."""
