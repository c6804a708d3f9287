"""The export `figures`: every figure of the report as a picture, with an index of its records."""
