"""Names of TransformerLens' hooks: a site where it is the same place, else what is nearest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import fakes
from fakes.models import SaeSettings
from harness.contract.sites import Site, nearest_to_hook, parse_site, site_from_hook_name
from harness.errors import TaskError
from harness.registry import Registry
from harness.task.file import read_source
from harness.task.resolve import resolve


@pytest.mark.parametrize(
    ("hook", "nearest"),
    [
        ("blocks.3.hook_mlp_in", "mlp_in.3"),
        ("blocks.3.ln2.hook_normalized", "mlp_in.3"),
        ("blocks.3.ln1.hook_normalized", "output of the norm"),
        ("blocks.3.mlp.hook_post", "transformer.h.3.mlp.act"),
        ("blocks.3.mlp.hook_pre", "transformer.h.3.mlp.c_fc"),
        ("blocks.3.hook_attn_in", "resid_pre.3"),
        ("hook_embed", "embed"),
    ],
)
def test_a_hook_that_is_no_site_names_the_nearest(hook: str, nearest: str) -> None:
    """Issue 13, item 5: blocks.L.hook_mlp_in is before the norm and was taken for mlp_in.L."""
    assert site_from_hook_name(hook) is None
    assert nearest in (nearest_to_hook(hook) or "")
    with pytest.raises(ValueError, match="is no site") as caught:
        parse_site(hook)
    assert nearest in str(caught.value)


def test_the_hook_at_the_mlps_input_is_a_site() -> None:
    """circuit-tracer's hook: what the MLP itself is given."""
    assert site_from_hook_name("blocks.3.mlp.hook_in") == Site("mlp_in", 3)


def test_the_stream_between_attention_and_mlp_is_a_site() -> None:
    """What transcoders read; no edit there reaches the stream, so it is not in it."""
    site = site_from_hook_name("blocks.3.hook_resid_mid")
    assert site == Site("resid_mid", 3) == parse_site("resid_mid.3")
    assert site.in_block
    assert not site.in_residual
    assert not site.same_place(Site("resid_pre", 3))


@pytest.mark.parametrize("name", ["blocks.3.hook_resid_post", "model.layers.3", "resid_post.3"])
def test_other_names_have_no_such_sentence(name: str) -> None:
    assert nearest_to_hook(name) is None


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("blocks.3.hook_mlp_in", "mlp_in.3"),
        ("model.layers.3.x", "which is no site"),
        (None, "do not say where it belongs. Write it, such as site ="),
    ],
)
def test_an_sae_without_a_site_says_what_its_files_name(
    registry: Registry, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch,
    place: str | None, said: str,
) -> None:  # fmt: skip
    told = SaeSettings.describe
    monkeypatch.setattr(SaeSettings, "describe", lambda self: replace(told(self), place=place))
    file = write(head=fakes.TINY.replace('site = "resid_post.2"', ""))
    with pytest.raises(TaskError, match=r"saes\.mid\.site: is missing") as caught:
        resolve(read_source(file, ()), registry)
    assert said in str(caught.value)
