"""The HarmBench classifier."""
