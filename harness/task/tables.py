"""What all tables of a task file have in common, and the plain values that stand in them."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, StringConstraints

from harness.contract.component import Kind
from harness.contract.described import Described

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
Scalar = str | int | float | bool
Sweep = dict[Name, Annotated[list[Scalar], Field(min_length=1)]]


class Spec(Described):
    """A table whose unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PluginSpec(Spec):
    """A table whose further keys are the options of a plugin."""

    model_config = ConfigDict(extra="allow")

    kind: ClassVar[Kind]
    """The kind of component that it configures."""
    key: ClassVar[str] = "method"
    """The key that names the component."""
