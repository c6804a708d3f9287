"""What the laws of these finders are tried on, by `harness plugins check`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.contract import Batch, Inputs, ModelFacts, Site
from harness.testing import check_direction, small_batch, small_sae
from harness_directions.concepts import options
from harness_directions.concepts.class_pca import ClassPca
from harness_directions.concepts.contrast_pca import ContrastPca
from harness_directions.concepts.decoder_difference import DecoderDifference
from harness_directions.concepts.leace import Leace
from harness_directions.concepts.linear_probe import LinearProbe
from harness_directions.concepts.persona_vector import PersonaVector

SITE = Site("resid_post", 1)
D = 8
Samples = Iterator[partial[None]]
_SETS: dict[str, Any] = {
    "view": "chat",
    "site": str(SITE),
    "positive": "with",
    "negative": "without",
}


def linear_probe(folder: Path) -> Samples:
    """All prompts, and the ten of each set whose hashes are lowest."""
    for most in (512, 10):
        given = options.LinearProbeOptions(**_SETS, at_most=most, permutations=5, held_out=0.4)
        yield partial(check_direction, LinearProbe(given), _texts(12), _inputs(), tolerance=1e-7)


def leace(folder: Path) -> Samples:
    """From the plain covariance, and from one that is shrunk."""
    for shrinkage in (False, True):
        given = options.LeaceOptions(**_SETS, shrinkage=shrinkage)
        yield partial(check_direction, Leace(given), _texts(4), _inputs(), tolerance=1e-7)


def persona_vector(folder: Path) -> Samples:
    """Answers of different lengths."""
    given = options.PersonaVectorOptions(**_SETS, suppressed="kind")
    yield partial(check_direction, PersonaVector(given), _texts(4), _inputs())


def decoder_difference(folder: Path) -> Samples:
    """All latents, and the three with the longest parts."""
    sets = {name: value for name, value in _SETS.items() if name != "site"}
    for k in (None, 3):
        given = options.DecoderDifferenceOptions(**sets, sae="sae", k=k)
        # A decoder computes in float32.
        yield partial(
            check_direction, DecoderDifference(given), _texts(4), _inputs(), tolerance=1e-6
        )


def contrast_pca(folder: Path) -> Samples:
    """Three components and the first two together."""
    given = options.ContrastPcaOptions(**_SETS, components=3, ranks=(2,))
    yield partial(
        check_direction,
        ContrastPca(given),
        _texts(4),
        _inputs(),
        variants=given.variants(),
        tolerance=1e-7,
    )


def class_pca(folder: Path) -> Samples:
    """Three components and the first two together."""
    given = options.ClassPcaOptions(
        view="chat", site=str(SITE), data="with", components=3, ranks=(2,)
    )
    batches = [replace(one, stream="class") for one in _texts(4) if one.stream == "positive"]
    yield partial(
        check_direction,
        ClassPca(given),
        batches,
        _inputs(),
        variants=given.variants(),
        tolerance=1e-7,
    )


def _texts(documents: int) -> list[Batch]:
    """Two sets of text, one view of them, in batches of different sizes."""
    sizes = (
        ("positive", documents),
        ("negative", documents - 1),
        ("positive", 2),
        ("negative", 1),
    )
    return [
        replace(small_batch(seed, documents=size, paired=False), stream=stream)
        for seed, (stream, size) in enumerate(sizes)
    ]


def _inputs() -> Inputs:
    return Inputs(
        saes={"sae": small_sae(D)},
        sae_sites={"sae": SITE},
        facts={"chat": ModelFacts(layers=4, d_model=D)},
    )
