"""Whether a fine-tune wrote something new or moved what was there, and what that looks like."""
