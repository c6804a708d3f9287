"""Every family keeps the laws of a backend; and the laws notice what breaks them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Activations, Arm, Example, Prompt, Receipt, Site, Tokens
from harness.testing import check_backend
from harness_transformers.model import TransformersModel

from .conftest import load


@pytest.mark.slow
def test_families(model: TransformersModel, examples: list[Example]) -> None:
    check_backend(model, examples)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype: str, folders: dict[str, Path], examples: list[Example]) -> None:
    check_backend(load(folders["qwen2"], dtype=dtype), examples)


class Broken:
    """A model with one law broken."""

    def __init__(self, model: TransformersModel) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


class Shifted(Broken):
    def activations(self, tokens: Sequence[Tokens], sites: Sequence[Site], **kw: Any) -> Any:
        got = self.model.activations(tokens, sites, **kw)
        moved = {s: x + 0.1 * (len(tokens) - 1) for s, x in got.sites.items()}
        return Activations(moved, got.start, got.logits)


class Deaf(Broken):
    @contextmanager
    def edited(self, arms: Sequence[Arm]) -> Any:
        yield [Receipt(arm.name) for arm in arms]


class Leaky(Broken):
    @contextmanager
    def edited(self, arms: Sequence[Arm]) -> Any:
        self.kept = self.model.edited(arms)
        yield self.kept.__enter__()
        self.kept.__exit__(None, None, None)


class Restless(Broken):
    calls = 0

    def render(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        self.calls += 1
        return self.model.render([*examples][:: 1 if self.calls % 2 else -1], prompt)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Shifted, "padding and batch change nothing"),
        (Deaf, "capture sees edits"),
        (Leaky, "hooks are gone after an error"),
        (Restless, "rendering is deterministic"),
    ],
)
def test_laws_bite(
    broken: type[Broken], law: str, folders: dict[str, Path], examples: list[Example]
) -> None:
    model = load(folders["llama"])
    with pytest.raises(AssertionError, match=law):
        check_backend(broken(model), examples)
