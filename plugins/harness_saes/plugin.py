"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl


@hookimpl
def harness_components() -> Iterable[Component]:
    """The SAE formats."""
    return (
        Component(
            kind="sae_format",
            name="saelens",
            summary="a SAELens folder (cfg.json, sae_weights.safetensors), or a release and id",
            load="harness_saes.formats.saelens.load:Saelens",
            options="harness_saes.formats.saelens.options:SaelensOptions",
        ),
        Component(
            kind="sae_format",
            name="gemma_scope",
            summary="Gemma Scope 1 (params.npz): residual, MLP and attention SAEs of Gemma 2",
            load="harness_saes.formats.load:GemmaScope",
            options="harness_saes.formats.gemma_scope:GemmaScopeOptions",
        ),
        Component(
            kind="sae_format",
            name="gemma_scope_2",
            summary="Gemma Scope 2 (params.safetensors): SAEs and transcoders of Gemma 3",
            load="harness_saes.formats.gemma_scope_2.load:GemmaScope2",
            options="harness_saes.formats.gemma_scope_2.options:GemmaScope2Options",
        ),
        Component(
            kind="sae_format",
            name="llama_scope",
            summary="Llama Scope (hyperparams.json, checkpoints/final.safetensors), and its R1 one",
            load="harness_saes.formats.llama_scope.load:LlamaScope",
            options="harness_saes.formats.llama_scope.options:LlamaScopeOptions",
        ),
        Component(
            kind="sae_format",
            name="qwen_scope",
            summary="Qwen-Scope (layer{n}.sae.pt): TopK SAEs of Qwen models",
            load="harness_saes.formats.qwen_scope_load:QwenScope",
            options="harness_saes.formats.qwen_scope:QwenScopeOptions",
        ),
        Component(
            kind="sae_format",
            name="sparsify",
            summary="EleutherAI's sparsify (cfg.json, sae.safetensors): SAEs and transcoders",
            load="harness_saes.formats.sparsify.load:Sparsify",
            options="harness_saes.formats.sparsify.options:SparsifyOptions",
        ),
        Component(
            kind="sae_format",
            name="dictionary_learning",
            summary="dictionary_learning (config.json, ae.pt): all its classes, andyrdt's SAEs",
            load="harness_saes.formats.dictionary_learning.load:DictionaryLearning",
            options="harness_saes.formats.dictionary_learning.options:DictionaryLearningOptions",
        ),
        Component(
            kind="sae_format",
            name="openai",
            summary="OpenAI's SAEs of GPT-2 small (.pt), versions 1, 4 and 5",
            load="harness_saes.formats.openai_load:Openai",
            options="harness_saes.formats.openai:OpenaiOptions",
        ),
        Component(
            kind="sae_format",
            name="goodfire",
            summary="Goodfire's SAEs of Llama models (.pt, .pth)",
            load="harness_saes.formats.goodfire_load:Goodfire",
            options="harness_saes.formats.goodfire:GoodfireOptions",
        ),
    )
