"""The truth about a model whose change is known: `truth.json`, and `truth.safetensors` beside it.

`harness check` reads it before any model is loaded. Imports no torch. All its text is hostile.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.contract import SiteName
from harness.text import for_terminal

if TYPE_CHECKING:
    import numpy as np

Sort = Literal["tokens", "latents", "directions"]
_LARGEST = 2**20
_FILES = ("truth.json", "truth.safetensors")
Index = Annotated[int, Field(ge=0, lt=2**31)]
Text = Annotated[str, Field(max_length=1000)]


class Truth(BaseModel):
    """What was planted in one model. Keys that are not named here may stand beside."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, strict=True)

    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    """The sort of change, such as `moved_feature`: models of one kind are told together."""
    seed: Annotated[int, Field(ge=0)]
    """Which of its kind it is."""
    planted: Literal["weights", "training", "nothing"]
    """How it was put there; `nothing` where the model is the null: changed, but in no known way."""
    text: Text = ""
    """What it is, for people."""
    site: SiteName | None = None
    """Where it was planted, where it was at one site."""
    latents: Annotated[list[Index], Field(max_length=10_000)] = []
    """Latents of the SAE that the task asks."""
    words: Annotated[list[Text], Field(max_length=10_000)] = []
    """The tokens as words, for people."""
    tokens: Annotated[list[Index], Field(max_length=10_000)] = []
    """Ids of tokens."""
    direction: bool = False
    """Whether `truth.safetensors` has a `direction` of length 1."""

    @model_validator(mode="after")
    def _says_something(self) -> Truth:
        said = bool(self.latents or self.tokens or self.direction)
        if said and self.planted == "nothing":
            raise ValueError("planted is nothing, but there are latents, tokens or a direction")
        if not said and self.planted != "nothing":
            raise ValueError("there are neither latents nor tokens nor a direction to be found")
        return self


def read_truth(truths: Path, pair: str) -> Truth:
    """The truth of a pair: `<truths>/<pair>/truth.json`.

    Raises ValueError, which names the file, where it is missing, or is no truth.
    """
    file = truths / pair / _FILES[0]
    where = for_terminal(str(file), 300)
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError(f"{where}: more than {_LARGEST} bytes. It should be a small JSON file")
        truth = Truth.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ValueError(
            f"{pair} has no truth: {where}: {error.strerror or error}. Allowed: a folder "
            f"{pair} in truths, with a file {_FILES[0]}. Add it, or leave {pair} out of pairs"
        ) from None
    except ValidationError as error:
        raise ValueError(f"{where}: {_first(error)}. See docs/league.md for its keys") from None
    if truth.direction:
        direction_of(truths, pair)
    return truth


def direction_of(truths: Path, pair: str) -> np.ndarray:
    """The planted direction, Float64 `[d]`, of length 1. ValueError where there is none."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = truths / pair / _FILES[1]
    where = for_terminal(str(file), 300)
    wanted = "Allowed: a tensor `direction` of float32 or float64 with one axis, of length 1"
    try:
        found = np.asarray(load_file(file)["direction"], np.float64)
    except OSError as error:
        raise ValueError(f"{where}: {error.strerror or error}. {wanted}") from None
    except KeyError:
        raise ValueError(f"{where}: has no tensor direction. {wanted}") from None
    except (SafetensorError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: {for_terminal(str(error), 200)}. {wanted}") from None
    size = float(np.linalg.norm(found)) if found.ndim == 1 else float("nan")
    if not abs(size - 1) < 1e-3:
        raise ValueError(
            f"{where}: direction has shape {found.shape} and length {size:g}. {wanted}"
        )
    return np.asarray(found / size)


def truths_of(truths: Path, pairs: tuple[str, ...]) -> Mapping[str, Truth]:
    """The truth of every pair; ValueError for the first one that is none."""
    return {pair: read_truth(truths, pair) for pair in pairs}


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, by its key."""
    one = error.errors(include_url=False, include_input=False)[0]
    at = ".".join(for_terminal(str(part), 60) for part in one["loc"])
    said = one["msg"].removeprefix("Value error, ")
    return f"{at}: {said}" if at else for_terminal(said, 300)
