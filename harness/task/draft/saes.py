"""Finds SAEs for the base of a draft: those that a person names, or those that can be found.

Found are folders beside the model that a format claims, and else releases that a format lists for
a model of that name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.contract import PublishedSae, SaeFacts, SaeOptions, Site, parse_site
from harness.errors import HarnessError, PluginError, UsageError, listed, suggestion
from harness.registry import Owned, Registry
from harness.registry.guard import message_of
from harness.task.claiming import claiming
from harness.task.draft.asked import DraftModel, DraftSae, word
from harness.task.draft.sites import over_depth
from harness.task.origin import agree
from harness.text import for_terminal

_MOST_SEEN = 300
"""Files and folders beside a model that are looked at."""


@dataclass(frozen=True)
class FoundSaes:
    """The SAEs of a draft, and a sentence for each thing that a person should know of them."""

    saes: tuple[DraftSae, ...] = ()
    notes: tuple[str, ...] = ()


def saes(registry: Registry, base: DraftModel, wanted: Sequence[str]) -> FoundSaes:
    """The SAEs that were named, or those that are found; none, with a note, where none are.

    UsageError where one that was named is not there; ModelError where its files are wrong.
    """
    if wanted:
        named = [sae for text in wanted for sae in _fitting(registry, base, text)]
        return FoundSaes(tuple(_with_names(named)))
    beside = _beside(registry, base)
    if beside.saes:
        return beside
    published = _published(registry, base)
    if published.saes:
        return FoundSaes(published.saes, (*beside.notes, *published.notes))
    why = "" if base.names else ", whose files do not say what it is called"
    return FoundSaes(
        (),
        (
            *beside.notes,
            *published.notes,
            f"no SAEs are known for {base.name}{why}: what needs none is measured, and no "
            "features. Name some with --sae.",
        ),
    )


# ── Those that a person names ────────────────────────────────────────────────────────────────────


def _fitting(registry: Registry, base: DraftModel, text: str) -> list[DraftSae]:
    """Those that `--sae` means; UsageError where they are of another width than the base."""
    found = _named(registry, base, text)
    for sae in found:
        d_in, width = _own_width(sae.facts), base.facts.width(sae.site) if sae.site else None
        if None not in (d_in, width) and d_in != width:
            trained = f" Its files name {for_terminal(sae.facts.model)}." if sae.facts.model else ""
            raise UsageError(
                f"--sae {text}: reads {d_in} numbers per token at {sae.site}, and {base.name} has "
                f"{width}. Allowed: SAEs that were trained on {base.name}.{trained}"
            )
    return found


def _named(registry: Registry, base: DraftModel, text: str) -> list[DraftSae]:
    """The SAEs that `--sae` means: those of a folder, or of a release, perhaps at one site."""
    place, site = _parted(text)
    path = Path(place).expanduser()
    if path.exists():
        found = _on_disk(registry, path, deep=True)
        if not found:
            formats = listed(owned.component.name for owned in registry.of("sae_format"))
            raise UsageError(
                f"--sae {text}: holds no SAE that a format recognises. Allowed: the files of one "
                f"of {formats}, or a folder of such folders."
            )
        if len(found) == 1 and site is not None:
            return [_at(found[0], site)]
    else:
        found = _of_release(registry, base, place, text)
    if site is None:
        return _chosen(found, base)
    here = [sae for sae in found if sae.site == site]
    if not here:
        have = {str(sae.site) for sae in found if sae.site is not None}
        raise UsageError(f"--sae {text}: has no SAE at {site}. Allowed: {listed(have)}.")
    return here[:1]


def _parted(text: str) -> tuple[str, Site | None]:
    """The place and the site of `place@site`; without one, and in a path with an @, all of it."""
    place, separator, end = text.rpartition("@")
    if not separator or Path(text).expanduser().exists():
        return text, None
    try:
        return place, parse_site(end)
    except ValueError as error:
        raise UsageError(f"--sae {text}: {error}.") from None


def _at(sae: DraftSae, site: Site) -> DraftSae:
    """An SAE at the site that a person says; `check` holds it against the SAE's own metadata."""
    return DraftSae(sae.name, sae.format, sae.keys, sae.facts, site, sae.release)


