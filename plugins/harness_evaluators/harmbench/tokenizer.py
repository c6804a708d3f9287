"""The tokenizers that clip what the classifier reads: its model's own, or one beside a server."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from harness.errors import ModelError
from harness.store.known_files import sha256_of

_NO_LIMIT = 10**6
"""Tokenizers that know no longest text give a huge number for it."""


_PARTS = {".json", ".jinja", ".model", ".txt"}
"""Files of a tokenizer's folder that say how it cuts text."""


def tokenizer_identity(where: str) -> str:
    """A tokenizer as a part of a key: the hub id, or a hash of what is in its folder.

    The same files count as the same tokenizer wherever they lie.
    """
    folder = Path(where).expanduser()
    if not folder.is_dir():
        return where
    total = hashlib.sha256()
    for file in sorted(one for one in folder.iterdir() if one.suffix in _PARTS and one.is_file()):
        total.update(f"{file.name}\0{sha256_of(file)}\n".encode())
    return total.hexdigest()


class Tokenizer(Protocol):
    """As much of a tokenizer as the protocol needs; a contract `Model` is one."""

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The tokens of a text, with or without those that the tokenizer puts around it."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without special ones."""


class ServedTokenizer:
    """The tokenizer of a model that a server runs, loaded here from a folder or hub id.

    `context` is its longest text in tokens, None where it knows no limit. Raises ModelError where
    transformers cannot load it.
    """

    def __init__(self, where: str) -> None:
        from transformers import AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(where)
        except Exception as error:  # transformers raises anything on files that it cannot use
            why = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            raise ModelError(
                f"harmbench: tokenizer {where}: transformers cannot load it ({why}). "
                "Allowed: the folder or hub id of the classifier's own tokenizer."
            ) from None
        longest = int(self._tokenizer.model_max_length)
        self.context = longest if longest < _NO_LIMIT else None

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The tokens of a text, with or without those that the tokenizer puts around it."""
        ids = self._tokenizer(text, add_special_tokens=special, verbose=False).input_ids
        return [int(token) for token in ids]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        text = self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)
