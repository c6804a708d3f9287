"""Finders of directions: means, SAE features, principal components, random controls."""
