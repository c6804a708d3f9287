"""What the laws of sections are tried on."""
