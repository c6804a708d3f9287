"""What sections show of several runs at once: by what tells the runs apart, with medians."""
