"""The command: builds what is released, looks at it, and tries it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from versions.bounds import allowed
from versions.command import chosen
from versions.place import find, make

from .build import Built, again, build, digest, time_of
from .contents import TOP, in_sdist, in_wheel, of_wheel
from .tried import Installed, first_command, plugin

ROOT = Path(__file__).resolve().parents[2]


def problems(built: Built, second: Built, root: Path, version: str) -> list[str]:
    """What is wrong with what was built; nothing where it may be released."""
    found = [
        f"{one.name}: the sdist builds another one"
        for one, other in ((built.sdist, second.sdist), (built.wheel, second.wheel))
        if digest(one) != digest(other)
    ]
    there, needed = in_wheel(built.wheel), of_wheel(root, version)
    found += [f"the wheel lacks {name}" for name in sorted(needed - there)]
    found += [f"the wheel has {name}" for name in sorted(there - needed)]
    top = {name.partition("/")[0] for name in in_sdist(built.sdist)}
    found += [f"the sdist lacks {name}" for name in TOP if name not in top]
    found += [f"the sdist has {name}" for name in sorted(top - {*TOP})]
    return found


def version_of(root: Path) -> str:
    """The version in the one place that has it."""
    names: dict[str, str] = {}
    exec((root / "harness" / "version.py").read_text(encoding="utf-8"), names)
    return names["__version__"]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "dist",
              help="Where sdist and wheel go [dist/].")  # fmt: skip
@click.option("--install", "which", help="Try the wheel, too, in an empty environment: `lowest`, "
              "`highest`, or a Python such as 3.11.")  # fmt: skip
def main(out: Path, which: str | None) -> None:
    """Builds sdist and wheel twice, and says whether both times came out the same and hold what
    they must. With --install, the wheel is installed alone and its first commands are run.

    The environment downloads torch: settings of pip and uv (PIP_EXTRA_INDEX_URL, UV_TORCH_BACKEND,
    UV_FIND_LINKS) count.
    """
    epoch, version = time_of(ROOT), version_of(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        built = build(ROOT, Path(folder) / "dist", epoch)
        wrong = problems(built, again(built, Path(folder) / "again", epoch), ROOT, version)
        for line in wrong:
            click.echo(line, err=True)
        if wrong:
            raise SystemExit(1)
        out.mkdir(parents=True, exist_ok=True)
        kept = [Path(shutil.copy(file, out)) for file in (built.sdist, built.wheel)]
    for file in kept:
        click.echo(f"{digest(file)}  {file}  {file.stat().st_size / 1e6:.1f} MB")
    if importlib.util.find_spec("twine"):
        subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *kept], check=True)
    if which is not None:
        _try(kept[1], which)


def _try(wheel: Path, which: str) -> None:
    """Installs the wheel with the lowest or the highest versions that it allows, and runs it."""
    python, constraints = chosen(which, allowed(ROOT / "pyproject.toml"))
    found = find(python)
    if found is None:
        raise click.UsageError(f"--install {which}: needs Python {python}, which is not here.")
    with tempfile.TemporaryDirectory() as folder:
        place = make(ROOT, Path(folder) / "venv", found, constraints, [str(wheel)])
        made, empty = Installed(place.folder, wheel), Path(folder) / "empty"
        empty.mkdir()
        for line in first_command(made, empty):
            click.echo(line)
        click.echo(plugin(made, empty))
