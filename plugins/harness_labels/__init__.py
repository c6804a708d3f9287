"""The sources of labels that ship with the harness."""
