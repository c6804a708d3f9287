"""The backend for models of transformers: loads, reads, generates, edits."""
