"""A made-up run of a crosscoder, for the samples of the section on whose features there are."""

from __future__ import annotations

from harness.contract import Record, Results


def crosscoder_run() -> Results:
    """A made-up run of a crosscoder: places, kinds, a ratio, a feature, and views with swaps."""
    where = {"sae": "both", "space": "normalised"}
    none = {"ci_why": "a made-up run"}
    shares = {"left_only": 0.1, "shared": 0.6, "right_only": 0.2, "other": 0.1}
    records = [
        Record("decoder_norms.share@1", value, 50, "latents", "share",
               axes={**where, "place": place}, **none)
        for place, value in shares.items()
    ]  # fmt: skip
    records += [
        Record("latent_scaling.share@1", value, 10, "latents", "share",
               ci=(value - 0.1, value + 0.1), axes={**where, "side": "right", "kind": kind})
        for kind, value in (("genuine", 0.3), ("shrinkage", 0.7))
    ]  # fmt: skip
    ratio = {**where, "side": "right", "target": "error", "place": "right_only"}
    records.append(
        Record("latent_scaling.ratio@1", 0.25, 10, "latents", "ratio", axes=ratio, **none)
    )
    kl = {"nothing": 2.0, "one": 1.0, "draw_0": 1.8, "draw_1": 1.9}
    records += [
        Record("kl.next_token@1", value, 90, "tokens", "nats/token", axes={"pair": pair}, **none)
        for pair, value in kl.items()
    ]
    edit = {"method": "latent_swap", "other": "base", "direction": "own", "at": {}, "parts": []}
    edits = {
        "nothing": {**edit, "latents": "none"},
        "one": {**edit, "at": {"k": 1}},
        "draw_0": {**edit, "direction": "any", "at": {"draw": 0}},
        "draw_1": {**edit, "direction": "any", "at": {"draw": 1}},
    }
    task = {
        "views": {"base": {}, "chat": {}, **{name: {"edit": one} for name, one in edits.items()}},
        "pairs": {
            "talk": {"left": "base", "right": "chat", "data": "talk"},
            **{name: {"left": "chat", "right": name, "data": "talk"} for name in edits},
        },
        "saes": {"both": {"pair": "talk"}},
    }
    row = {"sae": "both", "feature": 62, "kind": "genuine", "delta_norm": 0.98, "active": 0.07,
           "ratio_error": 0.1, "ratio_reconstruction": None}  # fmt: skip
    return Results("complete", task, {}, tuple(records), tables={"scaling.latents": [row]})
