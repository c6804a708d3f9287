"""How SAEs compute, and what is checked of every format; reads no file and knows no format."""
