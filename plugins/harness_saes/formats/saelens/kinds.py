"""The kinds of files in sae_lens' list: which of our formats reads them, and where they sit.

A kind is what sae_lens calls a conversion function. Sites come from the rules that our formats
have for the names of their files, or from the hook that sae_lens' converter states; no release is
placed by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from harness.contract import SaeFacts
from harness.contract.sites import nearest_to_hook, site_from_hook_name
from harness.contract.values import JSON
from harness.errors import ModelError
from harness_saes.files.places import PlacedOptions
from harness_saes.formats.circuit_tracer.options import CircuitTracerOptions
from harness_saes.formats.dictionary_learning.options import DictionaryLearningOptions
from harness_saes.formats.gemma_scope import GemmaScopeOptions
from harness_saes.formats.gemma_scope_2.options import GemmaScope2Options
from harness_saes.formats.goodfire import GoodfireOptions
from harness_saes.formats.llama_scope.options import LlamaScopeOptions
from harness_saes.formats.qwen_scope import QwenScopeOptions
from harness_saes.formats.saelens.listed import NATIVE, ListedSae, Release, find

Hooks = tuple[str | None, str | None]
"""Where an SAE reads and, of a transcoder, writes, as TransformerLens calls it."""
Placed = Callable[[Release, ListedSae], Hooks]
_HOOK = re.compile(r"\bblocks\.(\d+)\.((?:\w+\.)?hook_[a-z]+(?:_[a-z]+)*)")
_SHORT = {"hook_z": "attn.hook_z"}
"""Hooks that ids of the list write shorter than TransformerLens does."""
_LAYER = re.compile(r"(?:^|/)(?:layer_)?(\d+)(?:/|\.safetensors|$)")


@dataclass(frozen=True)
class Own:
    """A format of ours that reads the same files, and what a task writes for it."""

    format: str
    options: type[PlacedOptions]
    key: str
    """The option that chooses an SAE in the repository."""
    value: Callable[[ListedSae], JSON] = lambda sae: sae.path
    """The value of that option; the path of the list."""

    def keys(self, release: Release, sae: ListedSae) -> dict[str, JSON]:
        """What a task writes beside `format`."""
        return {"path": release.repository, self.key: self.value(sae)}

    def facts(self, release: Release, sae: ListedSae) -> SaeFacts:
        """What its names tell; ModelError where the format does not read such files."""
        return self.options.model_validate(self.keys(release, sae)).facts_by_name()


@dataclass(frozen=True)
class Kind:
    """One kind of files."""

    files: str
    """In a few words, whose they are."""
    hooks: Placed
    """Where sae_lens' converter says that an SAE reads and writes, where it does and our own format
    does not."""
    own: Own | None = None
    stated: str | None = None
    """Where names give no site: what the task has to say, where that is known."""
    changed: Callable[[ListedSae], str | None] = lambda sae: None
    """What the converter does to weights that a reader of numbers has to know."""
    partial: bool = False
    """Whether latents are some of those that write where the converter says: one layer of a CLT."""
    remark: str = ""
    """What a reader of the page should know of our own format for it."""


@dataclass(frozen=True)
class Reading:
    """How one SAE of the list is read, or why it is not."""

    facts: SaeFacts
    """Site, model and the like, as far as names tell."""
    formats: tuple[str, ...] = ()
    """Our formats that read it: one for its own files, and `saelens` through the converter."""
    unplaced: str | None = None
    """Of one whose site the task has to state: why, since its files alone tell."""
    refused: str | None = None
    """Of one that is not read: why, such as that it sits where there is no site."""
    note: str | None = None
    """What a reader of its numbers has to know of the converter."""


def _named(release: Release, sae: ListedSae) -> Hooks:
    """The hook in an SAE's id or path: `blocks.8.hook_resid_pre`, also with a trainer behind it."""
    for text in (sae.id, sae.path):
        if match := _HOOK.search(text):
            return f"blocks.{match[1]}.{_SHORT.get(match[2], match[2])}", None
    return None, None


def _by_layer(reads: str, writes: str) -> Placed:
    """Hooks of the block whose number is in the path."""

    def placed(release: Release, sae: ListedSae) -> Hooks:
        layer = _layer(sae)
        return (None, None) if layer is None else (
            f"blocks.{layer}.{reads}", f"blocks.{layer}.{writes}"
        )  # fmt: skip

    return placed


def _layer(sae: ListedSae) -> int | None:
    """The block in a path such as `layer_4`, `layer_4.safetensors` or `4`."""
    match = _LAYER.search(sae.path)
    return int(match[1]) if match else None


def _gemma_2(release: Release, sae: ListedSae) -> Hooks:
    """Those of Gemma Scope 1 that its own format does not read: of the embeddings."""
    return ("hook_embed", None) if _of_embeddings(sae) else (None, None)


def _of_embeddings(sae: ListedSae) -> bool:
    return sae.path.startswith("embedding/")


def _nowhere(release: Release, sae: ListedSae) -> Hooks:
    return None, None


