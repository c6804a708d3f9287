"""`harness new KIND NAME`: a package with a plugin that works, to start one's own from.

What is written are the files of `templates/common`, of `templates/example` where there is an
example task, and of `templates/<kind>`, which come last and may replace one, and the licence of
`templates/licenses` that was chosen; each is a jinja2 template. In their paths PACKAGE stands for
the import package.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from harness.authoring.new.names import License, Names, named
from harness.errors import UsageError
from harness.registry import Registry
from harness.text import for_terminal

TEMPLATES = Path(__file__).parent / "templates"
_SUFFIX = ".jinja"


def create(kind: str, name: str, out: Path, registry: Registry, license: License = "MIT") -> str:
    """Writes the package into `out` and returns what to do next. All of it is written, or nothing.

    Raises UsageError for an unknown kind, a name that cannot be used, and where the folder exists.
    """
    names = named(kind, name, registry, license)
    folder = out / names.distribution
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder}: is there already. Give another name, or remove it.")
    out.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{names.distribution}-", dir=out))
    try:
        for path, text in files(names):
            file = scratch / "new" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        (scratch / "new").rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _next(names, folder)


def files(names: Names) -> Iterator[tuple[Path, str]]:
    """The files of the package, by their paths in it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # it is Python, TOML and Markdown, from names of letters and digits
    )
    for part in ("common", *(["example"] if names.example else []), names.kind):
        for file in sorted((TEMPLATES / part).rglob(f"*{_SUFFIX}")):
            path = file.relative_to(TEMPLATES / part).as_posix().removesuffix(_SUFFIX)
            template = environment.get_template(file.relative_to(TEMPLATES).as_posix())
            yield Path(path.replace("PACKAGE", names.package)), template.render(asdict(names))
    license = environment.get_template(f"licenses/{names.license}{_SUFFIX}")
    yield Path("LICENSE"), license.render(asdict(names))


def _next(names: Names, folder: Path) -> str:
    where = for_terminal(str(folder), 300)
    quoted = f"'{where}'" if " " in where else where
    steps = [
        f"pip install -e '{where}[dev]'",
        f"pytest {quoted}",
        f"harness plugins check {names.package}",
    ]
    if names.weights:
        steps.append(f"python -m {names.package}.samples {quoted}/example/{names.weights}")
    if names.example:
        steps.append(f"harness check {quoted}/example/task.toml")
    listed = "\n".join(f"  {step}" for step in steps)
    return f"""{where} is written. Next:
{listed}
Then make {names.package}/{names.module}.py your own; its README says how."""
