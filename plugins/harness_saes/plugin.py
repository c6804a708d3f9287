"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_FORMATS = {
    "saelens": (
        "a SAELens folder (cfg.json, sae_weights.safetensors), or a release and id",
        "saelens.load:Saelens",
        "saelens.options:SaelensOptions",
        "formats.saelens.samples:samples",
    ),
    "gemma_scope": (
        "Gemma Scope 1 (params.npz): SAEs and transcoders of Gemma 2",
        "load:GemmaScope",
        "gemma_scope:GemmaScopeOptions",
        "samples:gemma_scope",
    ),
    "gemma_scope_2": (
        "Gemma Scope 2 (params.safetensors): SAEs and transcoders of Gemma 3",
        "load:GemmaScope2",
        "gemma_scope_2.options:GemmaScope2Options",
        "formats.gemma_scope_2.samples:single",
    ),
    "gemma_scope_2_crosscoder": (
        "Gemma Scope 2's crosscoders: several blocks of one Gemma 3 (params_layer_N.safetensors)",
        "gemma_scope_2.load_crosscoder:GemmaScope2Crosscoder",
        "gemma_scope_2.crosscoder:GemmaScope2CrosscoderOptions",
        "formats.gemma_scope_2.samples:crosscoder",
    ),
    "gemma_scope_2_clt": (
        "one layer of Gemma Scope 2's cross-layer transcoders (params_layer_N.safetensors)",
        "gemma_scope_2.load_clt:GemmaScope2Clt",
        "gemma_scope_2.clt:GemmaScope2CltOptions",
        "formats.gemma_scope_2.samples:layered",
    ),
    "circuit_tracer": (
        "one layer of circuit-tracer's transcoders and cross-layer transcoders (config.yaml)",
        "circuit_tracer.load:CircuitTracer",
        "circuit_tracer.options:CircuitTracerOptions",
        "formats.circuit_tracer.samples:samples",
    ),
    "openmoss": (
        "OpenMOSS' SAEs, transcoders and CLTs of today (config.json, sae_weights.safetensors)",
        "openmoss.load:Openmoss",
        "openmoss.options:OpenmossOptions",
        "formats.openmoss.samples:samples",
    ),
    "llama_scope": (
        "Llama Scope (hyperparams.json, checkpoints/final.safetensors), and its R1 one",
        "llama_scope.load:LlamaScope",
        "llama_scope.options:LlamaScopeOptions",
        "formats.llama_scope.samples:samples",
    ),
    "qwen_scope": (
        "Qwen-Scope (layer{n}.sae.pt): TopK SAEs of Qwen models",
        "load:QwenScope",
        "qwen_scope:QwenScopeOptions",
        "samples:qwen_scope",
    ),
    "sparsify": (
        "EleutherAI's sparsify (cfg.json, sae.safetensors): SAEs and transcoders",
        "load:Sparsify",
        "sparsify:SparsifyOptions",
        "samples:sparsify",
    ),
    "dictionary_learning": (
        "dictionary_learning (config.json, ae.pt): all its classes, andyrdt's SAEs",
        "dictionary_learning.load:DictionaryLearning",
        "dictionary_learning.options:DictionaryLearningOptions",
        "formats.dictionary_learning.samples:samples",
    ),
    "crosscoder": (
        "crosscoders of two models (config.json, model_final.pt or model.safetensors)",
        "model_diffing.load:Crosscoder",
        "model_diffing.options:CrosscoderOptions",
        "formats.model_diffing.samples:crosscoder",
    ),
    "ckkissane": (
        "ckkissane's crosscoders of two models (cfg.json, cc_weights.pt)",
        "ckkissane.load:Ckkissane",
        "ckkissane.options:CkkissaneOptions",
        "formats.ckkissane.samples:samples",
    ),
    "difference_sae": (
        "SAEs of the difference between two models: BatchTopKSAE of the model-diffing fork",
        "model_diffing.load:DifferenceSae",
        "model_diffing.options:DifferenceSaeOptions",
        "formats.model_diffing.samples:difference_sae",
    ),
    "openai": (
        "OpenAI's SAEs of GPT-2 small (.pt), versions 1, 4 and 5",
        "load:Openai",
        "openai:OpenaiOptions",
        "samples:openai",
    ),
    "goodfire": (
        "Goodfire's SAEs of Llama models (.pt, .pth)",
        "load:Goodfire",
        "goodfire:GoodfireOptions",
        "samples:goodfire",
    ),
    "tensors": (
        "any single file of tensors (.safetensors, .npz, .pt), by a rule that the task states",
        "tensors.load:Tensors",
        "tensors.options:TensorsOptions",
        "formats.tensors.samples:samples",
    ),
}
"""By name: a summary, the format's class, its options, and its samples."""


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
            samples=f"harness_saes.{samples}",
        )
        for name, (summary, load, options, samples) in _FORMATS.items()
    )
