"""Llama Scope: JumpReLU SAEs of Llama 3.1 8B, and those of its R1 distillate."""
