"""Finds the files of an SAE, on the disk or on the hub, and reads their headers."""
