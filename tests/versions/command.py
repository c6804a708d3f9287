"""The command: the suite in a fresh environment of chosen versions."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import click
from packaging.requirements import Requirement

from .bounds import Allowed, allowed
from .place import find, make

ROOT = Path(__file__).resolve().parents[2]
USUAL = ("-n", "2", "--dist", "loadfile")


def chosen(which: str, given: Allowed) -> tuple[str, tuple[str, ...]]:
    """The Python and the constraints that a word of the command stands for."""
    if which == "lowest":
        return given.pythons[0], given.lowest()
    return (given.pythons[-1] if which == "highest" else which), ()


def table(packages: tuple[Requirement, ...], installed: dict[str, str]) -> str:
    """Which version is there of each package that the project names, and which are allowed."""
    rows = [
        (one.name, installed.get(one.name.lower().replace("_", "-"), "-"), str(one.specifier))
        for one in packages
    ]
    wide = [max(len(row[k]) for row in rows) for k in range(2)]
    return "\n".join(f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c}" for a, b, c in sorted(rows))


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("which")
@click.argument("pytest", nargs=-1, type=click.UNPROCESSED)
@click.option("--folder", type=click.Path(path_type=Path), help="Where the environment is made, and"
              " stays; else it is made elsewhere and removed.")  # fmt: skip
def main(which: str, pytest: tuple[str, ...], folder: Path | None) -> None:
    """Runs the tests in a fresh environment: WHICH is `lowest` (each package at its lower bound, on
    the lowest Python), `highest` (the newest versions, on the highest Python), or a Python such as
    `3.11` (the newest versions on it).

    What follows goes to pytest in place of `-n 2 --dist loadfile`: folders, files, `-k WORDS`. It
    downloads several gigabytes where a CUDA build of torch is the newest: settings of pip and uv
    in the environment (PIP_EXTRA_INDEX_URL, UV_TORCH_BACKEND=cpu) count.
    """
    given = allowed(ROOT / "pyproject.toml")
    if which not in ("lowest", "highest", *given.pythons):
        words = ", ".join(("lowest", "highest", *given.pythons))
        raise click.UsageError(f"WHICH: {which!r} is none of {words}.")
    version, constraints = chosen(which, given)
    python = find(version)
    if python is None:
        raise click.UsageError(
            f"WHICH: {which} needs Python {version}, which is not on the path, of pyenv, or of uv."
            f" Install it (`uv python install {version}`), or choose another."
        )
    if folder is not None and folder.exists():
        raise click.UsageError(f"--folder: {folder} is there already. Name a new one.")
    at = folder or Path(tempfile.mkdtemp(prefix="versions-")) / which
    try:
        place = make(ROOT, at.resolve(), python, constraints)
        done = place.installed()
        print(f"\nPython {version}, {which}:\n{table(given.packages, done)}\n", flush=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HARNESS"))}
        env |= {"PATH": f"{place.python.parent}{os.pathsep}{env['PATH']}", "HF_HUB_OFFLINE": "1"}
        ran = subprocess.run(
            [place.python, "-m", "pytest", "-q", *(pytest or USUAL)], cwd=ROOT, env=env
        )
    except subprocess.CalledProcessError as error:
        raise click.ClickException(
            f"{which}: the environment could not be made (exit status {error.returncode}; the"
            " lines above say why)."
        ) from None
    finally:
        if folder is None:
            shutil.rmtree(at.parent, ignore_errors=True)
    raise SystemExit(ran.returncode)
