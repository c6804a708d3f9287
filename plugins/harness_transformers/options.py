"""Options of the transformers backend, and the facts that files tell without reading a weight."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from harness.contract import (
    BackendOptions,
    Checkpoint,
    Example,
    LocalPath,
    Location,
    ModelFacts,
    ModelPlace,
    Needs,
    Options,
    Prompt,
    Tokens,
)
from harness.contract.capabilities import ALL
from harness.errors import ModelError, listed
from harness_transformers.checkpoint import checkpoint
from harness_transformers.config import facts_of, headless, sizes
from harness_transformers.files import (
    ADAPTER,
    count_parameters,
    local_folder,
    packed_numbers,
    read_config,
    read_json,
    refuse_adapter,
    require_adapter,
    require_weights,
    tensor_names,
    weight_files,
)
from harness_transformers.quantised import WAYS, Scheme, bits, check_stored, stays, stored
from harness_transformers.template import DATE, day

if TYPE_CHECKING:
    from harness_transformers.gguf_file import GgufFile

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

_DEVICE = re.compile(r"cpu|disk|mps|(cuda|xpu|npu|hpu)(:\d+)?")


def _spread(given: object) -> tuple[str, ...]:
    """Words by which accelerate spreads a whole model by itself; a table has none."""
    whole = ("auto", "balanced", "balanced_low_0", "sequential")
    return whole if isinstance(given, str) else ()


class ThoughtTags(Options):
    """What a model writes around its thoughts, to the letter."""

    open: str = Field(min_length=1)
    """What a thought begins with, such as <think>."""
    close: str = Field(min_length=1)
    """What stands between a thought and the answer, such as </think>."""


Thinking = Literal["auto", False] | ThoughtTags


class TransformersOptions(BackendOptions):
    """A causal language model in the Hugging Face form."""

    path: Location | None = None
    """The model's folder (config.json, safetensors, tokenizer) or hub id."""
    gguf: LocalPath | None = None
    """A GGUF file instead of `path`, whose weights are taken out of their blocks. Needs the package
    gguf. `false` takes away an inherited one, as with `path`, `sha256` and `made_with`."""
    sha256: Sha256 | None = None
    """What the GGUF file must hash to."""
    made_with: Sha256 | None = None
    """The sha256 of the weights that the task was made with. Others are used with a warning. It is
    that of the GGUF file or the safetensors file; of several files, that of their sha256s."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    subfolder: str | None = None
    """Folder of the model inside `path`."""
    adapter: Location | None = None
    """A peft adapter (LoRA and its kin), merged into the weights in float32."""
    adapter_revision: str | None = None
    """Branch, tag or commit of the adapter's hub id."""
    tokenizer: Location | None = None
    """Another tokenizer than the model's own: a folder or hub id."""
    date: str = DATE
    """What the chat template takes for today, such as 26 Jul 2024: prompts don't depend on when."""
    thinking: Thinking = "auto"
    """How its thoughts are told from its answers, which alone are judged: by what its tokenizer
    shows, by { open = "<think>", close = "</think>" }, or false: all that it writes is answer."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Numbers to compute in. `auto`: as stored on an accelerator, float32 on a CPU."""
    quantization: Scheme | None = None
    """Rounds the weights of its linear layers to few bits when it is loaded, by a library of that
    name. Such a model gives no gradients, and takes no adapter. `false` takes away an inherited
    one."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    """auto (a CUDA device where there is one, else the CPU), cpu, cuda, cuda:1 or mps."""
    device_map: str | dict[str, int | str] | None = None
    """Spreads a model over several devices, as accelerate understands it: `auto`, `balanced`,
    `balanced_low_0`, `sequential`, or a table of module paths and devices; then `device` is left.
    """
    trust_remote_code: bool = False
    """Runs Python code that the model's repository brings. Only for authors that you trust."""
    attn_implementation: str | None = None
    """Attention kernel, as transformers names it (sdpa, eager, flash_attention_2)."""
    compile: bool = False
    """Compiles the steps of completions without edits, on a CUDA device. Where that fails, or on
    another device, they run as they are, with a note in the run."""

    @field_validator("date")
    @classmethod
    def _is_a_date(cls, text: str) -> str:
        day(text)
        return text

    @field_validator("device_map")
    @classmethod
    def _is_a_map(cls, given: str | dict[str, int | str] | None) -> object:
        devices = given.values() if isinstance(given, dict) else [given]
        for one in devices:
            if isinstance(one, str) and not (_DEVICE.fullmatch(one) or one in _spread(given)):
                allowed = listed([*_spread(given), "cpu", "cuda:0", "disk"])
                raise ValueError(f"no such device: {one!r}. Allowed: {allowed}, or a number")
        return given

    @field_validator("path", "gguf", "sha256", "made_with", "quantization", mode="before")
    @classmethod
    def _taken_away(cls, value: object) -> object:
        return None if value is False else value

    @model_validator(mode="after")
    def _one_place(self) -> TransformersOptions:
        given = [name for name in ("path", "gguf") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "neither"
            raise ValueError(f"give exactly one of path and gguf, not {found}")
        if self.gguf is None and self.sha256 is not None:
            raise ValueError("sha256 is that of a GGUF file; for a path there is made_with")
        extra = [name for name in ("revision", "subfolder") if getattr(self, name) is not None]
        if self.gguf is not None and extra:
            raise ValueError(f"{extra[0]} belongs to path; a GGUF file has none")
        return self

    @model_validator(mode="after")
    def _rounds_plain_weights(self) -> TransformersOptions:
        if self.quantization is not None and self.gguf is not None:
            raise ValueError(
                "quantization rounds the weights of a path; those of a GGUF file are rounded"
                " already, and taken out of their blocks. Allowed: one of them"
            )
        if self.quantization is not None and self.adapter is not None:
            raise ValueError(
                "an adapter is merged into plain weights, and quantization leaves none. Allowed:"
                " one of them. Merge the adapter (merge_and_unload), save the model"
                " (save_pretrained), and give its folder as path"
            )
        return self

    @classmethod
    def at(cls, place: str, *, partial: bool = False) -> ModelPlace:
        """A GGUF file, an adapter's folder, or else the folder or hub id of a model."""
        path = Path(place).expanduser()
        if path.suffix.lower() == ".gguf" and path.is_file():
            return ModelPlace({"gguf": place})
        if partial or ((path / ADAPTER).is_file() and not (path / "config.json").is_file()):
            return ModelPlace({"adapter": place}, partial=True)
        return ModelPlace({"path": place})

    @property
    def where(self) -> str:
        """How messages name this model."""
        return f"model {self.path or self.gguf}"

    @property
    def gguf_file(self) -> GgufFile | None:
        """The GGUF file, where the model is in one."""
        if self.gguf is None:
            return None
        from harness_transformers.gguf_file import GgufFile

        return GgufFile(Path(self.gguf).expanduser(), self.where)

    @property
    def folder(self) -> str:
        """The folder or hub id, where the model is in no GGUF file."""
        assert self.path is not None
        return self.path

    def names(self) -> tuple[str, ...]:
        """The hub id or folder, and what config.json or the GGUF file says that the model is."""
        if file := self.gguf_file:
            return file.names()
        root = local_folder(self.folder, self.revision, "model")
        file = root / (self.subfolder or "") / "config.json" if root else None
        told = read_json(file, self.where) if file and file.is_file() else {}
        place = Path(self.folder).expanduser()
        cached = [part for part in place.parts if part.startswith("models--")]
        hub = [part.removeprefix("models--").replace("--", "/") for part in cached]
        origin = told.get("_name_or_path")
        return (*hub, self.folder, *([origin] if isinstance(origin, str) and origin else []))

    def adapted_from(self) -> str | None:
        """What adapter_config.json says, where it is here."""
        if self.adapter is None:
            return None
        folder = local_folder(self.adapter, self.adapter_revision, "adapter")
        file = folder / ADAPTER if folder else None
        told = read_json(file, self.where) if file and file.is_file() else {}
        base = told.get("base_model_name_or_path")
        return base if isinstance(base, str) else None

    def saved_in(self, folder: Path) -> Checkpoint:
        """An adapter on top of this model, or a whole model in its place, as a trainer saves them.

        A folder without a tokenizer is read with that of this model.
        """
        own = self.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        return checkpoint(own, folder, self.tokenizer or self.path or "", _has_tokenizer(folder))

    def runs_remote_code(self) -> bool:
        """Whether loading runs Python code that the model's repository brings."""
        return self.trust_remote_code

    def inside(self, root: Path) -> Path:
        """The model's own folder inside what `path` means."""
        folder = root / self.subfolder if self.subfolder else root
        if not folder.is_dir():
            raise ModelError(f"{self.where}: it has no subfolder {self.subfolder!r}.")
        return folder

    def tokenizer_folder(self, root: Path) -> Path:
        """The folder of the model's own tokenizer: beside its weights or at the root."""
        folder = self.inside(root)
        return folder if _has_tokenizer(folder) else root

    def describe(self) -> ModelFacts:
        """Facts from config.json, the headers of the weights and the tokenizer's files; of a GGUF
        file, from its header. All that a model may offer, it offers; one in quantised weights no
        gradients, which many of its kernels do not have."""
        rounded = self.quantization is not None or stored(self._config()) is not None
        return replace(self._told(), capabilities=ALL - {"gradients"} if rounded else ALL)

    def _config(self) -> Mapping[str, Any]:
        """What config.json says, where it is here; a GGUF file has none."""
        root = None if self.gguf_file else local_folder(self.folder, self.revision, "model")
        file = self.inside(root) / "config.json" if root else None
        return read_json(file, self.where) if file and file.is_file() else {}

    def _context(self) -> int | None:
        """The most tokens that the model reads at once, of which no header of weights tells."""
        if file := self.gguf_file:
            return file.facts(chat_template=None).context
        return facts_of(self._config(), parameters=None, chat_template=None).context

    def _told(self) -> ModelFacts:
        if self.adapter is not None:
            local_folder(self.adapter, self.adapter_revision, "adapter")  # refuses a missing folder
        if file := self.gguf_file:
            own = file.own_template if self.tokenizer is None else self._chat_template(None)
            return file.facts(chat_template=own)
        root = local_folder(self.folder, self.revision, "model")
        if root is None:
            return ModelFacts()
        folder = self.inside(root)
        hub = not Path(self.folder).expanduser().is_dir()
        if hub and not (folder / "config.json").is_file():
            return ModelFacts()  # the cache holds a part of it only
        config = read_config(folder, self.where)
        files = weight_files(folder, self.where)
        if not files and not hub:
            refuse_adapter(folder, self.where)
        whole = bool(files) and (not hub or all(file.is_file() for file in files))
        parameters = count_parameters(files, self.where) if whole else None
        if parameters is not None and (few := bits(config)):
            parameters = packed_numbers(files, few)
        return facts_of(
            config,
            parameters=parameters,
            chat_template=self._chat_template(root),
        )

    def check(self) -> None:
        """ModelError where a folder holds no weights that are read, or no adapter's.

        What lies in the hub's cache may be a part of what a run would download.
        """
        if self.quantization is not None:
            WAYS[self.quantization].library.require(
                self.where, f"quantization = {self.quantization}"
            )
        again, adapted = self.quantization is not None, self.adapter is not None
        check_stored(self._config(), self.where, again=again, adapted=adapted)
        if file := self.gguf_file:
            file.check()
        elif (folder := Path(self.folder).expanduser()).is_dir():
            own = self.inside(folder)
            files, config = require_weights(own, self.where), own / "config.json"
            told = read_json(config, self.where) if config.is_file() else {}
            if headless(told, tensor_names(files)):
                raise ModelError(
                    f"{self.where}: its files are those of a {told['architectures'][0]}, which has "
                    "no language-model head, so it can neither write nor be read with a lens. "
                    "Allowed: a causal language model with its head. Name the model that these "
                    "files were taken from."
                )
        if self.adapter is not None and (added := Path(self.adapter).expanduser()).is_dir():
            require_adapter(added, f"{self.where}: adapter {self.adapter}")

    def needs(self) -> Needs:
        """Sizes from config.json and headers, and what is to be downloaded."""
        if file := self.gguf_file:
            return file.needs(self.dtype, self.device)
        root = local_folder(self.folder, self.revision, "model")
        folder = self.inside(root) if root else None
        if folder is None or not (folder / "config.json").is_file():
            return replace(sizes({}, set(), self.dtype, self.device), download=self.folder)
        config = read_json(folder / "config.json", self.where)
        files = weight_files(folder, self.where)
        here = [file for file in files if file.is_file()]
        download = None if len(here) == len(files) > 0 else self.folder
        needs = sizes(config, tensor_names(here), self.dtype, self.device)
        few = bits(config) if stays(config) else None
        held = few / 8 if few else None
        if self.quantization is not None:
            held = WAYS[self.quantization].stored_bytes
        return replace(needs, download=download, weight_bytes=held)

    def render(self, examples: Sequence[Example], prompt: Prompt) -> Sequence[Tokens] | None:
        """By the model's own renderer, where its tokenizer's files are here."""
        from harness_transformers.ahead import rendered

        root = local_folder(self.path, self.revision, "model") if self.path else None
        folder = self._voice(root)
        if folder is None:
            return None
        return rendered(folder, self._context(), self.where, self.date, examples, prompt)

    def masked_ids(self) -> frozenset[int] | None:
        """By the model's own rule, where its tokenizer's files are here."""
        from harness_transformers.ahead import masked

        folder = self._voice(local_folder(self.path, self.revision, "model") if self.path else None)
        if folder is None:
            return None
        return masked(folder, self.describe().vocabulary, self.where, self.date)

    def _voice(self, root: Path | None) -> Path | None:
        """The folder of the tokenizer that is used, without a network; None where it isn't here."""
        if self.tokenizer is not None:
            return local_folder(self.tokenizer, None, "tokenizer")
        return self.tokenizer_folder(root) if root else None

    def _chat_template(self, root: Path | None) -> bool | None:
        folder = self._voice(root)
        if folder is None or not _has_tokenizer(folder):
            return None
        if (folder / "chat_template.jinja").is_file():
            return True
        settings = folder / "tokenizer_config.json"
        return settings.is_file() and bool(read_json(settings, self.where).get("chat_template"))


def _has_tokenizer(folder: Path) -> bool:
    return any(
        (folder / name).is_file()
        for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
    )
