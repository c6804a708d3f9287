"""Blots secrets out of what observers are given, and copies it, so that nothing leads back.

Secret is what an environment variable holds whose name says so (`HF_TOKEN`, `OPENAI_API_KEY`), what
a table holds under such a key, the user and the password of a URL, and what looks like a key of a
well-known service.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, cast

from harness.contract import Event
from harness.results.write import strict_json
from harness.text import well_formed

BLOT = "***"
"""Stands in the place of a secret."""
_SHORTEST = 8
"""Characters that a variable's value must have: shorter ones are words such as `true`."""
_VARIABLE = re.compile(r"(.*_)?(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|PAT)", re.IGNORECASE)
_FIELD = re.compile(
    r"(.*[_-])?(api[_-]?key|secret|password|passwd|authorization"
    r"|(access|auth|api|bearer|hf|hub)[_-]?token)",
    re.IGNORECASE,
)
_FORMS = re.compile(
    r"(?<=://)[^/\s@]+(?=@)"
    r"|(?<![A-Za-z0-9])(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[opsru]_[A-Za-z0-9]{20,}"
    r"|github_pat_\w{20,}|AKIA[0-9A-Z]{16}|xox[abprs]-[A-Za-z0-9-]{10,})"
    r"|(?<=[Bb]earer )[\w.~+/-]{8,}=*"
    r"|(?<=[?&]key=)[^&\s]+|(?<=[?&]token=)[^&\s]+|(?<=[?&]api_key=)[^&\s]+"
)


@dataclass(frozen=True)
class Mask:
    """What is secret in this process. `secrets` are texts, the longest first."""

    secrets: tuple[str, ...] = ()

    @classmethod
    def of(cls, environment: Mapping[str, str] | None = None) -> Mask:
        """The secrets of an environment; without one, of this process's."""
        given = os.environ if environment is None else environment
        found = {
            text
            for name, text in given.items()
            if _VARIABLE.fullmatch(name) and len(text) >= _SHORTEST
        }
        return cls(tuple(sorted(found, key=lambda text: (-len(text), text))))

    def text(self, text: str) -> str:
        """The text without its secrets, and without lone surrogates, which nobody can write."""
        for secret in self.secrets:
            text = text.replace(secret, BLOT)
        return _FORMS.sub(BLOT, well_formed(text))

    def handed(self, event: Event) -> Event:
        """A copy of an event to give away: plain values, of which nothing is shared."""
        return cast(Event, self._copy(event))

    def _copy(self, value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            copies = {one.name: self._copy(getattr(value, one.name)) for one in fields(value)}
            return type(value)(**copies)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._kept(key, inner) for key, inner in value.items()}
        if isinstance(value, (tuple, list)):
            return type(value)(map(self._copy, value))
        plain = strict_json(value)
        return self.text(plain) if isinstance(plain, str) else plain

    def _kept(self, key: object, value: Any) -> Any:
        """The value of a key of a table; blotted out where the key says that it is secret."""
        secret = isinstance(value, str) and value and _FIELD.fullmatch(str(key))
        return BLOT if secret else self._copy(value)
