"""What authors of plugins use: a list of what is installed, a new plugin, a check of its laws."""
