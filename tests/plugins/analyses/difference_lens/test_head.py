"""The head as it is measured, against transformers' own norm and unembedding."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from harness.contract import Receipt, Site
from harness.errors import ModelError
from harness_analyses.difference_lens.head import Head, checked, rows_at_a_time
from harness_analyses.difference_lens.lists import Reading, first
from harness_analyses.difference_lens.readers import LensReader
from harness_transformers.model import TransformersModel


def vectors(n: int = 5) -> torch.Tensor:
    return 7 * torch.randn(n, 16, generator=torch.Generator().manual_seed(3))


def parts(model: TransformersModel) -> tuple[torch.nn.Module, torch.nn.Module, float | None]:
    """Norm, head and soft-cap, looked up by name."""
    hf = model.hf
    norm = hf.transformer.ln_f if hasattr(hf, "transformer") else hf.model.norm
    return norm, hf.lm_head, getattr(hf.config, "final_logit_softcapping", None)


def direct(model: TransformersModel, v: torch.Tensor) -> torch.Tensor:
    """The original's formula: W_U · Norm(v), float64, with the model's soft-cap."""
    norm, head, cap = parts(model)
    with torch.no_grad():
        logits = head(norm(v)).double()
    return logits if cap is None else cap * torch.tanh(logits / cap)


def test_logits_are_those_of_norm_and_unembedding(model: TransformersModel) -> None:
    head, v = Head(model), vectors()
    found = torch.stack(list(head.logits(v))).double()
    wanted = direct(model, v)
    assert head.vocabulary == 2048
    assert float((found - wanted).abs().max()) <= 1e-6 * float(wanted.abs().max())


def test_lists_are_the_original_s_both_ways(model: TransformersModel) -> None:
    v = vectors()
    asked = [torch.tensor([7]), torch.tensor([3, 2000])]
    reader = LensReader(Head(model), asked, 10)
    for one, reading, inverse in zip(v, reader.read(v), reader.read_inverse(v), strict=True):
        logits = direct(model, one[None])[0]
        for got, wanted in ((reading, logits), (inverse, -logits)):
            p, ids = wanted.softmax(0).topk(10)
            assert list(got.said.ids) == ids.tolist()
            assert torch.allclose(torch.tensor(got.said.probabilities).double(), p, atol=1e-6)
            order = wanted.argsort(descending=True).tolist()
            ranks = tuple(1 + min(order.index(int(t)) for t in tokens) for tokens in asked)
            assert got.ranks == ranks


def test_how_many_are_read_at_once_changes_nothing(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = torch.stack(list(Head(model).logits(vectors(70))))
    monkeypatch.setattr("harness_analyses.difference_lens.head._ROWS", 3)
    parted = torch.stack(list(Head(model).logits(vectors(70))))
    assert float((whole - parted).abs().max()) <= 1e-5 * float(whole.abs().max())
    assert rows_at_a_time(2**25, 4) == 1


def test_rows_are_the_unembedding_s_times_the_gain(models: dict[str, TransformersModel]) -> None:
    for name, model in models.items():
        norm, head, cap = parts(model)
        gain = norm.weight.double()
        if name == "gemma2":
            gain = 1 + gain
        tokens = [5, 0, 1999]
        wanted = head.weight.double()[tokens] * gain
        if name == "gpt2":  # its norm takes the mean off
            centre = torch.eye(16).double() - 1 / 16
            wanted = wanted @ centre / centre[0, 0].sqrt()
        if cap is not None:  # and a soft-cap makes large ones smaller
            scale = 16**0.5
            wanted = cap * torch.tanh(wanted * scale / cap) / scale
        found = Head(model).rows(tokens).double() / 16**0.5
        assert float((found - wanted).abs().max()) <= 2e-5 * float(wanted.abs().max()), name


def test_the_model_is_left_as_it_was(model: TransformersModel) -> None:
    tokens = model.encode("Tell me how")
    before = model.hf(torch.tensor([tokens])).logits
    list(Head(model).logits(vectors()))
    assert torch.equal(model.hf(torch.tensor([tokens])).logits, before)


def test_a_vector_that_did_not_arrive_is_an_error() -> None:
    logits = torch.zeros(1, 1, 4)
    for changed in (0, 2):
        with pytest.raises(ModelError, match=f"in the place of {changed} tokens"):
            list(checked(logits, [(0, 0)], [changed]))
    with pytest.raises(ModelError, match="not finite"):
        list(checked(logits / 0, [(0, 0)], [1]))


class _Deaf:
    """A model whose edits do not take."""

    def __init__(self, model: TransformersModel) -> None:
        self._model, self.facts = model, model.facts

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def edited(self, arms):  # type: ignore[no-untyped-def]
        return self._model.edited([dataclasses.replace(arm, edits=()) for arm in arms])


def test_a_backend_whose_edits_do_nothing_is_found_out(
    models: dict[str, TransformersModel],
) -> None:
    with pytest.raises(ModelError, match="in the place of 0 tokens"):
        Head(_Deaf(models["llama"]))  # type: ignore[arg-type]
    assert Receipt("x").changed == 0
    assert Site("resid_post", 2) == Site("resid_post", 2)
    assert first(torch.tensor([0.0, 1.0]), 2).ids == (1,)
    assert Reading(first(torch.tensor([1.0]), 1), ()).scale is None
