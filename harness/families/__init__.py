"""Families: many numbers that a task asks at once, and which of them are discoveries."""

from harness.families.evaluate import Found as Found, evaluate as evaluate
