"""For authors of plugins: what is installed, a new plugin, the laws of its kind."""
