"""The backend `quill` for sae-harness."""
