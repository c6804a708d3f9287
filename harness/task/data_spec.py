"""Tables that say which rows are read: `[data.NAME]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from harness.contract import LocalPath
from harness.task.tables import Scalar, Spec


class ExpectData(Spec):
    """What is known of rows that are not read beforehand, for `harness plan` alone."""

    tokens: int | None = Field(None, ge=1)
    """How long they are on average, in tokens; without it, a guess."""


class DataSpec(Spec):
    """Rows to work on: `[data.NAME]`, from one of `file`, `hub` or `url`."""

    file: LocalPath | None = None
    """A jsonl, json, csv, tsv, parquet or txt file; it may be packed, as in `rows.jsonl.zst`."""
    hub: str | None = None
    """A dataset id on the Hugging Face hub."""
    url: str | None = None
    """An https address of a file; needs `sha256`."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    """What the file must hash to."""
    config: str | None = None
    """Hub: the dataset's configuration."""
    split: str = "train"
    """Hub: the split."""
    revision: str | None = None
    """Hub: branch, tag or commit."""
    column: str = "text"
    """The column that holds the text, or the conversation as a list of role and content, or of from
    and value, as ShareGPT has it."""
    where: dict[str, Scalar] = Field(default_factory=dict)
    """Only rows whose columns have these values."""
    at_least: dict[str, float] = Field(default_factory=dict)
    """Only rows whose columns are numbers of at least so much, such as a judge's scores. A row
    without a number there, such as one that a judge could not score, is left out."""
    below: dict[str, float] = Field(default_factory=dict)
    """Only rows whose columns are numbers below so much; likewise."""
    skip: int = Field(0, ge=0, lt=2**62)
    """Leave so many rows out first, so that two draws of one source do not overlap."""
    limit: int | None = Field(None, ge=1, lt=2**62)
    """So many rows are read; fewer are an error. What `on_bad_rows` leaves out is among them."""
    at_most: int | None = Field(None, ge=1, lt=2**62)
    """A cap that may lie above what there is; `--limit` sets it."""
    shuffle: int | None = None
    """Draw the rows in the order of this seed instead of the first ones."""
    stream: bool = False
    """Hub: read while downloading instead of downloading first. With `shuffle`, each row is drawn
    among the next ten thousand."""
    expect: ExpectData = ExpectData.model_construct()
    """What they are expected to be like; changes what is planned, never what is run."""
    on_bad_rows: Literal["error", "skip"] = "error"
    """What is done with rows of which a view makes no prompt, such as turns that its chat template
    refuses, turns or tools that are none, or a text that is empty or too long: `error` ends the
    run, `skip` leaves them out and counts them. A row that one view of a pair leaves out is out of
    both."""
    by: str | None = None
    """A column that sorts the rows into categories: what passes measure is also told for each."""

    @property
    def most(self) -> int | None:
        """How many rows are wanted at most; None for all that there are."""
        return min((n for n in (self.limit, self.at_most) if n is not None), default=None)

    @model_validator(mode="after")
    def _one_source(self) -> DataSpec:
        given = [name for name in ("file", "hub", "url") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of file, hub and url, not {given or 'none'}")
        if (self.url is None) != (self.sha256 is None):
            raise ValueError("url and sha256 belong together")
        if self.stream and self.hub is None:
            raise ValueError("stream is for hub datasets; files are read as they are needed anyway")
        if self.url is not None and not self.url.startswith("https://"):
            raise ValueError("url must start with https://")
        return self
