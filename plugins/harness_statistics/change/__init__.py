"""Statistics of what a fine-tune changed, and of how much of it an SAE's dictionary can say."""
