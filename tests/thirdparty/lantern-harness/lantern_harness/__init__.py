"""One component of most kinds."""
