"""Gemma Scope 1: JumpReLU SAEs of Gemma 2, one `params.npz` each."""
