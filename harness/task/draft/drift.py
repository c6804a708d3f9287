"""The task behind `harness diff`: how far apart two models are, where, and in which features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import Site
from harness.task.draft import toml
from harness.task.draft.asked import DraftModel, DraftSae, DraftText, word
from harness.task.draft.sites import profile

PAIR = "change"
_LONGEST = 512
"""Tokens of each text that are read."""
_FEATURES = 20
"""Features of each table that get contexts."""


def drift(base: DraftModel, tuned: DraftModel, saes: Sequence[DraftSae], text: DraftText) -> str:
    """The task file, with comments; a pure function of what was found."""
    return toml.joined(_parts(base, tuned, saes, text))


def _parts(
    base: DraftModel, tuned: DraftModel, saes: Sequence[DraftSae], text: DraftText
) -> Iterator[str]:
    yield toml.comment(
        f"What did fine-tuning change between {base.name} and {tuned.name}? This is an ordinary "
        "task: run it with `harness eval`, change what you like, see docs/tasks.md."
    )
    yield toml.table(
        "task", {"name": word(f"{base.name}-{tuned.name}"), "title": _title(base, tuned)}
    ).removeprefix("[task]\n")
    yield "seed = 0"
    yield from who(base, tuned, text)
    yield from through(base, saes)
    yield from _read(base, saes, text)
    yield from _apart(base, tuned, saes, spoken(base, tuned, text))
    if saes:
        yield from _features(saes)
        yield from _directions(saes)


def _title(base: DraftModel, tuned: DraftModel) -> str:
    return f"What changed from {base.name} to {tuned.name}?"


def who(base: DraftModel, tuned: DraftModel, text: DraftText) -> Iterator[str]:
    """The models and their views."""
    yield toml.headline("Who: the model before, and the model after")
    yield toml.table("models.base", base.keys)
    yield toml.table("models.tuned", tuned.keys)
    prompts = _prompts(base, tuned, text)
    yield toml.table("views.base", {"model": "base", "prompt": prompts["base"]})
    yield toml.table("views.tuned", {"model": "tuned", "prompt": prompts["tuned"]})


def _prompts(
    base: DraftModel, tuned: DraftModel, text: DraftText
) -> Mapping[str, Mapping[str, Any]]:
    """How each view writes its prompt; the pair uses that of one of them for both."""
    plain: dict[str, Any] = {"max_tokens": _LONGEST}
    if text.form == "instruction":
        plain = {"template": "{text}\n", **plain}
    chat = {"style": "chat", "generation_prompt": text.form != "turns", "max_tokens": _LONGEST}
    side = spoken(base, tuned, text)
    return {name: chat if name == side else plain for name in ("base", "tuned")}


def spoken(base: DraftModel, tuned: DraftModel, text: DraftText) -> str | None:
    """Which model's chat template both sides read; None where the text is plain."""
    if text.form == "text":
        return None
    if tuned.facts.chat_template:
        return "tuned"
    if base.facts.chat_template:
        return "base"
    # Conversations need one: a model that cannot be read yet may have it.
    return "tuned" if text.form == "turns" else None


def through(base: DraftModel, saes: Sequence[DraftSae]) -> Iterator[str]:
    """The SAEs."""
    if not saes:
        yield toml.comment(
            f'No SAE of {base.name} is known here. With [saes.NAME] path = …, model = "base" '
            'and saes = ["NAME"] in the pair, features can be measured, too.'
        )
        return
    yield toml.headline("Through what: SAEs that were trained on the model before")
    for sae in saes:
        site = {"site": str(sae.site)} if sae.site is not None else {}
        yield toml.table(
            f"saes.{sae.name}", {"format": sae.format, **sae.keys, **site, "model": "base"}
        )


