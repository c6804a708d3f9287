"""A run in parts: what is spread over workers, and what travels between them and the head."""
