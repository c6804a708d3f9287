"""A model with weights of few bits in transformers: how it is asked for, and what it came to."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from harness_transformers.quantised import LIBRARIES, WAYS, Library, Scheme


def _nf4(dtype: torch.dtype, *, double: bool) -> Any:
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=dtype,
    )


def _torchao_int8(dtype: torch.dtype) -> Any:
    from torchao.quantization import Int8WeightOnlyConfig  # type: ignore[import-not-found]

    return transformers.TorchAoConfig(Int8WeightOnlyConfig())


_MAKE: Mapping[Scheme, Callable[[torch.dtype], Any]] = {
    "bnb-4bit": lambda dtype: _nf4(dtype, double=False),
    "bnb-4bit-double": lambda dtype: _nf4(dtype, double=True),
    "bnb-8bit": lambda dtype: transformers.BitsAndBytesConfig(load_in_8bit=True),
    "quanto-int8": lambda dtype: transformers.QuantoConfig(weights="int8"),
    "quanto-int4": lambda dtype: transformers.QuantoConfig(weights="int4"),
    "torchao-int8": _torchao_int8,
}


def configuration(scheme: Scheme, dtype: torch.dtype) -> Any:
    """transformers' own configuration of a scheme; products are computed in `dtype`."""
    return _MAKE[scheme](dtype)


def is_plain(parameter: Tensor) -> bool:
    """Whether a tensor holds its numbers themselves, rather than parts of them and scales."""
    whole = parameter.is_floating_point() and parameter.itemsize > 1
    return type(parameter) in (Tensor, nn.Parameter) and whole


def is_quantised(hf: Any) -> bool:
    """Whether a loaded model holds weights that are not plain."""
    return bool(getattr(hf, "is_quantized", False))


def report(hf: Any, scheme: Scheme | None) -> dict[str, Any]:
    """What the provenance says of a model whose weights are not plain: which modules, how, and by
    which version of which library. `scheme`: where they were rounded when it was loaded."""
    told = hf.config.quantization_config
    settings = json.loads(
        json.dumps(told if isinstance(told, dict) else told.to_dict(), default=str)
    )
    method = str(settings.get("quant_method"))
    library = WAYS[scheme].library if scheme else LIBRARIES.get(method)
    found = {
        "method": method,
        "settings": settings,
        "modules": dict(sorted(Counter(map(_anywhere, _rounded(hf))).items())),
    }
    if scheme:
        found |= {"scheme": scheme, "says": WAYS[scheme].says}
    return {"quantised": found | ({"library": _version(library)} if library else {})}


def _rounded(hf: nn.Module) -> Iterator[str]:
    """The paths of modules with a weight that is not plain."""
    for path, module in hf.named_modules():
        own = [p for p in module.parameters(recurse=False) if not is_plain(p)]
        # Some libraries keep the parts in buffers.
        packed = hasattr(module, "in_features") and any(
            not buffer.is_floating_point() for buffer in module.buffers(recurse=False)
        )
        if own or packed:
            yield path


def _anywhere(path: str) -> str:
    """A path whose numbers of blocks and experts are left open."""
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", path)


def _version(library: Library) -> str:
    try:
        return f"{library.pip} {version(library.pip)}"
    except PackageNotFoundError:
        return library.pip


def scheme_words(scheme: Scheme) -> str:
    """What of a scheme decides a model's numbers, for its fingerprint."""
    return f"quantised {scheme} by {_version(WAYS[scheme].library)}"
