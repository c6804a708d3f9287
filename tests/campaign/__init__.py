"""The bad-input campaign: how files are made wrong, and who judges what the command says of them."""
