"""Nine bugs and their sound twins."""
