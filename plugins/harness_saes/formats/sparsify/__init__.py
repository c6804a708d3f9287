"""SAEs and transcoders of EleutherAI's sparsify."""
