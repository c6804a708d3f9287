"""Statistics: numbers, tables and arrays, each made in a pass over activations of its own."""