def _of_release(registry: Registry, base: DraftModel, release: str, text: str) -> list[DraftSae]:
    named, notes = _listed(registry, _is(base))
    found = [sae for sae in named if sae.release == release]
    if not found:  # the base may lie in a folder whose name says nothing
        found = [sae for sae in _listed(registry, lambda name: True)[0] if sae.release == release]
    if found:
        return found
    known = sorted({sae.release for sae in named})
    have = f" For {base.name} there are: {listed(known)}." if known else ""
    raise UsageError(
        f"--sae {text}: no such file or folder, and no release of that name.{have} Allowed: a "
        "folder with an SAE, a folder of such folders, or a release, and @site behind it."
        f"{suggestion(release, known)}{''.join(f' {note}' for note in notes)}"
    )


# ── Those that lie beside the model ──────────────────────────────────────────────────────────────


def _beside(registry: Registry, base: DraftModel) -> FoundSaes:
    """Those in `saes/` or directly beside the model that fit it by width and by name."""
    if base.folder is None:
        return FoundSaes()
    own = base.folder if base.folder.is_dir() else base.folder.parent
    for place in (own / "saes", own.parent / "saes", own, own.parent):
        found = _on_disk(registry, place, deep=False) if place.is_dir() else []
        fitting = [sae for sae in found if _fits(sae.facts, base) and sae.site is not None]
        if fitting:
            chosen = _chosen(fitting, base)
            return FoundSaes(tuple(_with_names(chosen)), tuple(_left_out(found, chosen, place)))
        if found:
            return FoundSaes(
                (),
                (f"{len(found)} SAEs in {place} are not of {base.name}, by their width or name.",),
            )
    return FoundSaes()


def _fits(facts: SaeFacts, base: DraftModel) -> bool:
    """Whether an SAE may be of a model: its width is the model's, and its files name no other."""
    width = base.facts.width(facts.site) if facts.site else base.facts.d_model
    named = agree(facts.model, (*base.names, base.name))
    # One that reads two models may be of another pair: a person has to name it.
    return named and not facts.of_pair and (None in (facts.d_in, width) or facts.d_in == width)


def _own_width(facts: SaeFacts) -> int | None:
    """How many numbers of the base an SAE reads per token: of a crosscoder, one side's alone."""
    widths = [one.width for one in facts.inputs] or [facts.d_in]
    return widths[0]


def _left_out(found: Sequence[DraftSae], chosen: Sequence[DraftSae], place: Path) -> Iterator[str]:
    others = [sae.name for sae in found if sae not in chosen]
    if others:
        yield (
            f"SAEs of {place}: {listed(sae.name for sae in chosen)}; left out, as others of "
            f"their site or for their number: {listed(others, 6)}. Choose with --sae."
        )


def _on_disk(registry: Registry, place: Path, *, deep: bool) -> list[DraftSae]:
    """The SAEs at a place or directly below it, or with `deep` two levels below, by name."""
    own = _claimed(registry, place)
    if own is not None or not place.is_dir():
        return [own] if own else []
    below = _children(place)
    found = [sae for path in below if (sae := _claimed(registry, path)) is not None]
    if not found and deep:
        inner = [path for folder in below if folder.is_dir() for path in _children(folder)]
        found = [sae for path in inner[:_MOST_SEEN] if (sae := _claimed(registry, path))]
    return found


def _children(folder: Path) -> list[Path]:
    """What lies in a folder, plain names before longer ones; nothing where it may not be read."""
    try:
        inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
    return sorted(inside, key=lambda path: (len(path.name), path.name))[:_MOST_SEEN]


