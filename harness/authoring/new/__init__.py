"""A new plugin: a package with tests that pass."""
