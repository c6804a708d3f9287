"""Turns a task file into a task: reads it, validates it, resolves names, checks that all fits."""
