"""Goodfire's SAEs of Llama models."""
