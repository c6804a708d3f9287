"""The HarmBench classifier, which judges whether a completion is harmful."""
