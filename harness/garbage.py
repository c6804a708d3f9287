"""When Python looks for garbage: not while code is imported, of which everything stays."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Around imports: within, Python looks for no circles among objects.

    Thousands of modules make millions of objects, and it would look through them all again and
    again: a fifth of the time in which torch and transformers are imported. In a process that has
    put what stays out of Python's sight (`gc.freeze`; the command line does as it begins), what
    was imported goes there too. Other processes have objects of their own that may become garbage.
    Where all was imported before, nothing is set aside: not even counting what already is, which
    takes tens of milliseconds of a small run.
    """
    was, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before and gc.get_freeze_count():
            gc.freeze()
        if was:
            gc.enable()