EMBEDDINGS = (
    'of the embeddings (hook_embed), which Gemma adds no positions to: write site = "embed". Read '
    'by format = "saelens" alone.'
)
HALF_SCALED = (
    "an SAE of the embeddings: sae_lens scales its W_enc and W_dec by √d_model but not b_dec, so "
    "its reconstruction of embeddings, as they enter the first block, lacks (√d_model − 1)·b_dec."
)
SUMMED = (
    "one layer of a cross-layer transcoder: sae_lens adds up its decoders over all layers that "
    "they write to. Its latents are as they were trained; reconstructions, FVU and decoder rows "
    "are those of no site."
)
KINDS: Mapping[str, Kind] = {
    NATIVE: Kind("SAELens folders", _named),
    "connor_rob_hook_z": Kind("Connor Kissane's and Rob Krzyzanowski's .pt files", _named),
    "deepseek_r1": Kind("qresearch's .pt file", _named),
    "dictionary_learning_1": Kind(
        "dictionary_learning folders",
        _nowhere,
        Own("dictionary_learning", DictionaryLearningOptions, "trainer"),
    ),
    "gemma_2": Kind(
        "Gemma Scope",
        _gemma_2,
        Own("gemma_scope", GemmaScopeOptions, "id"),
        EMBEDDINGS,
        lambda sae: HALF_SCALED if _of_embeddings(sae) else None,
    ),
    "gemma_2_transcoder": Kind(
        "transcoders of Gemma Scope",
        _by_layer("ln2.hook_normalized", "hook_mlp_out"),
        Own("gemma_scope", GemmaScopeOptions, "id"),
    ),
    "gemma_3": Kind("Gemma Scope 2", _nowhere, Own("gemma_scope_2", GemmaScope2Options, "id")),
    "goodfire": Kind("Goodfire's .pt files", _nowhere, Own("goodfire", GoodfireOptions, "file")),
    "llama_scope": Kind("Llama Scope", _nowhere, Own("llama_scope", LlamaScopeOptions, "id")),
    "llama_scope_r1_distill": Kind(
        "Llama Scope R1", _nowhere, Own("llama_scope", LlamaScopeOptions, "id")
    ),
    "mntss_clt_layer_transcoder": Kind(
        "CLTs of mntss",
        _nowhere,
        Own("circuit_tracer", CircuitTracerOptions, "layer", _layer),
        changed=lambda sae: SUMMED,
        partial=True,
    ),
    "mwhanna_transcoder": Kind(
        "mwhanna's transcoders",
        _by_layer("mlp.hook_in", "hook_mlp_out"),
        Own("circuit_tracer", CircuitTracerOptions, "layer", _layer),
        remark="The format needs a config.yaml, which sae_lens' converter says that those of "
        "Qwen3-14B lack.",
    ),
    "qwen_scope": Kind("Qwen-Scope", _nowhere, Own("qwen_scope", QwenScopeOptions, "id")),
    "sparsify": Kind("sparsify folders", _nowhere),
    "temporal": Kind("temporal SAEs", _named),
}
"""By sae_lens' name of the converter."""
NO_NAMES = "no name tells where it reads, its files do: write that site."


def known(release: str, id: str, where: str) -> tuple[Release, Reading] | None:
    """A release of the list and how one of its SAEs is read; None, and ModelError, as `find`."""
    found = find(release, id, where)
    return None if found is None else (found[0], reading(*found))


def reading(release: Release, sae: ListedSae) -> Reading:
    """How an SAE of the list is read, where, or why not; nothing is loaded."""
    kind = KINDS.get(release.kind)
    if kind is None:
        what = f"its files are of a kind that is not known here: {release.kind}."
        return Reading(_about(release, sae, SaeFacts()), refused=what)
    facts, formats, why = _hooked(*kind.hooks(release, sae)), ["saelens"], None
    if kind.own is not None:
        try:
            told = kind.own.facts(release, sae)
        except ModelError as error:
            why = str(error).partition(": ")[2]
        else:
            facts = told if told.site is not None else replace(
                told, site=facts.site, site_out=facts.site_out, place=facts.place
            )  # fmt: skip
            formats.insert(0, kind.own.format)
    unplaced, refused = (None, None) if facts.site else _homeless(facts, kind, why)
    found = _about(release, sae, facts)
    return Reading(found, tuple(formats), unplaced, refused, kind.changed(sae))


def _homeless(facts: SaeFacts, kind: Kind, why: str | None) -> tuple[str | None, str | None]:
    """Of an SAE that names do not place: why the task has to, or why it is not read at all.

    `why` is what our own format for its files says.
    """
    if kind.stated:
        return kind.stated, None
    near = nearest_to_hook(facts.place) if facts.place else None
    if why or near:
        return None, why or f"{near}."
    return NO_NAMES, None


def _hooked(reads: str | None, writes: str | None) -> SaeFacts:
    """The sites that hooks mean; the hook itself where it is none."""
    site = site_from_hook_name(reads) if reads else None
    out = site_from_hook_name(writes) if writes else None
    return SaeFacts(site=site, site_out=out, place=reads if site is None else None)


def _about(release: Release, sae: ListedSae, facts: SaeFacts) -> SaeFacts:
    """The facts with what the list says where names say nothing."""
    return replace(
        facts,
        model=facts.model or release.model,
        neuronpedia=sae.neuronpedia or facts.neuronpedia,
        partial=KINDS[release.kind].partial if release.kind in KINDS else False,
    )
