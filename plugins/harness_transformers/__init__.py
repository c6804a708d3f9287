"""The transformers backend: plugin.py declares it, options.py types it, backend.py loads it."""
