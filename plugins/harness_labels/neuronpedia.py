"""Reads descriptions of features from Neuronpedia."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from harness.contract import Findings, Label, SaeFacts
from harness.errors import DataError, MachineError
from harness.store.keys import key_of
from harness.web import Refused, Unreachable, Web
from harness_labels.neuronpedia_pages import Malformed, Page, export_keys, read_export, read_page
from harness_labels.neuronpedia_store import Store, user_folder
from harness_labels.options import EXPORTS, KEY, NeuronpediaOptions, is_id

_LARGEST_PAGE = 2**24
_LARGEST_EXPORT = 2**27
"""Bytes of an answer that are read."""
_UNREACHED = "not asked for: Neuronpedia cannot be reached"


@dataclass(frozen=True)
class LabelsKey:
    """All that the pages of an SAE depend on. `str` of it is the name of the file that has them.

    Not of the harness: pages are kept as they were given, and read anew by each version.
    """

    server: str
    """The base URL of the site."""
    exports: str
    """The base URL of the bulk exports."""
    id: str
    """The SAE's id there."""

    def __str__(self) -> str:
        place = urlsplit(self.server).netloc.replace(":", "_")
        if self.exports != EXPORTS or self.server != f"https://{place}":
            place += f"-{key_of(self.server, self.exports)[:8]}"
        return f"neuronpedia/{place}/{self.id}"


class Neuronpedia:
    """Looks features up at Neuronpedia: `GET /api/feature/{model}/{source}/{index}`.

    Many features that are not known yet come from the bulk export instead, one download an SAE.
    Every answer is kept for good, in the run's folder and in the folder `labels` of $HARNESS_CACHE,
    or else of sae-harness in $XDG_CACHE_HOME or ~/.cache (`home` names another folder): no feature
    is asked for twice, and a second run needs no network. An answer that was malformed or missing
    is not kept. A key in NEURONPEDIA_API_KEY is sent along.

    Features without an explanation have a label with an empty description, for its link. `notes`
    counts after `describe` what did not go as it should.

    Raises DataError where the SAE has no id there, where a key is wanted, and offline with nothing
    kept; MachineError where nothing is known and nobody answers. Otherwise an unreachable service
    costs only the features that are not known yet.
    Source: docs.neuronpedia.org, "API" and "Exports".
    """

    def __init__(self, given: NeuronpediaOptions, home: Path | None = None) -> None:
        self.options = given
        self._home = home
        self.notes: tuple[str, ...] = ()

    def describe(
        self, sae: str, facts: SaeFacts, features: Sequence[int], findings: Findings
    ) -> Sequence[Label]:
        """A label for each feature that Neuronpedia knows."""
        given = self.options
        name = self._id(sae, facts)
        folders = [self._home or user_folder()]
        if findings.tools.cache is not None:
            folders.append(findings.tools.cache)
        store = Store(folders, str(LabelsKey(given.server, given.exports, name)))
        wanted = list(dict.fromkeys(features))
        missing = [feature for feature in wanted if feature not in store and not store.whole]
        counts: Counter[str] = Counter()
        if missing and self._offline():
            if not len(store):
                raise DataError(
                    f"labels of {sae}: offline, and nothing of Neuronpedia's {name} is kept. Run "
                    "once with a network, without HF_HUB_OFFLINE and offline = true, or use the "
                    "labels `contexts` or `file`."
                )
            counts["not asked for: offline"] += len(missing)
        elif missing:
            nothing_known = not len(store)
            try:
                self._fetch(_Service(given, name), missing, store, counts)
            except Unreachable as error:
                if nothing_known and not len(store):
                    raise MachineError(
                        f"labels of {sae}: Neuronpedia ({given.server}) does not answer: {error}. "
                        "Run the same command again later, or use the labels `contexts` or `file`."
                    ) from None
        known = {feature: store[feature] for feature in wanted if feature in store}
        store.add(known)  # for the folder that has it not
        labels = [
            Label(
                sae,
                feature,
                page.description(given.kind),
                url=f"{given.server}/{name}/{feature}",
                contexts=page.contexts,
            )
            for feature, page in known.items()
        ]
        counts["without an explanation"] += sum(not label.description for label in labels)
        if store.whole:
            counts["without an explanation"] += len(wanted) - len(known)
        self.notes = tuple(
            f"Neuronpedia {name}: {count} of {len(wanted)} features {what}"
            for what, count in counts.items()
            if count
        )
        return labels

    def _id(self, sae: str, facts: SaeFacts) -> str:
        id = self.options.id or facts.neuronpedia
        if id is None:
            raise DataError(
                f"labels of {sae}: the SAE has no Neuronpedia id; only about a fifth of published "
                'ones have. Write id = "model/source" if there is one, or use the labels '
                "`contexts` (collected by this run) or `file`."
            )
        if not is_id(id):
            raise DataError(
                f"labels of {sae}: {id!r} in the SAE's metadata is no Neuronpedia id. Allowed: "
                '"model/source". Write the right one as id.'
            )
        return id

    def _offline(self) -> bool:
        setting = os.environ.get("HF_HUB_OFFLINE", "").strip().upper()
        return self.options.offline or setting in ("1", "ON", "YES", "TRUE")

    def _fetch(
        self, service: _Service, missing: Sequence[int], store: Store, counts: Counter[str]
    ) -> None:
        """Puts what the service knows of the missing features into the store.

        Counts what did not go as it should. Raises Unreachable where the service stays silent.
        """
        if len(missing) > self.options.bulk:
            # Where there is no export, or none that can be read, the features are asked for.
            with suppress(Refused, Malformed, Unreachable):
                pages, malformed = service.export()
                counts["lost to malformed lines of the export"] += malformed
                store.add(pages)
                if pages and not malformed:
                    store.complete()
        left = [feature for feature in missing if feature not in store and not store.whole]
        for number, feature in enumerate(left):
            counts[_UNREACHED] = len(left) - number
            try:
                store.add({feature: service.page(feature)})
            except Malformed:
                counts["with a malformed answer"] += 1
            except Refused as error:
                unknown = error.status == 404
                counts["unknown there" if unknown else f"refused ({error.status})"] += 1
        counts[_UNREACHED] = 0


