"""What SAEs of all formats share: encoding, reconstruction, checks of weights."""
