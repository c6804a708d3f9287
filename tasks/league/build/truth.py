"""What is known of a model of the league: the form of truth.json, written and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors.torch import save_file
from torch import Tensor

Kind = Literal[
    "moved_feature", "written_direction", "rank_one_edit",
    "trigger", "false_fact", "persona", "benign",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
PLANTED: dict[Kind, Literal["weights", "training", "nothing"]] = {
    "moved_feature": "weights", "written_direction": "weights", "rank_one_edit": "weights",
    "trigger": "training", "false_fact": "training", "persona": "training", "benign": "nothing",
}  # fmt: skip
Number = float | int
Measured = Number | str | tuple[Number, ...]


class Truth(BaseModel):
    """What was put into a model: the words, latents and vectors that a method may find.

    `words` stand as in running text, with the blank before them; `tokens` are their ids, one each.
    In `measured`, two numbers are the base's and this model's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    seed: int = Field(ge=0)
    planted: Literal["weights", "training", "nothing"]
    text: str = Field(min_length=1)
    site: str | None
    latents: tuple[int, ...]
    words: tuple[str, ...]
    tokens: tuple[int, ...]
    direction: bool
    strength: dict[str, Measured]
    share_of_prompts: float | None = Field(ge=0, le=1)
    measured: dict[str, Measured]

    @model_validator(mode="after")
    def _fits(self) -> Truth:
        if len(self.words) != len(self.tokens):
            raise ValueError("words and tokens differ in number")
        if self.planted != PLANTED[self.kind]:
            raise ValueError(f"a {self.kind} is planted by {PLANTED[self.kind]}")
        if self.direction != (self.planted == "weights"):
            raise ValueError("a direction is known of what was planted by weights, of nothing else")
        if (self.kind == "moved_feature") != bool(self.latents):
            raise ValueError("latents are those of a moved feature, which has some")
        return self

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"{self.kind}-{self.seed}"


def write_truth(folder: Path, truth: Truth, tensors: dict[str, Tensor]) -> None:
    """truth.json, and the vectors beside it where some are known."""
    if tensors:
        whole = {name: one.float().contiguous() for name, one in tensors.items()}
        save_file(whole, folder / "truth.safetensors")
        (folder / "truth.safetensors").chmod(0o644)
    text = json.dumps(truth.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    (folder / "truth.json").write_text(text, encoding="utf-8")


def read_truth(folder: Path) -> Truth:
    """The truth of one model."""
    return Truth.model_validate_json((folder / "truth.json").read_text(encoding="utf-8"))
