"""SAEs and transcoders of sparsify: the options, and what cfg.json and header say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from harness.contract import Site
from harness.errors import ModelError
from harness_saes.core.checks import count, flag, refuse_unknown, text, words, wrong
from harness_saes.core.config import Config
from harness_saes.core.stored import Inspected, check_layout, layout_of
from harness_saes.files.configuration import read_json
from harness_saes.files.header import read_header
from harness_saes.files.places import FolderOptions

CONFIG = "cfg.json"
WEIGHTS = "sae.safetensors"
_DECIDING = words("""
    activation d_in expansion_factor k num_latents signed skip_connection transcode
""")
_TRAINING = frozenset({"normalize_decoder", "multi_topk", "lookup_max_order", "gram_table_hash"})
"""How it was trained: `normalize_decoder` did its work before the file was written."""
_UNREAD = frozenset({"embed_skip", "gram_lookup"})
"""Parts of newer transcoders that read more than one activation."""
_TENSORS = {
    "encoder.weight": "W_enc",
    "encoder.bias": "b_enc",
    "W_dec": "W_dec",
    "b_dec": "b_dec",
}
"""The encoder is a torch Linear, the decoder is not."""
_BLOCK = re.compile(r"(?:.*\.)?(?:layers|h|blocks)\.(\d+)(?:\.(mlp|attn|self_attn|attention))?")
_SITES = {None: "resid_post", "mlp": "mlp_raw"}
_SITES_IN = {None: "resid_pre", "mlp": "mlp_in"}


class SparsifyOptions(FolderOptions):
    """An SAE or transcoder in the form of EleutherAI's sparsify."""

    choice: ClassVar[str] = "hookpoint"
    usual: ClassVar[tuple[str, ...]] = (CONFIG, WEIGHTS)
    hookpoint: str | None = None
    """The SAE's folder in a repository with several, such as `layers.15` or `layers.15.mlp`."""
    transcode: bool | None = None
    """Whether it is a transcoder, where cfg.json is from before 2025 and does not say: the
    decoder's bias is subtracted from the input of an SAE, but not of a transcoder."""

    def inspect(self, place: Path) -> Inspected:
        """What cfg.json and header say; ModelError where they disagree."""
        config, skip = read_config(place / CONFIG, self.transcode, self.hookpoint or str(place))
        what = f"d_in {config.d_in} and {config.d_sae} latents in {CONFIG}"
        names = _TENSORS | ({"W_skip": "W_skip"} if skip else {})
        weights, tensors = place / WEIGHTS, layout_of(names, config.d_in, config.d_sae)
        check_layout(read_header(weights), tensors, str(weights), what)
        return Inspected(weights, config, tensors)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether cfg.json has the keys that only sparsify's have."""
        return {"d_in", "k"} <= read_json(folder / CONFIG).keys()


def read_config(file: Path, transcode: bool | None, hookpoint: str) -> tuple[Config, bool]:
    """The configuration of a cfg.json, and whether there is a skip connection.

    `transcode` is what the task says of a file that does not; `hookpoint` is the name of the
    folder, which says where the SAE belongs. ModelError names the file and the key.
    """
    data, where = read_json(file), str(file)
    refuse_unknown(data, _DECIDING | _UNREAD, _TRAINING, where)
    for key in _UNREAD:
        if flag(data, key, False, where):
            raise wrong(where, key, True, "false: such transcoders read more than one activation")
    d_in = count(data, "d_in", where)
    # sparsify writes num_latents 0 where the expansion factor decides.
    own = "num_latents" if data.get("num_latents") else "expansion_factor"
    d_sae = count(data, own, where) * (1 if own == "num_latents" else d_in)
    k = count(data, "k", where, most=d_sae, most_is="the number of latents")
    skip = flag(data, "skip_connection", False, where)
    transcodes = _transcodes(data, transcode, skip, where)
    site, site_out = _sites(hookpoint, transcodes)
    config = Config(
        architecture=_architecture(data, k, d_sae, where),
        d_in=d_in,
        d_sae=d_sae,
        d_out=d_in if transcodes else None,
        k=k,
        apply_b_dec_to_input=not transcodes,
        site=site,
        site_out=site_out,
    )
    return config, skip


def _architecture(data: Mapping[str, Any], k: int, d_sae: int, where: str) -> str:
    activation = text(data, "activation", where) or "topk"
    signed = flag(data, "signed", False, where)
    if activation not in ("topk", "groupmax"):
        raise wrong(where, "activation", activation, "topk, groupmax")
    if activation == "groupmax":
        if signed:
            raise wrong(where, "signed", True, "false with activation groupmax")
        if d_sae % k:
            raise wrong(where, "k", k, f"a divisor of the number of latents, {d_sae}")
        return "groupmax"
    return "abstopk" if signed else "topk"


def _transcodes(data: Mapping[str, Any], given: bool | None, skip: bool, where: str) -> bool:
    """Whether it is a transcoder: by cfg.json, or by the option for files before sparsify 1.0."""
    if "transcode" in data:
        found = flag(data, "transcode", False, where)
        if given is not None and given != found:
            raise ModelError(
                f"{where}: key transcode is {found}, but the task says {given}. "
                "Remove the option transcode; it is for files without the key."
            )
        return found
    if skip and given is None:
        raise ModelError(
            f"{where}: has a skip connection but no key transcode, as before sparsify 1.0, and "
            "the two kinds compute differently. Say which it is: transcode = true if it predicts "
            "a module's output; false is what sparsify itself assumes today."
        )
    return bool(given)


def _sites(hookpoint: str, transcodes: bool) -> tuple[Site | None, Site | None]:
    """Where it reads and, of a transcoder, writes; None where the name does not tell.

    sparsify hooks modules, so `layers.5.mlp` is the output of the MLP before any post-norm.
    """
    for part in reversed(Path(hookpoint).parts):
        if part == "embed_tokens" and not transcodes:
            return Site("embed"), None
        if match := _BLOCK.fullmatch(part):
            layer, module = int(match[1]), match[2]
            out = Site(_SITES.get(module, "attn_raw"), layer)
            if not transcodes:
                return out, None
            return (Site(_SITES_IN[module], layer) if module in _SITES_IN else None), out
    return None, None
