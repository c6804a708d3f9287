"""Crosscoders of ckkissane's replication: their files leave open how activations are scaled."""
