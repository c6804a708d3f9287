"""Loads a model for transformers: finds the files, checks them, reads the weights."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
)
from transformers.utils import logging as hf_logging

from harness.contract import Native
from harness.errors import HarnessError, MachineError, ModelError, listed, suggestion
from harness.store.known_files import of_each
from harness_transformers.adapter import MERGE, merged, unknown_keys
from harness_transformers.batches import out_of_memory
from harness_transformers.bos import with_bos
from harness_transformers.failures import refusing, words
from harness_transformers.files import (
    ADAPTER,
    not_floating,
    read_json,
    sha256_of,
    stored_types,
)
from harness_transformers.gguf_file import lost
from harness_transformers.gguf_weights import plain, unpacked, without_bar
from harness_transformers.model import TransformersModel
from harness_transformers.options import TransformersOptions
from harness_transformers.quantised import no_merge, stored
from harness_transformers.quantised_weights import (
    configuration,
    is_plain,
    is_quantised,
    report,
    scheme_words,
)
from harness_transformers.source import Source, own_weights, source
from harness_transformers.template import BoundedTemplate, dated, is_dated
from harness_transformers.thoughts import marks_of
from harness_transformers.wrapped import WrappedModel

_OF_ADAPTERS = re.compile(r"(^|[._])(lora|ia3|hada|lokr|oft|boft|vera|hra)_|\bbase_layer\b")
"""Names of weights that peft puts beside a model's own."""


