"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_FORMATS = {
    "saelens": (
        "a SAELens folder (cfg.json, sae_weights.safetensors), or a release and id",
        "saelens.load:Saelens",
        "saelens.options:SaelensOptions",
    ),
    "gemma_scope": (
        "Gemma Scope 1 (params.npz): residual, MLP and attention SAEs of Gemma 2",
        "load:GemmaScope",
        "gemma_scope:GemmaScopeOptions",
    ),
    "gemma_scope_2": (
        "Gemma Scope 2 (params.safetensors): SAEs and transcoders of Gemma 3",
        "load:GemmaScope2",
        "gemma_scope_2.options:GemmaScope2Options",
    ),
    "gemma_scope_2_crosscoder": (
        "Gemma Scope 2's crosscoders: several blocks of one Gemma 3 (params_layer_N.safetensors)",
        "gemma_scope_2.load_crosscoder:GemmaScope2Crosscoder",
        "gemma_scope_2.crosscoder:GemmaScope2CrosscoderOptions",
    ),
    "llama_scope": (
        "Llama Scope (hyperparams.json, checkpoints/final.safetensors), and its R1 one",
        "llama_scope.load:LlamaScope",
        "llama_scope.options:LlamaScopeOptions",
    ),
    "qwen_scope": (
        "Qwen-Scope (layer{n}.sae.pt): TopK SAEs of Qwen models",
        "load:QwenScope",
        "qwen_scope:QwenScopeOptions",
    ),
    "sparsify": (
        "EleutherAI's sparsify (cfg.json, sae.safetensors): SAEs and transcoders",
        "load:Sparsify",
        "sparsify:SparsifyOptions",
    ),
    "dictionary_learning": (
        "dictionary_learning (config.json, ae.pt): all its classes, andyrdt's SAEs",
        "dictionary_learning.load:DictionaryLearning",
        "dictionary_learning.options:DictionaryLearningOptions",
    ),
    "crosscoder": (
        "crosscoders of two models (config.json, model_final.pt or model.safetensors)",
        "model_diffing.load:Crosscoder",
        "model_diffing.options:CrosscoderOptions",
    ),
    "ckkissane": (
        "ckkissane's crosscoders of two models (cfg.json, cc_weights.pt)",
        "ckkissane.load:Ckkissane",
        "ckkissane.options:CkkissaneOptions",
    ),
    "difference_sae": (
        "SAEs of the difference between two models: BatchTopKSAE of the model-diffing fork",
        "model_diffing.load:DifferenceSae",
        "model_diffing.options:DifferenceSaeOptions",
    ),
    "openai": (
        "OpenAI's SAEs of GPT-2 small (.pt), versions 1, 4 and 5",
        "load:Openai",
        "openai:OpenaiOptions",
    ),
    "goodfire": (
        "Goodfire's SAEs of Llama models (.pt, .pth)",
        "load:Goodfire",
        "goodfire:GoodfireOptions",
    ),
}


@hookimpl
def harness_components() -> Iterable[Component]:
    """The SAE formats."""
    return tuple(
        Component(
            kind="sae_format",
            name=name,
            summary=summary,
            load=f"harness_saes.formats.{load}",
            options=f"harness_saes.formats.{options}",
        )
        for name, (summary, load, options) in _FORMATS.items()
    )
