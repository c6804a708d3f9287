"""SAE formats: how files are recognised, and how they become an SAE."""
