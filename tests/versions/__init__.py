"""The suite on other versions of what it stands on: `python -m tests.versions lowest`.

`bounds` reads what `pyproject.toml` allows, `place` makes a fresh environment of it, `command` is
what a person types. docs/reliability.md says what was found.
"""
