"""Crosscoders and difference SAEs of science-of-finetuning's fork of dictionary_learning."""
