"""Where the files of an SAE are, and what their headers say."""