class TransformersBackend:
    """A causal language model from a folder, the hub or a GGUF file; never from pickled weights."""

    def __init__(self, options: TransformersOptions) -> None:
        self.options = options

    def load(self) -> TransformersModel:
        """The model, ready; ModelError says which file is missing or wrong."""
        options, where = self.options, self.options.where
        with source(options) as found, _quiet():
            with without_bar() if found.gguf is not None else nullcontext():
                config = self._config(found)
                tokenizer = self._tokenizer(found)
                hf, unused = self._weights(found, config)
            notes = [*found.notes, *_notes(found, unused)]
            if found.gguf is not None:
                hf = plain(hf, str(options.gguf))
                notes += lost(found.gguf, _size(hf), _scales_positions(hf))
            if found.adapter is not None:
                if is_quantised(hf):
                    raise ModelError(f"{where}: {no_merge(str(stored(found.config)))}")
                hf = merged(hf, found.adapter, f"adapter {options.adapter}")
                notes += unknown_keys(found.adapter, f"adapter {options.adapter}")
            _check_rows(hf, tokenizer, where)
            hf = self._placed(hf)
            _check_numbers(hf, where)
            hf.eval().requires_grad_(False)
            date: str | None = None
            also: list[str] = []
            if options.quantization is not None:
                also.append(scheme_words(options.quantization))
            if found.adapter is not None:
                also.append(f"merge {MERGE}")
            elif (found.folder / ADAPTER).is_file():
                also.append("without the adapter beside it")
            if is_dated(tokenizer.chat_template):
                date = options.date
                also.append(f"date {date}")
                tokenizer.chat_template = dated(tokenizer.chat_template, options.date)
            marks = marks_of(tokenizer, options.thinking)
            also += [f"thoughts {marks}"] * (marks is not None)
            tokenizer.apply_chat_template = BoundedTemplate(tokenizer, where)
            model = TransformersModel(
                hf,
                tokenizer,
                options.describe(),
                fingerprint=found.fingerprint(
                    str(hf.dtype), str(options.attn_implementation), *also
                ),
                name=where,
                notes=notes,
                compiled=options.compile,
                marks=marks,
            )
            model.date = date
            model.origin = _origin(hf, found, options)
        return model

    def read_ahead(self) -> None:
        """Hashes the weights where they lie on this machine, which `load` does last."""
        of_each(sha256_of, own_weights(self.options))

    def wrap(self, native: Native, name: str) -> WrappedModel:
        """A model that is in memory already, with its tokenizer; both are left as they are."""
        return WrappedModel(native, self.options, name)

    def _tokenizer(self, found: Source) -> Any:
        options = self.options

        def refusal(error: Exception) -> ModelError:
            place = options.gguf if found.speaks else found.voice
            return ModelError(
                f"{options.where}: no tokenizer could be read from {place} ({words(error)})."
                " Allowed: a folder with tokenizer.json or what its own class reads. Copy its files"
                ' again, or name another with tokenizer = "…".'
            )

        with refusing(refusal):
            tokenizer = AutoTokenizer.from_pretrained(
                found.voice,
                trust_remote_code=options.trust_remote_code,
                local_files_only=True,
                **found.speaks,
            )
            if found.speaks:
                tokenizer.name_or_path = str(options.gguf)
            inner = getattr(tokenizer, "backend_tokenizer", None)
            if inner is not None and (settings := self._settings(found)):
                with_bos(inner, settings, tokenizer.bos_token)
            # Some of what its settings say is only looked at where it is used.
            tokenizer.decode(tokenizer("a b").input_ids)
            return tokenizer

    def _settings(self, found: Source) -> Mapping[str, Any]:
        """What the tokenizer's files say of its special tokens; nothing where they say nothing."""
        if found.speaks and found.gguf is not None:
            return {"add_bos_token": found.gguf.header.values.get("tokenizer.ggml.add_bos_token")}
        settings = found.voice / "tokenizer_config.json"
        return read_json(settings, self.options.where) if settings.is_file() else {}

    def _unloadable(self, found: Source, error: Exception) -> HarnessError:
        where = self.options.where
        if out_of_memory(error):
            return _too_large(where)
        if found.gguf is not None:
            return found.gguf.unreadable(words(error))
        return ModelError(
            f"{where}: transformers cannot load {found.folder} ({words(error)}). Allowed: a model"
            " as save_pretrained writes it. Copy or download its files again, or mend what is"
            " named."
        )

    def _config(self, found: Source) -> Any:
        """Read first: what is wrong in it would else be said of the tokenizer, which reads it."""
        with refusing(partial(self._unloadable, found)):
            return AutoConfig.from_pretrained(
                found.folder,
                trust_remote_code=self.options.trust_remote_code,
                local_files_only=True,
                **found.extra,
            )

    def _weights(self, found: Source, config: Any) -> tuple[Any, list[str]]:
        """The model, and the names of weights in its files that it has no place for."""
        options, where = self.options, self.options.where
        settings: dict[str, Any] = {
            "dtype": _dtype(options),
            "use_safetensors": True,
            "trust_remote_code": options.trust_remote_code,
            "local_files_only": True,
            "output_loading_info": True,
            # transformers applies an adapter that it finds beside the weights. It looks for one in
            # this folder of the model's folder, which is none.
            "adapter_kwargs": {"subfolder": "\N{EMPTY SET}"},
            "ignore_mismatched_sizes": True,  # weights of another shape are told below, by name
        }
        if options.attn_implementation:
            settings["attn_implementation"] = options.attn_implementation
        if options.device_map is not None and options.adapter is None:
            settings["device_map"] = options.device_map
        if found.gguf is not None:
            settings |= unpacked(found.gguf, settings["dtype"])
        with refusing(partial(self._unloadable, found)):
            kinds = (AutoModelForCausalLM, AutoModelForImageTextToText)
            auto = next((one for one in kinds if type(config) in one._model_mapping), kinds[0])
            if options.quantization is not None or stored(found.config):
                settings.setdefault("device_map", {"": _device(options)})
            if options.quantization is not None:
                own = settings["dtype"] if settings["dtype"] != "auto" else _stored_dtype(config)
                settings["quantization_config"] = configuration(options.quantization, own)
            hf, info = auto.from_pretrained(found.folder, config=config, **found.extra, **settings)
        # transformers fills such weights with random numbers and goes on.
        wrong = sorted({*info["missing_keys"], *(str(k[0]) for k in info["mismatched_keys"])})
        if wrong:
            raise ModelError(
                f"{where}: {len(wrong)} weights are not in its files, or have another shape than"
                f" config.json says ({listed(wrong, 3)}). The files belong to another model, or are"
                " not all there. Allowed: all weights of one model. Copy or download them again."
            )
        if found.gguf is None and getattr(hf, "hf_quantizer", None) is None:
            floating = {name for name, p in hf.named_parameters() if p.is_floating_point()}
            odd = not_floating(stored_types(found.files["weights"]), floating)
            if odd:
                raise ModelError(
                    f"{where}: {len(odd)} weights are stored as whole numbers or truth values"
                    f" ({listed(odd, 3)}), and config.json says nothing of a quantised model."
                    " Allowed: floating point. Copy or download the files again, or convert them."
                )
        return hf, sorted(map(str, info["unexpected_keys"]))

    def _placed(self, hf: Any) -> Any:
        options = self.options
        try:
            if options.device_map is None:
                # Weights of few bits are put where they belong while they are read.
                return hf if is_quantised(hf) else hf.to(_device(options))
            _check_map(hf, options)
            if options.adapter is not None:  # merged on the CPU first, then spread
                import accelerate  # type: ignore[import-untyped]

                spread = options.device_map
                if isinstance(spread, str):
                    spread = accelerate.infer_auto_device_map(
                        hf, no_split_module_classes=hf._no_split_modules, dtype=hf.dtype
                    )
                return accelerate.dispatch_model(hf, spread)
            return hf
        except (RuntimeError, AssertionError, ValueError) as error:
            if out_of_memory(error):
                raise _too_large(options.where) from None
            raise ModelError(
                f"{options.where}: device {options.device!r} cannot be used ({words(error)})."
            ) from None


