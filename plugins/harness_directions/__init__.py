"""Ways to find a direction: means, SAE features, single features and random controls."""
