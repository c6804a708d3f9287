"""The observer `lookout` for sae-harness."""
