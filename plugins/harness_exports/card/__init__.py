"""A drift card: what fine-tuning changed, and whether that causes the behaviour, for a README."""
