"""Analyses that come with sae-harness: a plugin of the same shape as a third party's."""
