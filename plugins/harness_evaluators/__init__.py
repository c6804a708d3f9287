"""A built-in plugin of sae-harness, shaped like a third party's: plugin.py declares, options.py types."""
