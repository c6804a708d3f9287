"""The names in a new package, made of the one that its author gives."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from typing import Literal, get_args

from harness import contract
from harness.contract import CONTRACT, Kind
from harness.errors import UsageError, unknown
from harness.registry import Registry
from harness.version import __version__

_FORM = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", re.ASCII)
_LONGEST = 30
_KINDS: dict[Kind, tuple[str, str, str, str]] = {
    "backend": ("Backend", "backend", "a small model, read from one file", "refusal_score@1"),
    "sae_format": ("Format", "sae", "SAEs of one safetensors file", "fvu.pooled@1"),
    "metric": (
        "Metric",
        "metric",
        "how far apart both sides are, relative to the left one",
        "{}.ratio_of_means@1",
    ),
    "statistic": ("Statistic", "statistic", "the mean activation, and its length", "{}.norm@1"),
    "direction": ("Finder", "direction", "the mean activation over some prompts", "{}.norm@1"),
    "intervention": (
        "Intervention",
        "intervention",
        "scales what an activation has of a direction",
        "refusal_score@1",
    ),
    "evaluator": ("Evaluator", "evaluator", "whether a completion asks something", "{}.asks@1"),
    "labels": ("Labels", "labels", "in which tables of the run a feature stands", ""),
    "analysis": ("Analysis", "analysis", "how far one number is spread over a run", "{}.range@1"),
    "observer": ("Observer", "observer", "a line for each stage that took long", ""),
    "executor": ("Executor", "executor", "processes that a command starts", ""),
    "section": ("Section", "section", "how many numbers of each name there are", ""),
    "export": ("Export", "export", "the numbers of a run as a table in Markdown", ""),
}
"""For each kind, how its class ends, which module holds it, what the template does, and a record
that its example makes."""


License = Literal["MIT", "BSD-3-Clause", "Apache-2.0"]
LICENSES: tuple[License, ...] = get_args(License)


@dataclass(frozen=True)
class Names:
    """What the templates are filled with."""

    kind: Kind
    component: str
    """Its name in a task: `top_cosine`."""
    stem: str
    """What all its classes begin with: `TopCosine`."""
    cls: str
    """The class that `Component.load` names: `TopCosineMetric`."""
    options: str
    """The class of its options: `TopCosineOptions`."""
    module: str
    """The module that holds the class."""
    summary: str
    """What it does, as it comes."""
    record: str
    """The id of a record that the example task makes; empty where there is no example."""

    example: bool
    """Whether it comes with a task: labels need an SAE, no task names a section or an export."""
    weights: str
    """The file of random weights that its example reads; empty where it needs none."""
    distribution: str
    """What pip calls it: `harness-top-cosine`."""
    package: str
    """What Python and the plugin list call it: `harness_top_cosine`."""
    words: str
    """The kind for people: `sae format`."""
    license: License = "MIT"
    """Under which the package may be used, as SPDX writes it."""
    version: str = __version__
    """That of the harness."""
    contract: str = CONTRACT
    """That of the contract."""


def named(kind: str, name: str, registry: Registry, license: License = "MIT") -> Names:
    """The names for a new component. Raises UsageError where `kind` or `name` cannot be used."""
    chosen: Kind = kind.replace("-", "_")  # type: ignore[assignment]
    if chosen not in get_args(Kind):
        allowed = [one.replace("_", "-") for one in get_args(Kind)]
        raise UsageError(unknown("kind of component", kind, allowed))
    where = f"harness new {kind.replace('_', '-')} {name!r:.60}"
    if not _FORM.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"{where}: is no name. Allowed: small letters and digits, words joined by - or _, at "
            f"most {_LONGEST}, such as top-cosine."
        )
    component = name.replace("-", "_")
    stem = "".join(word.capitalize() for word in component.split("_"))
    suffix, module, summary, record = _KINDS[chosen]
    names = Names(
        kind=chosen,
        component=component,
        stem=stem,
        cls=stem.removesuffix(suffix) + suffix,
        options=f"{stem}Options",
        module=module,
        summary=summary,
        record=record.format(component),
        example=bool(record),
        weights=f"random.{component}.safetensors" if chosen in ("sae_format", "backend") else "",
        distribution=f"harness-{component.replace('_', '-')}",
        package=f"harness_{component}",
        words=chosen.replace("_", " "),
        license=license,
    )
    if keyword.iskeyword(component):
        raise UsageError(f"{where}: is a word of Python. Give another name.")
    for taken in (names.cls, names.options):
        if hasattr(contract, taken):
            raise UsageError(f"{where}: {taken} is a name of the contract. Give another name.")
    if names.package in {plugin.name for plugin in registry.plugins}:
        raise UsageError(
            f"{where}: a plugin {names.package} is installed. Give another name, or uninstall it."
        )
    owners = [one for one in registry.of(chosen) if one.component.name == component]
    if owners:
        raise UsageError(
            f"{where}: there is a {names.words} of this name, {owners[0]}. Give another name."
        )
    return names
