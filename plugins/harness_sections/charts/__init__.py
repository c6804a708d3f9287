"""Charts that several sections draw."""
