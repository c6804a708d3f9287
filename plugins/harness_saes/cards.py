"""What the model cards of published SAEs say of tokens that were left out of their training.

Data, by repository on the hub: no file of these SAEs says it. Read and found to state no such rule
were the cards of EleutherAI/sae-llama-3-8b-32x and its successors, Qwen/SAE-Res-* and
andyrdt/saes-gpt-oss-20b; the SAEs of andyrdt/saes-llama-3.1-8b-instruct come from a branch of the
training code that leaves out BOS alone, which is masked here anyway.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.contract import TokensLeftOut

_HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Card:
    """A rule that a card states, and the repositories that it is about."""

    repositories: re.Pattern[str]
    rule: TokensLeftOut


CARDS = (
    Card(
        re.compile(r"(?<![\w.-])andyrdt/saes-qwen2\.5-7b-instruct(?![\w.-])"),
        TokensLeftOut(f"{_HUB}/andyrdt/saes-qwen2.5-7b-instruct", skip_first=8, max_norm_ratio=10),
    ),
    # One card for the "Qwen3 SAEs" of four sizes, "when training and using these".
    Card(
        re.compile(r"(?<![\w.-])adamkarvonen/qwen3-(?:1\.7b|8b|14b|32b)-saes(?![\w.-])"),
        TokensLeftOut(f"{_HUB}/adamkarvonen/qwen3-8b-saes", max_norm_ratio=10),
    ),
)


def stated(place: str) -> TokensLeftOut | None:
    """What a card says of the SAEs at a place: a repository of the hub, or a path with its name.

    The hub's cache (`models--owner--name`) and a folder `owner/name` are places, too; the last
    name counts. None where no card is known to say anything.
    """
    named = place.replace("\\", "/").replace("models--", "/").replace("--", "/")
    found = [
        (match.start(), card.rule) for card in CARDS for match in card.repositories.finditer(named)
    ]
    return max(found, key=lambda one: one[0])[1] if found else None