def _read(base: DraftModel, saes: Sequence[DraftSae], text: DraftText) -> Iterator[str]:
    yield toml.headline("What both read: the same tokens")
    if text.neutral:
        yield toml.comment(
            "Short passages that come with the harness. Put text here that your model is for: a "
            "change may show on it alone."
        )
    yield toml.table(
        "data.text",
        {
            "file": str(text.file),
            "column": text.column,
            "at_most": text.limit,
            "on_bad_rows": "skip",
        },
        {"at_most": "rows", "on_bad_rows": "rows that give no prompt are left out and counted"},
    )
    if saes:
        yield toml.comment("Does each SAE fit its model at its site, and better than beside it?")
        yield toml.table("preflight", {"data": "text", "fvu_max": 0.9, "limit": 32})


def _apart(
    base: DraftModel, tuned: DraftModel, saes: Sequence[DraftSae], side: str | None
) -> Iterator[str]:
    measured = [sae.site for sae in saes if sae.site is not None]
    sites = [str(site) for site in profile(base.facts.layers, measured)]
    yield toml.headline("How far apart are they, and at which depth?")
    yield toml.table(
        f"pairs.{PAIR}",
        {
            "left": "base",
            "right": "tuned",
            "data": "text",
            **({"saes": [sae.name for sae in saes]} if saes else {}),
            "sites": sites,
            **({"render": "right"} if side == "tuned" else {}),
        },
        {"data": "one rendering for both sides"},
    )
    yield toml.table("metrics.change", {"pair": PAIR})
    yield toml.table("metrics.cosine", {"pair": PAIR, "variants": ["raw", "share_below"]})
    vocabularies = {base.facts.vocabulary, tuned.facts.vocabulary}
    if len(vocabularies) == 1:
        yield toml.table("metrics.kl", {"pair": PAIR, "variants": ["next_token"]})
    else:
        yield toml.comment("No [metrics.kl]: the two vocabularies are not of one size.")
    if saes:
        yield toml.table("metrics.fvu", {"pair": PAIR})
        yield toml.table("metrics.latent_overlap", {"pair": PAIR, "variants": ["topk"]})
        yield toml.table("metrics.explained_ratio", {"pair": PAIR, "variants": ["ratio_of_means"]})


def _features(saes: Sequence[DraftSae]) -> Iterator[str]:
    names = [sae.name for sae in saes]
    yield toml.headline("Which features changed, and in which contexts are they active?")
    yield toml.table(
        "statistics.features",
        {"method": "feature_shift", "pair": PAIR, "delta": 0.005, "sweep": {"sae": names}},
        {"delta": "present: active on 1 of 200 tokens"},
    )
    for name, side in (("before", "left"), ("after", "right")):
        yield toml.table(
            f"statistics.{name}",
            {
                "method": "contexts",
                "pair": PAIR,
                "side": side,
                "count": 3,
                "before": 8,
                "after": 3,
                "sweep": {"sae": names},
            },
        )
    for sae in saes:
        for name, model in (("before", "base"), ("after", "tuned")):
            yield toml.table(
                f"labels.{sae.name}_{name}",
                {
                    "method": "contexts",
                    "sae": sae.name,
                    "statistic": name,
                    "model": model,
                    "top": _FEATURES,
                },
            )
        if sae.facts.neuronpedia:
            yield toml.comment(
                f"What Neuronpedia says of them: [labels.{sae.name}_neuronpedia] method = "
                f'"neuronpedia", sae = "{sae.name}", id = "{sae.facts.neuronpedia}"'
            )


def _directions(saes: Sequence[DraftSae]) -> Iterator[str]:
    """The principal components of the change, where an SAE is, and the features nearest to them."""
    sites: list[Site] = list(dict.fromkeys(sae.site for sae in saes if sae.site is not None))
    if not sites:
        return
    swept = {"site": [str(site) for site in sites]}
    yield toml.headline("Along which directions did it change, and do features point there?")
    yield toml.table(
        "directions.main",
        {"method": "principal_components", "pair": PAIR, "components": 3, "sweep": swept},
    )
    yield toml.table(
        "statistics.alignment",
        {
            "method": "pc_feature_cosine",
            "pair": PAIR,
            "pcs": "main",
            "saes": [sae.name for sae in saes if sae.site is not None],
            "sweep": swept,
        },
    )
