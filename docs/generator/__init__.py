"""Makes pages of documentation from docstrings and options; see `docs/build.py`."""
