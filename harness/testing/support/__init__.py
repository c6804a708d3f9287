"""What the checks of several kinds share."""
