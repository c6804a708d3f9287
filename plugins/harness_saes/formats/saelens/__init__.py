"""SAEs and transcoders of sae-lens: folders, and releases by name."""
