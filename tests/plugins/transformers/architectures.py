"""Tiny configurations of the architectures of transformers that are checked, and where in each a
person who reads its code finds attention and MLP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig

_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_ROWS = {"vocab_size": 64, **_IDS}
_TEXT = {**_ROWS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "intermediate_size": 48,
         "max_position_embeddings": 64}  # fmt: skip
_WIDE = {**_TEXT, "head_dim": 8}
_GPT2 = {**_ROWS, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
_MOE = {**_WIDE, "num_local_experts": 4, "num_experts_per_tok": 2}
_EXPERTS = {**_WIDE, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_DEEPSEEK = {**_EXPERTS, "num_key_value_heads": 4, "n_routed_experts": 4, "q_lora_rank": 8,
             "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8,
             "head_dim": 4, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}  # fmt: skip
_MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1,
           "mamba_chunk_size": 8}  # fmt: skip
_DELTA = {"layer_types": ["linear_attention", "full_attention"], "linear_num_value_heads": 4,
          "linear_num_key_heads": 2, "linear_key_head_dim": 8,
          "linear_value_head_dim": 8}  # fmt: skip
_EYES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
         "num_attention_heads": 2, "image_size": 28, "patch_size": 14}  # fmt: skip
_QWEN_EYES = {"depth": 1, "hidden_size": 16, "out_hidden_size": 32, "num_heads": 2,
              "patch_size": 14, "intermediate_size": 16}  # fmt: skip
_QWEN_IDS = {"image_token_id": 60, "video_token_id": 61, "vision_start_token_id": 62,
             "vision_end_token_id": 63}  # fmt: skip
_M_ROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
FAMILIES = {
    "dense": "dense",
    "experts": "mixtures of experts",
    "hybrid": "hybrids and state spaces",
    "multimodal": "the text part of models for several media",
}
"""Rows of the table in docs/models.md."""


@dataclass(frozen=True)
class Architecture:
    """One of them, with two blocks or three."""

    kind: str
    """What transformers calls it (`model_type`)."""
    settings: dict[str, Any]
    family: str
    """One of FAMILIES."""
    blocks: str = "model.layers"
    attn: tuple[str | None, ...] = ("self_attn", "self_attn")
    """In each block, the module that adds what attention adds; None where no site is one."""
    mlp: tuple[str | None, ...] = ("mlp", "mlp")
    silent: tuple[int, ...] = field(default=())
    """Blocks that do not run where there is only text."""
    states_are_outputs: bool = False
    """Whether transformers' `hidden_states` begin with the output of the first block."""

    def config(self) -> PreTrainedConfig:
        return CONFIG_MAPPING[self.kind](**self.settings)


def _part(kind: str, **more: Any) -> dict[str, Any]:
    return dict(CONFIG_MAPPING[kind](**{**_TEXT, **more}).to_dict())


def _seeing(kind: str, text: dict[str, Any], eyes: dict[str, Any], **more: Any) -> Architecture:
    settings = {"text_config": text, "vision_config": eyes, **more}
    blocks = more.pop("blocks", "model.language_model.layers")
    settings.pop("blocks", None)
    return Architecture(kind, settings, "multimodal", blocks)


_NORMED = ("post_attention_layernorm",) * 2, ("post_feedforward_layernorm",) * 2
_NONE = (None, None)
_MIXED = (None, "self_attn")
_FEED = ("feed_forward", "feed_forward")


def _dense(kind: str, settings: dict[str, Any] = _WIDE, *where: Any) -> Architecture:
    return Architecture(kind, settings, "dense", *where)


def _experts(kind: str, settings: dict[str, Any], *where: Any) -> Architecture:
    return Architecture(kind, settings, "experts", *where)


def _hybrid(kind: str, settings: dict[str, Any], *where: Any) -> Architecture:
    return Architecture(kind, settings, "hybrid", *where)


