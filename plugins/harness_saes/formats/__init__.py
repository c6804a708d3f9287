"""One room a format: what its files are called and how they become an SAE."""
