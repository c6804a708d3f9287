"""Statistics: numbers, tables and arrays, each made in a pass of its own over activations."""
