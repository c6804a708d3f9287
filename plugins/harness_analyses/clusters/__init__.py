"""Groups features by what their labels mean, as a judge sees it, and adds up their changes."""