ARCHITECTURES = [
    _dense("llama"),
    _dense("mistral"),
    _dense("ministral3"),
    _dense("qwen2", _TEXT),
    _dense("qwen3"),
    _dense("gemma"),
    _dense("gemma2", _WIDE, "model.layers", *_NORMED),
    _dense("gemma3_text", _WIDE, "model.layers", *_NORMED),
    _dense("phi", _TEXT),
    _dense("phi3", _TEXT),
    _dense("olmo", _TEXT),
    _dense("olmo2", _TEXT, "model.layers", *_NORMED),
    _dense("olmo3", _TEXT, "model.layers", *_NORMED),
    _dense("starcoder2", _TEXT),
    _dense("stablelm", _TEXT),
    _dense("cohere", _TEXT),
    _dense("cohere2", _WIDE),
    _dense("granite", _TEXT),
    _dense("smollm3", _TEXT),
    _dense("glm", _WIDE),
    _dense("glm4", _WIDE, "model.layers", ("post_self_attn_layernorm",) * 2,
           ("post_mlp_layernorm",) * 2),
    _dense("nemotron"),
    _dense("exaone4", _WIDE, "model.layers", *_NORMED),
    _dense("ernie4_5"),
    _dense("seed_oss"),
    _dense("apertus"),
    _dense("gpt2", _GPT2, "transformer.h", ("attn",) * 2),
    _dense("gptj", {**_GPT2, "rotary_dim": 4}, "transformer.h", ("attn",) * 2),
    _dense("gpt_bigcode", _GPT2, "transformer.h", ("attn",) * 2),
    _dense("gpt_neo", {**_ROWS, "hidden_size": 32, "num_layers": 2, "num_heads": 4,
                       "attention_types": [[["global", "local"], 1]], "window_size": 4,
                       "max_position_embeddings": 64}, "transformer.h", ("attn",) * 2),
    _dense("gpt_neox", _TEXT, "gpt_neox.layers", ("attention",) * 2),
    _dense("falcon", {**_ROWS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
           "transformer.h", ("self_attention",) * 2),
    _dense("opt", {**_TEXT, "ffn_dim": 48, "word_embed_proj_dim": 32}, "model.decoder.layers",
           ("self_attn",) * 2, ("fc2",) * 2),
    _dense("bloom", {**_ROWS, "hidden_size": 32, "n_layer": 2, "n_head": 4}, "transformer.h", _NONE,
           _NONE),
    _dense("mpt", {**_ROWS, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64},
           "transformer.blocks", _NONE, _NONE),
    _experts("mixtral", _MOE),
    _experts("qwen2_moe", {**_EXPERTS, "shared_expert_intermediate_size": 16}),
    _experts("qwen3_moe", _EXPERTS),
    _experts("olmoe", {**_TEXT, "num_experts": 4, "num_experts_per_tok": 2}),
    _experts("gpt_oss", _MOE),
    _experts("granitemoe", _MOE, "model.layers", ("self_attn",) * 2, ("block_sparse_moe",) * 2),
    _experts("phimoe", _MOE),
    _experts("deepseek_v2", _DEEPSEEK),
    _experts("deepseek_v3", _DEEPSEEK),
    _experts("glm4_moe", {**_EXPERTS, "n_routed_experts": 4, "first_k_dense_replace": 1,
                          "n_group": 1, "topk_group": 1}),
    _experts("ernie4_5_moe", {**_WIDE, "moe_num_experts": 4, "moe_k": 2,
                              "moe_intermediate_size": 16}),
    _experts("llama4_text", {**_WIDE, "intermediate_size_mlp": 48, "num_local_experts": 2,
                             "num_experts_per_tok": 1, "interleave_moe_layer_step": 2},
             "model.layers", ("self_attn",) * 2, _FEED),
    _hybrid("jamba", {**_TEXT, "num_experts": 4, "num_experts_per_tok": 2, "attn_layer_period": 2,
                      "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1,
                      "mamba_d_state": 4, "mamba_dt_rank": 4, "use_mamba_kernels": False},
            "model.layers", _MIXED, _FEED),
    _hybrid("bamba", {**_TEXT, **_MAMBA2, "attn_layer_indices": [1]}, "model.layers", _MIXED,
            _FEED),
    _hybrid("lfm2", {**_TEXT, "layer_types": ["conv", "full_attention"],
                     "block_auto_adjust_ff_dim": False}, "model.layers", _MIXED, _FEED),
    _hybrid("qwen3_next", {**_EXPERTS, **_DELTA, "shared_expert_intermediate_size": 16},
            "model.layers", ("linear_attn", "self_attn")),
    _hybrid("recurrent_gemma", {**_WIDE, "num_hidden_layers": 3, "lru_width": 32,
                                "attention_window_size": 8}, "model.layers",
            (None, None, "temporal_block"), ("mlp_block",) * 3),
    _hybrid("nemotron_h", {**_WIDE, "mamba_num_heads": 4, "mamba_head_dim": 16,
                           "ssm_state_size": 8, "n_groups": 1, "chunk_size": 8,
                           "layers_block_type": ["mamba", "attention", "mlp"]}, "model.layers",
            (None, "mixer", None), (None, None, "mixer")),
    _hybrid("falcon_h1", {**_WIDE, **_MAMBA2, "mamba_d_ssm": 64}, "model.layers", _NONE, _NONE),
    _hybrid("zamba2", {**_TEXT, "layers_block_type": ["mamba", "hybrid"], "mamba_d_state": 8,
                       "mamba_ngroups": 1, "mamba_headdim": 16, "n_mamba_heads": 4,
                       "num_mem_blocks": 1, "adapter_rank": 4, "use_mem_rope": True,
                       "attention_hidden_size": 64, "attention_head_dim": 16, "chunk_size": 8,
                       "use_mamba_kernels": False}, "model.layers", _NONE, _NONE),
    _hybrid("granitemoehybrid", {**_MOE, **_MAMBA2, "layer_types": ["mamba", "attention"],
                                 "shared_intermediate_size": 16}, "model.layers", _NONE, _NONE),
    _hybrid("mamba", {**_ROWS, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4,
                      "time_step_rank": 4}, "backbone.layers", _NONE, _NONE, (), True),
    _hybrid("mamba2", {**_ROWS, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8,
                       "num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 8},
            "backbone.layers", _NONE, _NONE, (), True),
    Architecture("gemma3", {"text_config": _part("gemma3_text", head_dim=8), "vision_config": _EYES,
                            "mm_tokens_per_image": 1, "image_token_index": 60,
                            "boi_token_index": 61, "eoi_token_index": 62}, "multimodal",
                 "model.language_model.layers", *_NORMED),
    _seeing("llava", _part("llama"), {**_EYES, "model_type": "clip_vision_model"},
            image_token_index=60),
    _seeing("llava_onevision", _part("qwen2"), {**_EYES, "model_type": "siglip_vision_model"},
            image_token_index=60),
    _seeing("mistral3", _part("mistral", head_dim=8),
            {**_EYES, "head_dim": 8, "model_type": "pixtral"}, image_token_index=60),
    _seeing("smolvlm", _part("llama"), _EYES, image_token_id=60, scale_factor=2,
            blocks="model.text_model.layers"),
    _seeing("internvl", _part("qwen2"), {**_EYES, "image_size": [28, 28], "patch_size": [14, 14]},
            image_token_id=60),
    _seeing("qwen2_vl", {**_TEXT, "rope_parameters": _M_ROPE},
            {"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "patch_size": 14},
            **_QWEN_IDS),
    _seeing("qwen2_5_vl", {**_TEXT, "rope_parameters": _M_ROPE},
            {**_QWEN_EYES, "fullatt_block_indexes": [0]}, **_QWEN_IDS),
    _seeing("qwen3_vl", {**_WIDE, "rope_parameters": _M_ROPE},
            {**_QWEN_EYES, "deepstack_visual_indexes": [0]}, **_QWEN_IDS),
    Architecture("qwen3_5", {"text_config": {**_WIDE, **_DELTA, "rope_parameters": _M_ROPE},
                             "vision_config": _QWEN_EYES, **_QWEN_IDS}, "multimodal",
                 "model.language_model.layers", ("linear_attn", "self_attn")),
    Architecture("mllama", {"text_config": {**_TEXT, "num_hidden_layers": 3,
                                            "cross_attention_layers": [1]},
                            "vision_config": {"hidden_size": 16, "intermediate_size": 16,
                                              "num_hidden_layers": 1, "num_global_layers": 1,
                                              "attention_heads": 2, "image_size": 28,
                                              "patch_size": 14, "max_num_tiles": 1,
                                              "intermediate_layers_indices": [0],
                                              "vision_output_dim": 32,
                                              "supported_aspect_ratios": [[1, 1]]},
                            "image_token_index": 60}, "multimodal", "model.language_model.layers",
                 ("self_attn", None, "self_attn"), ("mlp", None, "mlp"), (1,)),
]  # fmt: skip
LOOKS_AHEAD = _seeing(
    "paligemma", _part("gemma", head_dim=8),
            {**_EYES, "model_type": "siglip_vision_model", "vision_use_head": False},
            image_token_index=60, projection_dim=32)  # fmt: skip
"""One that is refused: over its prompt it is no causal language model."""
BY_KIND = {one.kind: one for one in ARCHITECTURES}
