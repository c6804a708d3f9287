"""Qwen-Scope: TopK SAEs of Qwen models, one `layer{n}.sae.pt` each."""
