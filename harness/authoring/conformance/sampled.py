"""The laws of a kind, tried on the samples that a component ships."""

from __future__ import annotations

import importlib
import inspect
import re
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import harness.testing
from harness.authoring.conformance.kinds import Asked, asked_of
from harness.authoring.conformance.law import Law, NotTried, Part
from harness.registry import Owned
from harness.testing.support.laws import holds, missed_laws, seeded

_MADE_OF = {"check_sae_format": ("check_sae",)}
"""Checks that call others."""


def sampled_law(owned: Owned, seed: int = 0) -> Law:
    """One law for all samples: the check of the component's kind holds on each of them."""
    return Law("the laws of its kind", lambda: _tried(owned, seed))


def _tried(owned: Owned, seed: int) -> list[Part]:
    """Runs every sample; the laws that were kept, and those that no sample had anything for."""
    if not owned.component.samples:
        raise NotTried(
            "it ships no samples, so there is nothing to try them on. Write a function that yields"
            f" partial({asked_of(owned).check}, …), as `harness new` does, and name it in"
            " Component.samples"
        )
    module, _, name = owned.component.samples.partition(":")
    try:
        samples = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        if not owned.component.extra:
            raise
        what = f"its samples need what is not installed: {error}. Install '{owned.component.extra}'"
        raise NotTried(what) from error
    if samples is None:
        raise AssertionError(f"{owned.component.samples}: there is no such function")
    asked = asked_of(owned)
    kept: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        calls = list(samples(Path(folder)))
        holds(bool(calls), "there is no sample")
        for number, call in enumerate(calls, start=1):
            check = _check_of(call, asked, owned)
            try:
                with missed_laws() as missed, seeded(seed):
                    call()
            except AssertionError as error:
                what = str(error).removeprefix("law broken: ")
                raise AssertionError(f"{check.__name__}, sample {number}: {what}") from error
            for name in laws_of(check):
                kept[name] = missed.get(name, "") and kept.get(name, missed[name])
    return [Part(name, why) for name, why in kept.items()]


def _check_of(call: Any, asked: Asked, owned: Owned) -> Callable[..., None]:
    """The check that a sample calls: the one of the kind, on the component itself."""
    check: Callable[..., None] = getattr(harness.testing, asked.check)
    if not isinstance(call, partial) or call.func is not check:
        raise AssertionError(f"a sample must be partial({asked.check}, …), not {call!r:.200}")
    component, first = owned.load(), call.args[0] if call.args else None
    if first is not component and owned.component.kind != "backend":
        # A backend's check is given the model that it loads, a format's the class itself.
        holds(isinstance(first, component), f"it is of {first!r:.100}, no {component.__name__}")
        whole = isinstance(first, asked.protocols)
        names = " or ".join(protocol.__name__ for protocol in asked.protocols)
        holds(whole, f"{component.__name__} lacks something of {names}: see harness.contract")
    return check


def laws_of(check: Callable[..., None]) -> list[str]:
    """The names of the laws that a check tries, as its docstring lists them after `Laws:`."""
    text = re.sub(r" \(.*?\)", "", " ".join((inspect.getdoc(check) or "").split()))
    text = text.replace(". On a model: ", " · ")
    listed = re.search(r"Laws: (.*?)(?:\. [A-Z]|\.$)", text)
    found = listed[1].split(" · ") if listed else []
    for name in _MADE_OF.get(check.__name__, ()):
        found += laws_of(getattr(harness.testing, name))
    return found
