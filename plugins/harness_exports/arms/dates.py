"""When a run was made, as an option says it: results keep no time of their own."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator


def _is_a_date(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text[:40]!r} is no date. Allowed: one like 2026-11-29, or 2026-11-29T09:00:00Z"
        ) from None
    return text


RunDate = Annotated[str, AfterValidator(_is_a_date)]
"""A date, with or without a time of day; without a zone it is UTC."""
