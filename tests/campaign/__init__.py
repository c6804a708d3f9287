"""The bad-input campaign: how files are made wrong, and who judges what is said of them."""
