"""When Python looks for garbage: not while code is imported, of which everything stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Around imports: within, Python looks for no circles among objects.

    Thousands of modules make millions of objects, and it would look through them all again and
    again: a fifth of the time in which torch and transformers are imported. In a process that has
    put what stays out of Python's sight (`gc.freeze`; the command line does as it begins), what
    was imported goes there too. Other processes have objects of their own that may become garbage.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count():
            gc.freeze()
        if was:
            gc.enable()
