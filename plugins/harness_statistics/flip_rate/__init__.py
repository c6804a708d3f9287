"""Counts the features that an injected component switches on or off."""
