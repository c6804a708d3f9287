"""Pairs whose metrics look at each token, and what the tests of streams ask of them."""

from __future__ import annotations

from harness.contract import Record
from harness.running.session import Session

HEAD = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
"""
METRICS = "".join(f"[metrics.{m}]\npair = 'p'\n" for m in ("mean", "gap", "loss", "match", "turn"))
LOW = "[metrics.low]\nmethod = 'gap'\npair = 'p'\nwhere = { cosine_below = 0.997 }\n"
ALL = METRICS + LOW
ANY_PLACE = ("models.base.positional=false", "models.chat.positional=false")


def pair(*keys: str, metrics: str = ALL) -> str:
    return "\n".join([HEAD.rstrip(), *keys, metrics])


def one(found: list[Record], metric: str, **axes: object) -> Record:
    (record,) = [
        r for r in found if r.axes.get("metric") == metric and axes.items() <= r.axes.items()
    ]
    return record


def lengths(session: Session, view: str = "base") -> list[int]:
    rows = session.data.examples("web")
    return [len(prompt.ids) for prompt in session.prompts.render(view, rows)]


SPAN = """
[data.shots]
file = "shots.jsonl"
[views.shown]
model = "chat"
prompt.demonstrations = { data = "shots", count = 2, answer = "text" }
[views.other]
model = "base"
prompt.demonstrations = { data = "shots", count = 1, answer = "text" }
"""