class _Service:
    """What is asked about one SAE, `name` there. Every question raises as `harness.web.Web` does.

    Raises DataError where the environment holds a key that is none, or that is not taken.
    """

    def __init__(self, given: NeuronpediaOptions, name: str) -> None:
        self._given, self._name = given, name
        self._key = os.environ.get(KEY, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise DataError(f"the environment variable {KEY} holds no key: a key is one line.")
        self._web = Web(
            timeout=given.timeout,
            retries=given.retries,
            interval=given.interval,
            secret=self._key,
        )

    def page(self, feature: int) -> Page:
        """What is known of a feature. Raises Malformed where the answer is no page."""
        url = f"{self._given.server}/api/feature/{self._name}/{feature}"
        headers = {"x-api-key": self._key} if self._key else None
        try:
            return read_page(self._web.get(url, _LARGEST_PAGE, headers), feature)
        except Refused as error:
            if error.status not in (401, 403):
                raise
            wrong = "does not take the key in" if self._key else "wants a key: put one into"
            raise DataError(
                f"{self._given.server}: {wrong} the environment variable {KEY} (it answered "
                f"{error}). What it has said is kept."
            ) from None

    def export(self) -> tuple[dict[int, Page], int]:
        """Everything that is known of the SAE, without contexts, and how many lines were malformed.

        Raises Malformed where a file is not what it should be.
        """
        exports, folder = self._given.exports, f"v1/{self._name}/explanations/"
        listing = f"{exports}/?list-type=2&prefix={quote(folder, safe='')}"
        found: dict[int, list[Mapping[str, str]]] = {}
        malformed = 0
        for key in export_keys(self._web.get(listing, _LARGEST_PAGE), folder):
            for entry in read_export(self._web.get(f"{exports}/{key}", _LARGEST_EXPORT)):
                if entry is None:
                    malformed += 1
                    continue
                index, explanation = entry
                found.setdefault(index, []).extend([explanation] if explanation else [])
        return {index: Page(tuple(texts)) for index, texts in found.items()}, malformed
