"""The arrays that `flip_rate` keeps, and how they are called. Imports no torch.

Names are `<pair>/<sae>/<site>/<condition>/<what>`, with `<condition>` `none`, `pcs.<k>` or
`constant.<k>`, so that an analysis needs nothing else to know what an array is of:

| what | shape | |
|---|---|---|
| `flips_off_on`, `flips_on_off` | Int64 [d_sae] | tokens on which each latent turns on, off |
| `active` | Int64 [d_sae] | tokens on which it is on before |
| `drawn_flips` | Float64 [draws + 1] | all flips, under each draw of documents; first: all once |
| `drawn_tokens` | Float64 [draws + 1] | tokens, likewise |
| `documents` | Int64 [1] | documents with a token |

Draws are weights that depend on a document's id and the seed alone: those of two pairs, sites or
SAEs that read the same documents belong together.
"""

from __future__ import annotations

from dataclasses import dataclass

FEATURES = ("flips_off_on", "flips_on_off", "active")
DRAWN = ("drawn_flips", "drawn_tokens", "documents")


@dataclass(frozen=True)
class Key:
    """What one array is of."""

    pair: str
    sae: str
    site: str
    condition: str

    @property
    def axes(self) -> dict[str, str | int]:
        """The axes of a record about it."""
        injection, _, k = self.condition.partition(".")
        place = {"pair": self.pair, "sae": self.sae, "site": self.site, "injection": injection}
        return {**place, "k": int(k)} if k else {**place}

    def name(self, what: str) -> str:
        """The array's name."""
        return "/".join((self.pair, self.sae, self.site, self.condition, what))


def key_of(name: str) -> tuple[Key, str] | None:
    """The key and `what` of an array's name; None where it is no array of flips."""
    parts = name.split("/")
    if len(parts) != 5 or parts[-1] not in (*FEATURES, *DRAWN):
        return None
    pair, sae, site, condition, what = parts
    return Key(pair, sae, site, condition), what
