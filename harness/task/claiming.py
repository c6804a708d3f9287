"""Which SAE formats say that files are of theirs; one that is broken says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.contract import SaeOptions
from harness.errors import PluginError
from harness.registry import is_ours
from harness.text import for_terminal

if TYPE_CHECKING:
    from harness.registry import Owned, Registry


@dataclass(frozen=True)
class Claiming:
    """The formats that claim some files, and what became of those that could not be asked."""

    formats: tuple[Owned, ...]
    broken: tuple[str, ...] = ()
    """A sentence for each."""

    @property
    def ours(self) -> tuple[Owned, ...]:
        """Those that come with the harness; all of them, where none of these does. For tasks that
        the harness itself writes: whatever a stranger's format claims, they were made for ours."""
        return tuple(one for one in self.formats if is_ours(one)) or self.formats


def claiming(registry: Registry, path: str) -> Claiming:
    """Asks every format. A stranger's may raise anything: that is fatal only to a task which
    names it."""
    formats, broken = [], []
    for owned in registry.of("sae_format"):
        try:
            options = owned.options()
            if issubclass(options, SaeOptions) and options.claims(path):
                formats.append(owned)
        except PluginError as error:
            broken.append(str(error))
        except Exception as error:
            said = for_terminal(f"{type(error).__name__}: {error}", 200)
            broken.append(f"{owned} could not be asked: {said}.")
    return Claiming(tuple(formats), tuple(broken))
