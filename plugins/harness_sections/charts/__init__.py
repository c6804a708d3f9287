"""Charts that several sections use."""
