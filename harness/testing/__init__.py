"""Conformance checks, one for each kind of plugin: call them from your own tests.

Each `check_*` raises AssertionError with the name of the law that is broken.
"""
