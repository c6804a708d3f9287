"""A plugin in a file of its own: what the file holds, read once, hashed, and run from memory."""

from __future__ import annotations

import hashlib
import re
import stat
import sys
import traceback
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType

from harness.errors import PluginError
from harness.text import for_terminal

PREFIX = "harness_local_"
"""What the names of modules begin with that are a task's own files."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,79}")
LARGEST = 2**20
"""Bytes; a plugin that needs more is a package."""


@dataclass(frozen=True)
class LocalCode:
    """A file of Python as it was when it was read. Holding one runs nothing."""

    file: Path
    """Where it was read, as an absolute path."""
    content: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """What its plugin is called: the file's name without `.py`."""
        return self.file.stem

    @cached_property
    def sha256(self) -> str:
        """The hash of its content, by which it is trusted and told from another."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def module_name(self) -> str:
        """What Python calls it. A file that was changed is another module."""
        return f"{PREFIX}{self.sha256[:16]}_{re.sub(r'[^0-9A-Za-z_]', '_', self.name)}"

    def module(self) -> ModuleType:
        """The module; its code runs at the first call.

        It is made of the bytes that were hashed: the file is not read again, and what Python may
        have left in `__pycache__` beside it, which anyone could have put there, is never looked at.
        """
        found = sys.modules.get(self.module_name)
        if found is None:
            found = ModuleType(self.module_name)
            found.__file__ = str(self.file)
            sys.modules[self.module_name] = found  # dataclasses and pydantic look there
            try:
                code = compile(self.content, str(self.file), "exec", dont_inherit=True)
                exec(code, found.__dict__)
            except BaseException:
                sys.modules.pop(self.module_name, None)
                raise
        return found

    def line_of(self, error: BaseException) -> str:
        """Where in the file an error comes from: `my_metric.py:7`, or its name alone."""
        line = None
        if isinstance(error, SyntaxError) and error.filename == str(self.file):
            line = error.lineno
        for frame, number in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename == str(self.file):
                line = number
        return self.file.name if line is None else f"{self.file.name}:{line}"

    def sheet(self) -> str:
        """In one sentence what a person needs to know it again, and how it begins."""
        text = self.content.decode("utf-8", "replace").lstrip("\ufeff")
        written = [line for line in text.splitlines() if line.strip()]
        begins = for_terminal(" ".join(" ".join(written[:2]).split()), 120)
        lines = f"{len(text.splitlines())} line{'s' * (len(text.splitlines()) != 1)}"
        size = f"{lines}, {len(self.content)} bytes, sha256 {self.sha256[:12]}…"
        return f"It has {size}, and begins: {begins}" if begins else f"It has {size}."


def read_local(file: Path) -> LocalCode:
    """Reads a file of Python. PluginError where it is none, or too large for one."""
    shown = for_terminal(str(file), 300)
    if file.suffix != ".py":
        raise PluginError(
            f"{shown}: is no file of Python. Allowed: a file that ends in .py. A package is "
            "installed instead, and needs no entry."
        )
    if not _NAME.fullmatch(file.stem):
        raise PluginError(
            f"{shown}: its name is that of the plugin. Allowed: letters, digits, - and _, such as "
            "my_metric.py. Rename it."
        )
    try:
        found = file.resolve()
        mode = found.stat().st_mode
        if not stat.S_ISREG(mode):
            raise PluginError(f"{shown}: is no plain file. Name a file that ends in .py.")
        with found.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise PluginError(f"{shown}: cannot be read: {why}.") from None
    if len(content) > LARGEST:
        raise PluginError(
            f"{shown}: has more than {LARGEST} bytes. A plugin of that size is a package: "
            "`harness new` writes one."
        )
    # Its name is the one that was written, also where that is a link.
    return LocalCode(file.parent.resolve() / file.name, content)


def blamed(error: BaseException) -> str | None:
    """What to say of an error that the code of a local file raised, or what that called: its file,
    line and words. None of any other error."""
    at = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__", "")).startswith(PREFIX):
            at = f"{frame.f_code.co_filename}:{number}"
    if at is None:
        return None
    said = str(error).strip().partition("\n")[0]
    return (
        f"{for_terminal(at, 300)}: {type(error).__name__}{': ' * bool(said)}"
        f"{for_terminal(said, 500)}. That is the plugin's own code: mend it there. "
        f"`harness plugins check {for_terminal(Path(at.rpartition(':')[0]).name)}` tries its laws."
    )
