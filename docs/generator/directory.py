"""The page of plugins: those of others, from entry files; ours; and the examples of our tests."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args

from jinja2 import Environment, StrictUndefined
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from generator.installed import built_in
from generator.markdown import code, joined, note, prose, table
from harness.contract import Kind
from harness.errors import unknown

HERE = Path(__file__).parent
ENTRIES = HERE.parent / "directory"
"""A TOML file for each plugin of others."""
EXAMPLES = HERE.parents[1] / "tests" / "thirdparty"
"""Packages of strangers, as our tests have them."""
TEXT = Path(__file__).with_name("directory.md")
EXAMPLE = """\
package = "harness-growth"
summary = "how much longer a fine-tune makes activations"
provides = ["metric: growth"]
repository = "https://github.com/you/harness-growth"
license = "MIT"
harness = ">=0.1,<1"
"""


def _one_line(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be one line, without control characters")
    return text


def _component(text: str) -> str:
    kind, colon, name = text.partition(": ")
    if kind not in get_args(Kind):
        raise ValueError(unknown("kind of component", kind, get_args(Kind)))
    if not colon or not name.isidentifier():
        raise ValueError('must be "kind: name", such as "metric: growth"')
    return text


Line = Annotated[str, Field(min_length=1, max_length=120), AfterValidator(_one_line)]


class Entry(BaseModel):
    """A plugin of others, as its file in `docs/directory` says it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    package: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=60)
    """Its name on PyPI, in the normal spelling; the file is called like it."""
    summary: Line
    """What it does."""
    provides: Annotated[tuple[Annotated[str, AfterValidator(_component)], ...], Field(min_length=1)]
    """Its components, each as `kind: name`."""
    repository: str = Field(pattern=r"^https://[A-Za-z0-9.-]+/[A-Za-z0-9._/-]+$", max_length=200)
    """Where its code lies and what is wrong with it can be reported."""
    license: Line
    """Its licence, as SPDX writes it."""
    harness: str = Field(pattern=r"^[<>=!~0-9., ]+$", max_length=60)
    """The versions of sae-harness that it was tested with."""
    status: Literal["maintained", "archived"] = "maintained"
    """Whether somebody still answers."""


def read(file: Path) -> Entry:
    """The entry in a file. ValueError where it is none, or is not called like its package."""
    entry = Entry.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    if file.stem != entry.package:
        raise ValueError(f"{file.name}: must be called {entry.package}.toml")
    return entry


def page(entries: Path = ENTRIES, examples: Path = EXAMPLES) -> str:
    """The page."""
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string(TEXT.read_text(encoding="utf-8"))
    text = template.render(
        listed=_listed([read(file) for file in sorted(entries.glob("*.toml"))]),
        built_in=_built_in(),
        examples=_examples(examples),
        example=EXAMPLE,
    )
    return joined(
        [note("docs/generator/directory.md and the files in docs/directory"), text.strip()]
    )


def _listed(entries: list[Entry]) -> str:
    if not entries:
        return "None is listed yet. Yours can be the first."
    rows = [
        (
            f"[{entry.package}]({entry.repository})"
            + (" (archived)" if entry.status == "archived" else ""),
            prose(entry.summary),
            ", ".join(map(code, entry.provides)),
            code(entry.harness),
            prose(entry.license),
        )
        for entry in entries
    ]
    return table(("package", "what it does", "provides", "harness", "licence"), rows)


def _built_in() -> str:
    rows = [
        (
            code(plugin.name),
            ", ".join(dict.fromkeys(one.kind.replace("_", " ") for one in plugin.components)),
            ", ".join(code(one.name) for one in plugin.components),
        )
        for plugin in built_in().plugins
    ]
    return table(("plugin", "kind", "components"), rows)


def _examples(folder: Path) -> str:
    rows = []
    for project in sorted(folder.glob("*/pyproject.toml")):
        about = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        modules = about["entry-points"]["harness"].values()
        provides = [one for module in modules for one in _declared(project.parent, module)]
        where = f"../tests/thirdparty/{project.parent.name}"
        rows.append(
            (
                f"[{about['name']}]({where})",
                prose(about["description"]),
                ", ".join(map(code, provides)),
            )
        )
    return table(("package", "what it does", "provides"), rows)


def _declared(project: Path, module: str) -> Iterator[str]:
    """The components that a plugin's module lists, read from its source."""
    stem = project / module.partition(":")[0].replace(".", "/")
    file = stem.with_suffix(".py") if stem.with_suffix(".py").is_file() else stem / "__init__.py"
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Component":
            given = dict(zip(("kind", "name"), node.args, strict=False))
            given |= {word.arg: word.value for word in node.keywords if word.arg}
            kind, name = (getattr(given.get(key), "value", "?") for key in ("kind", "name"))
            yield f"{kind}: {name}"
