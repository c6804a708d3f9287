"""The evaluator `harmbench`: the HarmBench classifier, here or behind a server."""
