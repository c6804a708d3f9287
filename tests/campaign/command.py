"""`python -m tests.campaign NAME --seed S --n N`: tries N things, and goes on where it was."""

from __future__ import annotations

import importlib
import random
import resource
from pathlib import Path

import click

from campaign import tally
from campaign.tally import Line
from campaign.trial import Campaign, Shared, Tries

NAMES = ("kills", "mutants", "files", "strings")
"""Each is a module of this folder with a `CAMPAIGN`."""


@click.command()
@click.argument("name", type=click.Choice([*NAMES, "tally"]))
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--seed", default=0, help="Another seed, other tries.")
@click.option("--n", "count", default=1, type=click.IntRange(1), help="How many are tried.")
@click.option("--first", default=0, help="The number of the first: parts add up.")
@click.option(
    "--out", default=Path("runs/campaign"), type=click.Path(path_type=Path), show_default=True,
    help="Where lines and shared files are kept.",
)  # fmt: skip
def main(
    name: str, folders: tuple[Path, ...], seed: int, count: int, first: int, out: Path
) -> None:
    """Makes things wrong by chance, tries them, and counts what became of them.

    `tally FOLDER…` adds up the parts of several machines. What was tried before in --out is not
    tried again, but for faults. Ends with 1 where a promise was broken.
    """
    if name == "tally":
        found = [*tally.all_lines([*folders] or [out]).values()]
    else:
        campaign: Campaign = importlib.import_module(f"campaign.{name}").CAMPAIGN
        out.mkdir(parents=True, exist_ok=True)
        place = (out / "shared" / name).resolve()
        place.mkdir(parents=True, exist_ok=True)
        numbers = range(first, first + count)
        if isinstance(campaign, Shared):
            with campaign.several(place) as tries:
                found = run(name, tries, out, seed, numbers, campaign.together)
        else:
            with campaign.ready(place) as attempt:
                found = run(name, lambda chances: [attempt(chances[0])], out, seed, numbers)
    for text in tally.told(found):
        click.echo(text)
    if any(line.tried.fault for line in found):
        raise SystemExit(1)


def run(
    name: str, tries: Tries, out: Path, seed: int, numbers: range, together: int = 1
) -> list[Line]:
    """Tries what was not tried yet, or was a fault then. A line is written after each."""
    file = tally.file_of(out, name, seed, numbers.start)
    known = {line.number: line for line in tally.lines(file) if not line.tried.fault}
    left = [number for number in numbers if number not in known]
    for start in range(0, len(left), together):
        part = left[start : start + together]
        before = processor()
        found = tries([random.Random(f"{name} {seed} {number}") for number in part])
        each = round((processor() - before) / len(part), 3)
        for number, tried in zip(part, found, strict=True):
            line = Line(name, seed, number, each, tried)
            tally.append(file, line)
            known[number] = line
            if tried.fault:
                click.echo(f"fault: {tried.group}: {tried.what}. Again: {line.again}", err=True)
    return [known[number] for number in numbers]


def processor() -> float:
    """Seconds of the processor that this process and those that it has waited for have used."""
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(one) for one in both]
    return sum(one.ru_utime + one.ru_stime for one in used)
