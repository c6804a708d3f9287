"""The fakes keep the contract: what the core's tests show holds for real plugins too."""

from __future__ import annotations

import pytest
import torch

import fakes
from fakes.models import FakeSae, ModelOptions, SaeSettings
from harness import contract
from harness.contract import Example, Prompt, Sampling, Site
from harness.registry import Registry

PROTOCOLS = {
    "backend": contract.Backend,
    "sae_format": contract.SaeFormat,
    "metric": contract.Metric,
    "direction": contract.Reduction,
    "intervention": contract.Intervention,
    "evaluator": contract.Evaluator | contract.Benchmark,
    "statistic": contract.Reduction,
    "labels": contract.Labels,
    "analysis": contract.Analysis,
}
EXAMPLES = [Example(str(n), text) for n, text in enumerate(fakes.WEB)]


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_every_fake_has_the_methods_of_its_kind(registry: Registry, kind: contract.Kind) -> None:
    owned = registry.of(kind)
    assert owned
    for one in owned:
        options = one.options()(**({"level": 1} if one.component.name == "demanding" else {}))
        more = (contract.Target(Site("embed")),) if kind == "metric" else ()
        assert isinstance(one.load()(options, *more), PROTOCOLS[kind])


def test_the_model_and_the_sae_have_theirs() -> None:
    assert isinstance(fakes.FakeModel(ModelOptions()), contract.Model)
    assert isinstance(FakeSae(SaeSettings()), contract.Sae)


@pytest.mark.parametrize("padding", ["left", "right"])
def test_rows_of_a_batch_never_influence_each_other(padding: str) -> None:
    model = fakes.FakeModel(ModelOptions(padding=padding))  # type: ignore[arg-type]
    tokens = model.render(EXAMPLES, Prompt())
    site = Site("resid_post", 1)
    together = model.activations(tokens, [site])
    for row, one in enumerate(tokens):
        start, end = together.start[row], together.start[row] + len(one.ids)
        alone = model.activations([one], [site]).sites[site][0]
        assert torch.equal(together.sites[site][row, start:end], alone)


def test_receipts_are_complete_after_the_block() -> None:
    model = fakes.FakeModel(ModelOptions())
    tokens = model.render(EXAMPLES, Prompt())
    with model.edited([contract.Arm("none", idle=True)]) as receipts:
        completions = model.generate(tokens, Sampling())
    assert [receipt.arm for receipt in receipts] == ["none"]
    assert len(completions) == len(tokens)


def test_an_sae_reconstructs_up_to_what_it_misses() -> None:
    sae = FakeSae(SaeSettings(miss=0.0, home=2))
    x = torch.tensor([[3.0, -1, 2, 0, 5, -4]])
    assert torch.equal(sae.reconstruct(sae.encode(x)), x)
    assert torch.equal(sae.encode(x).dense() @ sae.rows(torch.arange(12)), x)
