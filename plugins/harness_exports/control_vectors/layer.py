"""Where llama.cpp adds a control vector, and which directions of ours are of that kind."""

from __future__ import annotations

from harness.contract import Site, parse_site
from harness_exports.arms.kept_directions import KeptDirection


def layer_of(direction: KeptDirection) -> int:
    """The number of the tensor `direction.N` that acts where our direction lives.

    llama.cpp counts blocks from 0, as we do, and adds `direction.N` to the output of block N, after
    all that the block itself adds to the residual stream: that is our `resid_post.N`, and
    `resid_pre.(N+1)`, which is the same activation. It has none for block 0.

    Raises ValueError, which says why, for a direction that no control vector can hold.
    Source: llama.cpp, `llama_adapter_cvec` (src/llama-adapter.cpp) and `build_cvec` before `l_out`;
    its loader refuses `direction.0` (common/common.cpp). repeng counts likewise: its layer i is
    `hidden_states[i + 1]`.
    """
    if len(direction.vectors) != 1:
        raise ValueError(
            f"it has {len(direction.vectors)} vectors, and a control vector is one for each layer"
        )
    site = parse_site(direction.site)
    layer = _output_of(site)
    if layer is None:
        raise ValueError(
            f"it lives at {direction.site}, and llama.cpp adds to the outputs of blocks alone"
        )
    if layer < 1:
        raise ValueError(
            f"it lives at {direction.site}, before the second block, where llama.cpp adds nothing"
        )
    return layer


def _output_of(site: Site) -> int | None:
    """The block whose output the site is: −1 for the embeddings; None where it is no output."""
    if site.kind == "embed":
        return -1
    if site.layer is None or not site.in_residual:
        return None
    return site.layer - 1 if site.kind == "resid_pre" else site.layer
