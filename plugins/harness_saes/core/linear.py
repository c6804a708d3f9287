"""SAEs of the linear families: one product in, a rule for what is active, one product out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from harness.contract import SaeFacts
from harness.contract.latents import Latents, joined, offsets_of
from harness.errors import ModelError
from harness_saes.core import columns
from harness_saes.core.config import BATCHTOPK, Config
from harness_saes.core.normalisation import centred, normalised, restore, through_norm
from harness_saes.core.numbers import finite, found_once, hash_of, odd
from harness_saes.core.origin import on_device
from harness_saes.core.picks import above, active, group_maxima, top

CHUNK_BYTES = 2**26
"""How much of the matrix of pre-activations, [tokens, d_sae], exists at a time."""
_ROWS = 1024
"""As many tokens at a time are worth up to four times that: every product arranges all weights
anew, which costs a tenth at 256 rows of 65,536 latents, and as much as the product at 128."""

Pick = Callable[[Float[Tensor, "rows d_sae"]], Int[Tensor, " nnz"]]
ByColumns = Callable[[Tensor, Tensor, Tensor], Latents]
"""What is active of tokens, by encoder weights and bias, found by columns."""


class LinearSae:
    """An SAE of one of the linear families, with sparse latents from the encoder on.

    With s, m the scale and shift of the token's normalisation (1 and 0 without one):
    `a = ((x − m)/s′ − b_dec·apply_b_dec_to_input) W_enc + b_enc`, `x̂ = s (z W_dec + b_dec) + m`.

    | architecture | z |
    |---|---|
    | standard, transcoder, skip_transcoder | `ReLU(a)` |
    | topk | `ReLU` of the k largest of a; ties may go either way |
    | abstopk | a where \\|a\\| is among the k largest; may be negative |
    | groupmax | `ReLU` of the largest a of each of k groups of d_sae/k neighbours, 0 elsewhere |
    | jumprelu, also of transcoders | `a` where `a > θ` and `a > 0` |
    | batchtopk, matryoshka_batchtopk | as jumprelu with one θ for all latents |
    | gated | `ReLU(a·e^r_mag + b_mag)` where `a + b_gate > 0` (a without b_enc) |

    With `rescale_by_decoder_norm`, a is multiplied by ‖W_dec‖ before selection and decoder rows
    have length 1; both are folded into the weights when the SAE is built. Normalisations:
    `constant_norm_rescale` s = s′ = ‖x‖/√d_in; `layer_norm` m = mean, s = std (unbiased),
    s′ = s + 1e-5. They are kept with the latents (`context`), so one object may encode anything
    in any order. Rows never influence each other. Of an SAE that was trained on centred
    activations (`centred`), x is x minus its mean over d_in, which is added to x̂ again.

    A transcoder (`d_out`) never subtracts b_dec, and its output is not normalised back. With a
    tensor W_skip `[d_out, d_in]`, `x W_skipᵀ` of the raw input is added to x̂; x is kept as
    `context["input"]`. One that reads through the model's norm (`norm`) has `through_norm(x)` in
    place of x everywhere.

    Source: SAELens 6.54 (`sae_lens/saes`); groupmax: sparsify 1.3 (`fused_encoder.py`).
    """

    def __init__(
        self,
        config: Config,
        tensors: Mapping[str, Tensor],
        dtype: torch.dtype = torch.float32,
        *,
        notes: tuple[str, ...] = (),
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.facts: SaeFacts = config.facts
        self.fingerprint = fingerprint(config, tensors, dtype)
        self.notes = (*config.notes, *notes)
        """Sentences for readers of this SAE's numbers, such as that its scale was changed."""
        self._config = config
        self._chunk_bytes = chunk_bytes
        self._dtype = dtype
        wide = {name: tensor.to(dtype) for name, tensor in tensors.items()}
        self._b_dec = wide["b_dec"]
        self._w_skip = wide.get("W_skip")
        self._w_dec = wide["W_dec"].contiguous()
        self._w_enc = wide["W_enc"].contiguous()
        # A gated SAE adds a bias on each of its two paths, after the product.
        bias = wide.get("b_enc", torch.zeros_like(self._w_enc[0]))
        if config.rescale_by_decoder_norm:
            norms = self._w_dec.norm(dim=1)
            self._w_enc = self._w_enc * norms
            bias = bias * norms
            self._w_dec = self._w_dec / torch.where(norms > 0, norms, 1)[:, None]
        self._bias = bias
        self._magnitude: tuple[Tensor, Tensor] | None = None
        if config.architecture == "gated":
            self._magnitude = wide["r_mag"].exp(), wide["b_mag"]
        self._pick = _pick_of(config, wide)
        self._by_columns = _by_columns_of(config, wide)

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Sparse latents of each token; ModelError where x has another width than d_in."""
        x = through_norm(checked(x, self._config).to(self._dtype), self._config)
        read, context = normalised(x, self._config)
        if self._config.d_out is not None:
            context = {}  # a transcoder's output is not in the space that was normalised
        if self._w_skip is not None:
            context = {**context, "input": centred(x, self._config)}
        if self._config.subtracts_b_dec:
            # Before the product, not folded into its bias: a large mean would cancel there.
            read = read - self._b_dec
        return replace(self._active(read), context=context)

    @torch.no_grad()
    def reconstruct(self, latents: Latents) -> Float[Tensor, "tokens d_out"]:
        """x̂ = z W_dec + b_dec, scaled back by the context that `encode` kept with the latents z."""
        out = summed(latents, self._w_dec)
        out += self._b_dec
        restore(out, latents.context)
        if self._w_skip is not None:
            out.addmm_(latents.context["input"], self._w_skip.T)
        return out

    @torch.no_grad()
    def rows(self, indices: Int[Tensor, " m"]) -> Float[Tensor, "m d_out"]:
        """Decoder rows: what one unit of a latent adds to x̂, before the token's scale if any.

        With a normalisation of each token, one unit of latent j adds `s_t · rows(j)` to the x̂
        of token t, s_t being `context["scale"]` of the latents (‖x‖/√d_in or the standard
        deviation; see the class). Without one, s_t = 1. A row is thus a direction at the site,
        but its length is one at the site only where s_t = 1.
        """
        return self._w_dec[indices]

    def _pre_activations(self, x: Tensor) -> Iterator[Float[Tensor, "rows d_sae"]]:
        """The matrix of pre-activations, some rows at a time, in one buffer that is reused."""
        width = self._config.d_sae * x.element_size()
        step = max(1, self._chunk_bytes // width, min(_ROWS, 4 * self._chunk_bytes // width))
        step = max(1, min(len(x), step))
        buffer = x.new_empty(step, self._config.d_sae)
        for start in range(0, max(1, len(x)), step):  # no token at all is one empty chunk
            rows = x[start : start + step]
            a = buffer[: len(rows)]
            torch.addmm(self._bias, rows, self._w_enc, out=a)
            yield a

    def _active(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Everything active of what the encoder reads."""
        if self._by_columns is not None and columns.pays(x, self._config.d_sae):
            return self._gated(self._by_columns(x, self._w_enc, self._bias))
        return self._gated(joined([active(a, self._pick(a)) for a in self._pre_activations(x)]))

    def _gated(self, latents: Latents) -> Latents:
        """The latents of a gated SAE with the values of its other path; others as they are."""
        if self._magnitude is None:
            return latents
        factor, bias = self._magnitude
        token, index = latents.token, latents.indices
        value = latents.values * factor[index] + bias[index]
        kept = value > 0
        counts = torch.bincount(token[kept], minlength=latents.tokens)
        return Latents(offsets_of(counts), index[kept], value[kept], latents.d_sae)


