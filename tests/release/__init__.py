"""What is released: `python -m tests.release` builds it, looks at it, and tries it.

`build` makes sdist and wheel, `contents` says what must be in them, `tried` runs the wheel in an
environment of its own, `command` is what a person types.
"""
