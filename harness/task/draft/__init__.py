"""Drafts a task from what a person names: two models, perhaps text and SAEs."""
