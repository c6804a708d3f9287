"""The executor `choir` for sae-harness."""
