"""Gemma Scope 2: JumpReLU SAEs and transcoders of Gemma 3, `params.safetensors` + `config.json`."""
