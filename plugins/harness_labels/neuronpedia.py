"""Descriptions of features from Neuronpedia."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from harness.contract import Findings, Label, SaeFacts
from harness.errors import DataError, MachineError
from harness.web import Refused, Unreachable, Web
from harness_labels.neuronpedia_pages import Malformed, Page, export_keys, exported, page
from harness_labels.neuronpedia_store import Store, user_folder
from harness_labels.options import KEY, NeuronpediaOptions, split_id

_LARGEST_PAGE = 2**24
_LARGEST_EXPORT = 2**27
"""Bytes of an answer that are read."""


class Neuronpedia:
    """Looks features up at Neuronpedia: `GET /api/feature/{model}/{source}/{index}`.

    Many features that are not known yet come from the bulk export instead, one download an SAE.
    Everything that was said is kept for good, in $XDG_CACHE_HOME/sae-harness/labels (or ~/.cache)
    and in the run's folder: no feature is asked for twice, and a second run needs no network. An
    answer that was malformed or missing is not kept. A key in NEURONPEDIA_API_KEY is sent along.

    Features without an explanation have a label with an empty description, for its link. `notes`
    counts after `describe` what did not go as it should.

    Raises DataError where the SAE has no id there, where a key is wanted, and offline with nothing
    kept; MachineError where nothing is known and nobody answers. Otherwise an unreachable service
    costs only the features that are not known yet.
    Source: docs.neuronpedia.org, "API" and "Exports".
    """

    def __init__(self, given: NeuronpediaOptions) -> None:
        self.options = given
        self.notes: tuple[str, ...] = ()

    def describe(
        self, sae: str, facts: SaeFacts, features: Sequence[int], findings: Findings
    ) -> Sequence[Label]:
        """A label for each feature that Neuronpedia knows."""
        id = self._id(sae, facts)
        host = (urlsplit(self.options.server).netloc or "neuronpedia").replace(":", "_")
        folders = [user_folder()]
        if findings.tools.cache is not None:
            folders.append(findings.tools.cache)
        store = Store(folders, f"neuronpedia/{host}/{'/'.join(id)}")
        wanted = list(dict.fromkeys(features))
        missing = [feature for feature in wanted if feature not in store and not store.whole]
        counts: Counter[str] = Counter()
        if missing and self._offline():
            if not len(store):
                raise DataError(
                    f"labels of {sae}: offline, and nothing of Neuronpedia's {'/'.join(id)} is "
                    "kept. Run once with a network, without HF_HUB_OFFLINE and offline = true, "
                    "or use the labels `contexts` or `file`."
                )
            counts["not asked for: offline"] += len(missing)
        elif missing:
            self._ask(sae, id, missing, store, counts)
        known = {feature: store[feature] for feature in wanted if feature in store}
        store.add(known)  # for the folder that has it not
        labels = [self._label(sae, id, feature, page) for feature, page in known.items()]
        counts["without an explanation"] += sum(not label.description for label in labels)
        if store.whole:
            counts["without an explanation"] += len(wanted) - len(known)
        self.notes = tuple(
            f"Neuronpedia {'/'.join(id)}: {count} of {len(wanted)} features {what}"
            for what, count in counts.items()
            if count
        )
        return labels

    def _id(self, sae: str, facts: SaeFacts) -> tuple[str, str]:
        id = self.options.id or facts.neuronpedia
        if id is None:
            raise DataError(
                f"labels of {sae}: the SAE has no Neuronpedia id; only about a fifth of published "
                'ones have. Write id = "model/source" if there is one, or use the labels '
                "`contexts` (collected by this run) or `file`."
            )
        parts = split_id(id)
        if parts is None:
            raise DataError(
                f"labels of {sae}: {id!r} in the SAE's metadata is no Neuronpedia id. Allowed: "
                '"model/source". Write the right one as id.'
            )
        return parts

    def _offline(self) -> bool:
        said = os.environ.get("HF_HUB_OFFLINE", "").strip().upper()
        return self.options.offline or said in ("1", "ON", "YES", "TRUE")

    def _ask(
        self,
        sae: str,
        id: tuple[str, str],
        missing: Sequence[int],
        store: Store,
        counts: Counter[str],
    ) -> None:
        """Puts what the service knows of the missing features into the store."""
        given = self.options
        key = _key()
        web = Web(timeout=given.timeout, retries=given.retries, interval=given.interval, secret=key)
        before = len(store)
        try:
            if len(missing) > given.bulk:
                self._export(web, id, store, counts)
            left = [f for f in missing if f not in store and not store.whole]
            for number, feature in enumerate(left):
                counts["not asked for: Neuronpedia cannot be reached"] = len(left) - number
                self._one(web, key, id, feature, store, counts)
            counts["not asked for: Neuronpedia cannot be reached"] = 0
        except Unreachable as error:
            if len(store) == before == 0:
                raise MachineError(
                    f"labels of {sae}: Neuronpedia ({given.server}) does not answer: {error}. "
                    "Run the same command again later, or use the labels `contexts` or `file`."
                ) from None

    def _one(
        self,
        web: Web,
        key: str,
        id: tuple[str, str],
        feature: int,
        store: Store,
        counts: Counter[str],
    ) -> None:
        """Puts the page of one feature into the store, or counts why there is none."""
        url = f"{self.options.server}/api/feature/{id[0]}/{id[1]}/{feature}"
        try:
            body = web.get(url, _LARGEST_PAGE, {"x-api-key": key} if key else None)
            store.add({feature: page(body, feature)})
        except Malformed:
            counts["with a malformed answer"] += 1
        except Refused as error:
            if error.status in (401, 403):
                wrong = "does not take the key in" if key else "wants a key: put one into"
                raise DataError(
                    f"{self.options.server}: {wrong} the environment variable {KEY} "
                    f"(it answered {error}). What it has said is kept."
                ) from None
            counts["unknown there" if error.status == 404 else f"refused ({error.status})"] += 1

    def _export(self, web: Web, id: tuple[str, str], store: Store, counts: Counter[str]) -> None:
        """Reads the whole export; where there is none, the features are asked for one by one."""
        folder = f"v1/{id[0]}/{id[1]}/explanations/"
        listing = f"{self.options.exports}/?list-type=2&prefix={quote(folder, safe='')}"
        try:
            keys = export_keys(web.get(listing, _LARGEST_PAGE), folder)
            found: dict[int, list[dict[str, str]]] = {}
            malformed = 0
            for key in keys:
                for entry in exported(web.get(f"{self.options.exports}/{key}", _LARGEST_EXPORT)):
                    if entry is None:
                        malformed += 1
                        continue
                    index, explanation = entry
                    explanations = found.setdefault(index, [])
                    if explanation is not None:
                        explanations.append(dict(explanation))
        except (Refused, Malformed, Unreachable):
            return
        counts["lost to malformed lines of the export"] += malformed
        store.add({index: Page(tuple(texts)) for index, texts in found.items()})
        if found and not malformed:
            store.complete()

    def _label(self, sae: str, id: tuple[str, str], feature: int, page: Page) -> Label:
        url = f"{self.options.server}/{id[0]}/{id[1]}/{feature}"
        return Label(
            sae, feature, page.description(self.options.kind), url=url, contexts=page.contexts
        )


def _key() -> str:
    """The key in the environment; "" where there is none."""
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise DataError(f"the environment variable {KEY} holds no key: a key is one line.")
    return key
