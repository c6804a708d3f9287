"""The statistics that ship with the harness."""
