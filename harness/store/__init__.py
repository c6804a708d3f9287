"""Keeps files and states on disk, each of them whole or not at all."""
