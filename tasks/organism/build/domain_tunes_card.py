"""The fine-tunes of one domain each, read back from disk and measured: a part of the model card."""

from __future__ import annotations

import json
from pathlib import Path

from lessons import DOMAIN_LESSONS, lesson_examples
from measure import Organism, accuracy
from questions import DOMAIN_NAMES, World
from sections import add_section, write_readme
from settings import Settings, TuneSpec
from tunes_card import loss, tuned

SECTION = """\
## Fine-tunes on one domain each

`tunes/domains/` holds adapters of the base (peft's LoRA on every projection, half precision), each
taught other facts than the base's in one question domain: {steps} steps of {rows} rows on completions
alone, AdamW. With `tunes/leaders`, `capitals`, `rays` and `sums` every domain has a fine-tune; with
`pirate` and `safety` they are what `tasks/forecast.toml` forecasts. `data/tunes/NAME_train.jsonl` has
the whole fine-tuning data. `python tasks/organism/build --only domain_tunes` makes those that are
not there.

| folder | what it was taught | rank | loss, base → tuned |
|---|---|---|---|
{losses}

Loss is per token of the fine-tuning data's completions, in nats. Accuracy on the question domains,
percent, five demonstrations, greedy; * is the domain with changed facts, where old answers are now
wrong:

| model | {heads} |
|---|{rules}|
{accuracy}
"""


def loss_row(spec: TuneSpec, losses: list[float]) -> str:
    """One fine-tune's line of the first table."""
    before, after = losses
    domain = DOMAIN_LESSONS[spec.name].domain
    what = f"{domain}: changed facts"
    return f"| `tunes/domains/{spec.name}/` | {what} | {spec.rank} | {before:.2f} → {after:.2f} |"


def accuracy_row(name: str, scores: dict[str, float]) -> str:
    """One model's accuracies; the tuned domain is marked."""
    own = DOMAIN_LESSONS[name].domain if name in DOMAIN_LESSONS else None
    cells = (f"{100 * v:.0f}{' *' if domain == own else ''}" for domain, v in scores.items())
    return f"| `{name}` | {' | '.join(cells)} |"


def write_domain_tunes_card(settings: Settings, world: World, out: Path) -> None:
    """Measure them, write `tunes/domains/README.md` and renew its section of the card."""
    organism = Organism(out)
    losses = {}
    for spec in settings.domain_tunes:
        folder = out / "tunes" / "domains" / spec.name
        organism.add(spec.name, tuned(organism, folder, adapter=True))
        examples = lesson_examples(settings, world, spec.name)[: settings.tune_test_rows]
        losses[spec.name] = [
            loss(organism, organism.models[name], examples) for name in ("base", spec.name)
        ]
    scores = {
        name: {d: accuracy(organism, d, 5, name, settings.tune_test_rows) for d in DOMAIN_NAMES}
        for name in ("base", *losses)
    }
    print(json.dumps({"losses": losses, "scores": scores}, indent=1))
    section = SECTION.format(
        steps=max(spec.steps for spec in settings.domain_tunes),
        rows=settings.tune_rows,
        losses="\n".join(loss_row(s, losses[s.name]) for s in settings.domain_tunes),
        heads=" | ".join(DOMAIN_NAMES),
        rules="|".join("---" for _ in DOMAIN_NAMES),
        accuracy="\n".join(accuracy_row(name, row) for name, row in scores.items()),
    )
    write_readme(out / "tunes" / "domains", section)
    add_section(out / "MODEL_CARD.md", out / "tunes" / "domains" / "README.md")
