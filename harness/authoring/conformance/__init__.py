"""Whether a plugin keeps the laws of its kind."""