def _claimed(registry: Registry, path: Path) -> DraftSae | None:
    """The SAE that a path is, where exactly one format claims it."""
    claims = claiming(registry, str(path)).ours
    if len(claims) != 1:
        return None
    options = claims[0].options()
    assert issubclass(options, SaeOptions)
    keys = {"path": str(path.resolve())}
    try:
        facts = options(**keys).describe()
    except (HarnessError, ValueError):
        facts = SaeFacts()  # what is wrong with it is said where the task is resolved
    return DraftSae(path.name, registry.spelled(claims[0]), keys, facts, facts.site)


def _formats(registry: Registry) -> Iterator[tuple[Owned, type[SaeOptions]]]:
    for owned in registry.of("sae_format"):
        with suppress(PluginError):  # one that is broken stops only a task that names it
            options = owned.options()
            if issubclass(options, SaeOptions):
                yield owned, options


# ── Those that are published ─────────────────────────────────────────────────────────────────────


def _published(registry: Registry, base: DraftModel) -> FoundSaes:
    """Those of the best release of the base, a handful over its depth."""
    found, notes = _listed(registry, _is(base))
    if not found:
        return FoundSaes((), notes)
    releases: dict[str, list[DraftSae]] = {}
    for sae in found:
        releases.setdefault(sae.release, []).append(sae)
    best, *others = sorted(releases, key=lambda name: _rank(name, releases[name]))
    chosen = _chosen(releases[best], base)
    note = f"SAEs of the release {best}, which sae_lens would load by that name"
    more = f"; others: {listed(others, 6)}. Choose with --sae RELEASE@SITE" if others else ""
    return FoundSaes(tuple(_with_names(chosen)), (f"{note}{more}.", *notes))


def _rank(release: str, mine: Sequence[DraftSae]) -> tuple[object, ...]:
    """Of two releases first: the one called canonical, that with more sites, with labels."""
    sites = {sae.site for sae in mine}
    labelled = any(sae.facts.neuronpedia for sae in mine)
    return "canonical" not in release, -len(sites), not labelled, len(mine), release


def _listed(
    registry: Registry, is_model: Callable[[str], bool]
) -> tuple[list[DraftSae], tuple[str, ...]]:
    """What all formats know of, in their order, narrower ones of one site first; and which formats
    could not say what they know of. One that raises, a stranger's perhaps, stops no other."""
    found: list[tuple[str, PublishedSae]] = []
    notes: list[str] = []
    for owned, options in _formats(registry):
        try:
            found += [(registry.spelled(owned), sae) for sae in options.published(is_model)]
        except Exception as error:  # it may raise anything
            notes.append(
                f"{owned} cannot say which SAEs are published: "
                f"{for_terminal(message_of(error), 200).rstrip('.')}. Its own are not looked at."
            )
    found.sort(key=lambda one: one[1].width or 0)
    return [_drafted(format, sae) for format, sae in found], tuple(notes)


def _drafted(format: str, sae: PublishedSae) -> DraftSae:
    name = str(sae.facts.site) if sae.facts.site else sae.release
    return DraftSae(name, format, sae.keys, sae.facts, sae.facts.site, sae.release)


def _is(base: DraftModel) -> Callable[[str], bool]:
    return lambda name: bool(base.names) and agree(name, base.names)


# ── Both ─────────────────────────────────────────────────────────────────────────────────────────


def _chosen(found: Sequence[DraftSae], base: DraftModel) -> list[DraftSae]:
    placed = [(sae.site, sae) for sae in found if sae.site is not None]
    unplaced = [sae for sae in found if sae.site is None]
    return [*over_depth(placed, base.facts.layers), *unplaced]


def _with_names(found: Iterable[DraftSae]) -> Iterator[DraftSae]:
    """Each SAE under a name of its own: its site, numbered where several share it."""
    seen: Counter[str] = Counter()
    for sae in found:
        name = word(str(sae.site) if sae.site is not None else sae.name).replace(".", "_")
        seen[name] += 1
        more = f"_{seen[name]}" if seen[name] > 1 else ""
        yield DraftSae(name + more, sae.format, sae.keys, sae.facts, sae.site, sae.release)
