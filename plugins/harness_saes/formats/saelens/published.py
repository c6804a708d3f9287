"""The SAEs of the residual stream that sae_lens' list has for a model.

An entry says where an SAE reads in a word of its id or its path; those that no pattern here knows
are left out. `kinds.reading` tells the same of all sites, and takes longer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from harness.contract import PublishedSae, SaeFacts, Site
from harness_saes.formats.saelens.listed import entries, releases_of

_MODEL = re.compile(r"^  model: *['\"]?([^'\"\n]+?)['\"]? *$", re.MULTILINE)
_PLACES = (
    # blocks.8.hook_resid_pre, also with a trainer behind it
    re.compile(r"\bblocks\.(?P<layer>\d+)\.hook_(?P<kind>resid_pre|resid_post)(?:\b|__)"),
    # resid_post_all/layer_25_width_16k_l0_big of Gemma Scope 2
    re.compile(r"\b(?P<kind>resid_post)(?:_all)?/layer_(?P<layer>\d+)_"),
    # resid_post_layer_15_trainer_1 of dictionary_learning
    re.compile(r"\b(?P<kind>resid_post)_layer_(?P<layer>\d+)(?:\b|_)"),
    # google/gemma-scope-2b-pt-res layer_20/width_16k/average_l0_71
    re.compile(r"^google/gemma-scope-\S+-res layer_(?P<layer>\d+)/"),
    # fnlp/Llama3_1-8B-Base-LXR-8x Llama3_1-8B-Base-L16R-8x
    re.compile(r"^fnlp/\S+ \S*\bL(?P<layer>\d+)R(?:\b|-)"),
    # Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50 layer14.sae.pt
    re.compile(r"^Qwen/SAE-Res-\S+ layer(?P<layer>\d+)\b"),
)
"""Where an SAE reads, in its repository and path with a blank between; without `kind` it is
resid_post."""
_WIDTH = re.compile(r"(?:width_|-w?)(\d+)(k|m)(?![a-z])", re.IGNORECASE)
_UNITS = {"k": 10**3, "m": 10**6}


def published(is_model: Callable[[str], bool]) -> Sequence[PublishedSae]:
    """The SAEs on the residual stream of the models of which `is_model` knows the names.

    Nothing where sae_lens is not installed, or has no such list any more.
    """
    return [
        sae
        for text in entries()
        if (model := _MODEL.search(text)) and is_model(model[1])
        for sae in saes_of(text)
    ]


def saes_of(text: str) -> Iterator[PublishedSae]:
    """The SAEs of one release, as the list writes it; nothing where it is not as expected."""
    for release in releases_of(text):
        for sae in release.saes.values():
            site = _site(f"{release.repository} {sae.path}") or _site(sae.id)
            if site is None:
                continue
            facts = SaeFacts(site=site, model=release.model, neuronpedia=sae.neuronpedia)
            keys = {"release": release.name, "id": sae.id}
            # Not the release's name, which may hold the size of the model: pythia-70m.
            named = f"{sae.id} {str(sae.neuronpedia or '').rpartition('/')[2]}"
            yield PublishedSae(release.name, keys, facts, _width(named))


def _site(text: str) -> Site | None:
    """The site on the residual stream that a repository and path, or an id, tell."""
    for pattern in _PLACES:
        if match := pattern.search(text):
            return Site(match.groupdict().get("kind") or "resid_post", int(match["layer"]))
    return None


def _width(text: str) -> int | None:
    """About how many latents it has, as its names tell: `16k`."""
    match = _WIDTH.search(text)
    return int(match[1]) * _UNITS[match[2].lower()] if match else None
