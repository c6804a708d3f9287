"""One module or folder a format: what its files are called, and how they become an SAE."""
