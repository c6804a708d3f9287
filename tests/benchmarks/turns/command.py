"""The command: which benchmarks became slower since a commit."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from turns.against import FOLDER, Outcome, against
from turns.compare import HEADER, MORE
from turns.series import Asked, benchmarks
from turns.tree import Tree, WrongCode, checkout

ROOT = Path(__file__).resolve().parents[3]


@click.command()
@click.option("--against", "commit", required=True, metavar="COMMIT",
              help="The commit that is compared with this checkout.")  # fmt: skip
@click.option("--python", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="The other commit's Python, with what it needs; else this one.")  # fmt: skip
@click.option("--only", "names", multiple=True, metavar="NAME",
              help="Only this benchmark; may be given several times.")  # fmt: skip
@click.option("--turns", default=5, type=click.IntRange(1), show_default=True,
              help="How often each benchmark runs on each side.")  # fmt: skip
@click.option("--repeats", default=3, type=click.IntRange(1), show_default=True,
              help="How often a benchmark measures each time it runs.")  # fmt: skip
@click.option("--toy", is_flag=True, help="Toy shapes, to see that all of it runs.")
@click.option("--root", default=ROOT, type=click.Path(path_type=Path), hidden=True)
def main(
    commit: str, python: Path | None, names: tuple[str, ...], turns: int, repeats: int,
    toy: bool, root: Path,
) -> None:  # fmt: skip
    """Runs the benchmarks in turns with those of another commit: who became slower?

    Every script of tests/benchmarks that has a function `series` is run, in a process of its own,
    first on the code of this checkout, then on that of COMMIT (today's script on the code of then;
    where it doesn't work there, that commit's own, if it has one), and the other way round in the
    next turn. Ends with 1 where something of ours takes more than 1.05 times as long: the median
    over the turns, and the whole interval of the median above 1; with 2 where nothing of theirs
    could be compared.
    """
    known = benchmarks(root / FOLDER)
    for name in names:
        if name not in known:
            raise click.UsageError(f"--only: {name!r} is none of {', '.join(known)}.")
    own = Path(sys.executable)
    with tempfile.TemporaryDirectory(prefix="against-") as scratch:
        place = Path(scratch)
        try:
            with checkout(root, commit, place / "tree") as other:
                trees = []
                for label, at, with_python in (
                    ("here", root, own),
                    ("there", other, (python or own).absolute()),
                ):
                    (place / label).mkdir()
                    tree = Tree(at, with_python, place / label)
                    tree.check()
                    trees.append(tree)
                click.echo(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores", err=True)
                asked = Asked(toy, repeats, ours=True)
                found = list(
                    against(*trees, names, asked, turns, lambda s: click.echo(s, err=True))
                )
        except WrongCode as error:
            raise click.ClickException(
                f"--against {commit}: {error}. Give --python an environment in which only the"
                " packages that it needs are installed."
            ) from None
        except subprocess.CalledProcessError as error:
            raise click.UsageError(
                f"--against: git can't check out {commit!r}: {error.stderr.strip()[-200:]}."
                " Name a commit of this repository, such as HEAD~1."
            ) from None
    for line in report(found):
        click.echo(line)
    if not any(one.ours for outcome in found for one in outcome.changes):
        raise SystemExit(2)
    if any(one.verdict == "slower" for outcome in found for one in outcome.changes if one.ours):
        raise SystemExit(1)


def report(found: list[Outcome]) -> list[str]:
    """The table, what could not be compared, and what became slower."""
    rows = [*HEADER, *(one.row for outcome in found for one in outcome.changes)]
    notes = [f"{one.benchmark}: {one.note}" for one in found if one.note]
    ours = [one for outcome in found for one in outcome.changes if one.ours]
    said = []
    for verdict, words in (
        ("slower", "slower"),
        ("perhaps slower", "perhaps slower, more --turns"),
    ):
        some = [f"{one.benchmark}, {one.name}" for one in ours if one.verdict == verdict]
        said += [f"{words}: {'; '.join(some)}"] if some else []
    none = f"nothing of ours takes more than {MORE:g} times as long"
    if not ours:
        none = "nothing could be compared"
    return [*rows, "", *notes, *(said or [none])]