def finite_on(device: str, tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The tensors on a device; ModelError names one that has values that are not finite."""

    def looked() -> str:
        for name, tensor in tensors.items():
            if not finite(tensor):
                raise ModelError(
                    f"{where}: {name} has {odd(tensor)} values that are not finite, of "
                    f"{tensor.numel()}. Expected numbers only. Copy the file again; if they stay, "
                    "the training diverged."
                )
        return "finite"

    found_once(["finite"], tensors, looked)
    return {name: on_device(tensor, device) for name, tensor in tensors.items()}


def checked(x: Float[Tensor, "tokens d_in"], config: Config) -> Float[Tensor, "tokens d_in"]:
    """x itself; ModelError where it is not as wide as the SAE reads."""
    if x.ndim != 2 or x.shape[1] != config.d_in:
        raise ModelError(
            f"SAE: activations of shape {list(x.shape)}. Expected [tokens, {config.d_in}], the "
            "SAE's d_in. Is it used at the site it was trained on?"
        )
    return x


def summed(latents: Latents, rows: Float[Tensor, "d_sae d_out"]) -> Float[Tensor, "tokens d_out"]:
    """Σ_j z_j · rows_j of each token: only the rows of active latents are read."""
    out: Tensor = embedding_bag(
        latents.indices,
        rows,
        latents.offsets,
        mode="sum",
        per_sample_weights=latents.values.to(rows.dtype),
        include_last_offset=True,
    )
    return out


def _pick_of(config: Config, tensors: Mapping[str, Tensor]) -> Pick:
    """The rule that says what is active."""
    k = config.k or 0
    if config.architecture == "topk":
        return lambda a: top(a, k)
    if config.architecture == "abstopk":
        return lambda a: top(a.abs(), k)
    if config.architecture == "groupmax":
        return lambda a: group_maxima(a, k)
    threshold = _threshold_of(config, tensors)
    return lambda a: above(a, threshold)


def _by_columns_of(config: Config, tensors: Mapping[str, Tensor]) -> ByColumns | None:
    """The same rule by columns; None where it has no such form."""
    if config.architecture == "topk":
        k = config.k or 0
        return lambda x, w, bias: columns.top(x, w, bias, k)
    if config.architecture in ("abstopk", "groupmax"):
        return None
    threshold = _threshold_of(config, tensors)
    return lambda x, w, bias: columns.above(x, w, bias, threshold)


def _threshold_of(config: Config, tensors: Mapping[str, Tensor]) -> Float[Tensor, " d_sae"]:
    """What the pre-activation of each latent has to exceed, where that is the rule."""
    zeros = torch.zeros_like(tensors["W_enc"][0])
    if config.architecture == "gated":
        # a + b_gate > 0 and a > −b_gate are the same, also in floating point.
        return -tensors["b_gate"]
    if config.architecture in BATCHTOPK:
        return (zeros + tensors["topk_threshold"]).clamp(min=0)
    return tensors.get("threshold", zeros).clamp(min=0)


def fingerprint(config: Config, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> str:
    """Hash of everything that decides an SAE's numbers: weights as stored, configuration, type."""
    about = {"site", "site_out", "model", "neuronpedia", "needs_sequence", "notes", "place"}
    about |= {"partial", "not_trained_on", "blocks"}
    # So hashes of before there were such keys stay.
    if not config.centred:
        about.add("centred")
    if config.norm is None:
        about |= {"norm", "norm_epsilon"}
    rules = {key: value for key, value in asdict(config).items() if key not in about}
    return hash_of(json.dumps([rules, str(dtype)], sort_keys=True), tensors)