def _device(options: TransformersOptions) -> str:
    if options.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return options.device


def _dtype(options: TransformersOptions) -> Any:
    if options.dtype != "auto":
        return getattr(torch, options.dtype)
    given = options.device_map
    if given is None:
        on_cpu = _device(options) == "cpu"
    elif isinstance(given, str):
        on_cpu = given == "cpu" or not torch.accelerator.is_available()
    else:
        on_cpu = set(given.values()) <= {"cpu", "disk"}
    return torch.float32 if on_cpu else "auto"


def _stored_dtype(config: Any) -> torch.dtype:
    """The dtype that config.json states; float32 where it doesn't."""
    told = getattr(config.get_text_config(), "dtype", None) or getattr(config, "dtype", None)
    return told if isinstance(told, torch.dtype) else torch.float32


def _check_map(hf: Any, options: TransformersOptions) -> None:
    """Refuses a map that names modules which the model does not have: it would say nothing."""
    if not isinstance(options.device_map, dict):
        return
    known = {name for name, _ in hf.named_modules()} | {name for name, _ in hf.named_parameters()}
    if wrong := sorted(set(options.device_map) - known):
        raise ModelError(
            f"{options.where}: device_map names {wrong[0]}, which is no module of it."
            f"{suggestion(wrong[0], known)} Allowed: module paths, such as"
            f" {listed([name for name in known if name.count('.') == 1], 4)}."
        )


def _origin(hf: Any, found: Source, options: TransformersOptions) -> dict[str, Any]:
    """What the provenance says of how a model's weights were stored or rounded."""
    if found.gguf is not None:
        return found.gguf.origin()
    if is_quantised(hf):
        return report(hf, options.quantization)
    method = stored(found.config)
    return {"dequantised": method} if method else {}


def _too_large(where: str) -> MachineError:
    return MachineError(
        f"{where}: it does not fit the memory. Use a smaller dtype, another device, or device_map."
    )


def _notes(found: Source, unused: list[str]) -> Iterator[str]:
    """What was left out, though it lies in the model's files."""
    trained = [name for name in unused if _OF_ADAPTERS.search(name)]
    if trained:
        yield (
            f"its files hold {len(trained)} weights of an adapter that was never merged"
            f" ({listed(trained, 2)}). They are left out, so this is the model without its"
            " fine-tuning. Merge the adapter (merge_and_unload) and save the model."
        )
    others = [name for name in unused if name not in trained]
    if others:
        config = "transformers" if found.gguf else found.folder / "config.json"
        yield (
            f"its files hold {len(others)} weights that {config} has no place for"
            f" ({listed(others, 2)}). They are left out."
        )


def _size(hf: Any) -> int:
    """Numbers in the model, those that several modules share once."""
    return sum(parameter.numel() for parameter in hf.parameters())


def _scales_positions(hf: Any) -> bool:
    """Whether the model scales its positions, as for long contexts."""
    rope = getattr(hf.config.get_text_config(), "rope_parameters", None) or {}
    return rope.get("rope_type", "default") != "default"


def _check_rows(hf: Any, tokenizer: Any, where: str) -> None:
    """Refuses a tokenizer whose tokens the embedding does not have; padding is never read."""
    rows = hf.get_input_embeddings().weight.shape[0]
    if tokenizer.vocab_size <= rows:
        return
    beyond = {token for token in tokenizer.get_vocab().values() if token >= rows}
    if beyond - {tokenizer.pad_token_id}:
        raise ModelError(
            f"{where}: its tokenizer has {tokenizer.vocab_size} tokens, its embedding {rows}"
            " rows. Give this model's own tokenizer."
        )


@torch.no_grad()
def _check_numbers(hf: Any, where: str) -> None:
    """Refuses weights that are NaN or infinite: one sum for each, which either of them spoils."""
    for name, weight in hf.named_parameters():
        if weight.is_meta or not is_plain(weight):  # it lies elsewhere; or was read by a library
            continue
        if weight.sum(dtype=torch.float32).isfinite():
            continue
        if not weight.isfinite().all():  # else they are large, and their sum overflows
            raise ModelError(
                f"{where}: the weight {name} holds NaN or infinite numbers, as stored or after the"
                f" cast to {str(weight.dtype).removeprefix('torch.')}. Allowed: finite weights."
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers' progress bars and advice away; what matters is checked here."""
    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
