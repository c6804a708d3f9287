"""Where the files of an SAE are, and how each kind of file is read."""
