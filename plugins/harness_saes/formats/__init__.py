"""One module or folder for each format: its file names, its configuration, its weights."""
