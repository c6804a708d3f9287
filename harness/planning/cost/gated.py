"""Hub repositories whose licence is to be accepted before anything can be downloaded.

Offline nobody can know: owners open and close their gates. This is what stood behind one when the
list was written (2025); add yours.
"""

from __future__ import annotations

GATED: tuple[tuple[str, str], ...] = (
    ("google/gemma-scope", ""),
    ("google/gemma-", "Gemma's terms of use"),
    ("google/codegemma-", "Gemma's terms of use"),
    ("google/recurrentgemma-", "Gemma's terms of use"),
    ("google/shieldgemma-", "Gemma's terms of use"),
    ("google/txgemma-", "Health AI Developer Foundations terms"),
    ("google/medgemma-", "Health AI Developer Foundations terms"),
    ("meta-llama/", "Llama community licence"),
    ("CohereLabs/", "CC-BY-NC and Cohere's acceptable use policy"),
    ("CohereForAI/", "CC-BY-NC and Cohere's acceptable use policy"),
    ("bigcode/starcoder", "BigCode OpenRAIL-M"),
    ("allenai/wildguard", "AI2 responsible use"),
    ("walledai/", "its owner's terms"),
    ("lmsys/lmsys-chat-1m", "its owner's terms"),
)
"""Beginnings of ids of models and data sets, and whose terms; the first that fits decides.

Empty terms are an exception: Gemma Scope's SAEs are free where Gemma's weights are not.
"""


def terms(repository: str) -> str | None:
    """Whose terms probably have to be accepted for a repository; None where none are known."""
    for beginning, whose in GATED:
        if repository.lower().startswith(beginning.lower()):
            return whose or None
    return None
