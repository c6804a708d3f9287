"""What a plan will cost: tokens, floating-point operations, memory, downloads, time."""
