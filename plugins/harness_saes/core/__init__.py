"""SAEs as tensors and rules: encoding, reconstruction, what every format is checked for."""
