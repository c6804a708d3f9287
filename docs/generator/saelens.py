"""The page of sae_lens' releases: which are read, at which sites, by which format, or why not."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version

from generator.markdown import code, joined, table
from harness_saes.formats.saelens.kinds import KINDS, Kind, Reading, reading
from harness_saes.formats.saelens.listed import NATIVE, ListedSae, Release, releases

MADE = "<!-- Made by docs/list_releases.py for sae-lens {}. Edit that, not this. -->"
_NUMBER = re.compile(r"(?<=[a-z])\.\d+\b")
Walked = Sequence[tuple[Release, ListedSae, Reading]]
"""Every SAE of the list, and how it is read."""


def walk() -> Walked:
    """The list that is installed."""
    return [(release, sae, reading(release, sae)) for release in releases()
            for sae in release.saes.values()]  # fmt: skip


def page(walked: Walked) -> str:
    """The page, for the version of sae-lens that is installed."""
    sections = (part for kind in _order(walked) for part in _section(kind, walked))
    made = MADE.format(version("sae-lens"))
    return joined([made, "# The releases of SAELens", *_intro(walked), *sections])


def _intro(walked: Walked) -> Iterator[str]:
    names = {release.name for release, _, _ in walked}
    placed = sum(found.facts.site is not None for _, _, found in walked)
    refused = sum(found.refused is not None for _, _, found in walked)
    yield (
        f"sae-lens {version('sae-lens')} lists {len(names)} releases with {len(walked):,} SAEs. "
        f"{placed:,} of them are read at the sites below, without a word in the task about where; "
        f"{len(walked) - placed - refused} where the task says; {refused or 'none'} refused. Why "
        "stands below their table. Each is named by `release` and `id` with "
        '`format = "saelens"`, which has SAELens\' own converter read the files. Where a format of '
        "the harness reads the same files, its name and keys stand above the table: it needs no "
        "converter, and takes a `revision`."
    )
    yield (
        "The page is made by walking the list with the code that `harness check` uses; sites come "
        "from the names of files and from the hooks that SAELens states. Files in the layout of "
        "each kind are loaded through SAELens' converter and through the harness and compared: "
        "latents and reconstructions agree to 1e-12 in float64, those of the scopes to 1e-5 in "
        "float32 (`tests/plugins/saes_scopes/`). Latents differ on purpose where lengths of "
        "decoder rows count to the original and not to SAELens: those of Llama Scope, and of "
        "dictionary_learning's AutoEncoder. No published file was loaded: the hub could not be "
        "reached from where this was made. More on each format: [formats.md](formats.md)."
    )


def _order(walked: Walked) -> list[str]:
    """The kinds that have releases: SAELens' own first, then by their names."""
    kinds = {release.kind for release, _, _ in walked}
    return sorted(kinds, key=lambda kind: (kind != NATIVE, _kind(kind).files.lower()))


def _kind(name: str) -> Kind:
    return KINDS.get(name) or Kind(f"Files of {name}", lambda release, sae: (None, None))


def _section(name: str, walked: Walked) -> Iterator[str]:
    mine = [one for one in walked if one[0].kind == name]
    kind = _kind(name)
    yield f"## {kind.files}"
    yield _how(kind, mine)
    reasons = list(dict.fromkeys(why for _, _, found in mine if (why := _reason(found))))
    by_release: dict[str, list[tuple[Release, ListedSae, Reading]]] = {}
    for one in mine:
        by_release.setdefault(one[0].name, []).append(one)
    rows = [_row(some, reasons) for _, some in sorted(by_release.items())]
    yield table(("release", "repository", "model", "SAEs", "reads"), rows)
    yield "\n".join(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))
    notes = dict.fromkeys(found.note for _, _, found in mine if found.note)
    yield "\n".join(f"A note in the results says of these: {note}" for note in notes)


def _how(kind: Kind, mine: Walked) -> str:
    """The formats, with what a task writes for the first SAE that is read."""
    read = next((one for one in mine if one[2].facts.site is not None), mine[0])
    release, sae, found = read
    keys = {"saelens": {"release": release.name, "id": sae.id}}
    if kind.own is not None:
        keys[kind.own.format] = kind.own.keys(release, sae)
    ways = []
    for format in found.formats:
        told = ", ".join(f"{key} = {json.dumps(value)}" for key, value in keys[format].items())
        ways.append(f"{code(format)} with {code(told)}")
    return f"Format {', or '.join(ways)}. {kind.remark}".strip()


def _row(some: Walked, reasons: Sequence[str]) -> tuple[str, ...]:
    release = some[0][0]
    models = {_short(str(found.facts.model)): str(found.facts.model) for _, _, found in some}
    model = ", ".join(sorted(models.values()))
    if _short(release.model) not in models:
        model += f" (the list says {release.model})"
    return release.name, release.repository, model, str(len(some)), "; ".join(_reads(some, reasons))


def _short(model: str) -> str:
    return model.rpartition("/")[2].lower()


def _reads(some: Walked, reasons: Sequence[str]) -> Iterator[str]:
    """Sites with their blocks, and how many are placed by the task or refused for which reason."""
    layers: dict[tuple[str, str], set[int]] = {}
    others: Counter[str] = Counter()
    for _, _, found in some:
        site, out = found.facts.site, found.facts.site_out
        if (why := _reason(found)) is not None:
            what = "refused" if found.refused else "where the task says"
            others[f"{what} ({reasons.index(why) + 1})"] += 1
        elif site is not None and site.layer is not None:
            layers.setdefault((site.kind, out.kind if out else ""), set()).add(site.layer)
    for (reads, writes), where in sorted(layers.items()):
        yield f"{code(reads)}{f' → {code(writes)}' if writes else ''} {_ranges(where)}"
    for what, count in sorted(others.items()):
        yield f"{count} {what}"


def _reason(found: Reading) -> str | None:
    """Why names do not place an SAE, for any block; None where they do."""
    why = found.refused or found.unplaced
    return None if why is None else _NUMBER.sub(".L", why)


def _ranges(numbers: Iterable[int]) -> str:
    """`0–25`, `3, 7, 11`: neighbours joined where there are three or more of them."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs
    )
