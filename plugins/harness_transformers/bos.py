"""BOS as the tokenizer's settings ask for it, where tokenizer.json writes none. No torch.

DeepSeek-V3, the R1 distillations and the first file of Llama 3 say `add_bos_token: true` beside a
tokenizer.json that adds nothing, and transformers 5 leaves the key unread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def with_bos(inner: Any, settings: Mapping[str, Any], bos: str | None) -> None:
    """Lets a tokenizer of the library tokenizers write `bos` before every text, where `settings`
    (its tokenizer_config.json) ask for it and it doesn't yet. What else it writes stays."""
    from tokenizers import processors

    number = inner.token_to_id(bos) if bos else None
    if settings.get("add_bos_token") is not True or number is None:
        return
    written = inner.encode("a").ids
    bare = inner.encode("a", add_special_tokens=False).ids
    if written[:1] == [number] and bare[:1] != [number]:
        return
    # One processor for all: of two in a row, the second acts on each part of what the first made.
    after = written[-1:] if written[:-1] == bare else []
    around = {str(bos): number, **{inner.id_to_token(token): token for token in after}}
    ends = [inner.id_to_token(token) for token in after]
    inner.post_processor = processors.TemplateProcessing(
        single=[f"{bos}:0", "$A:0", *(f"{end}:0" for end in ends)],
        pair=[
            f"{bos}:0",
            "$A:0",
            *(f"{end}:0" for end in ends),
            f"{bos}:1",
            "$B:1",
            *(f"{end}:1" for end in ends),
        ],
        special_tokens=list(around.items()),
    )


def bos_note(tokenizer: Any) -> str | None:
    """What is to be said of a tokenizer that has a BOS and writes none; None where all is well."""
    bos = getattr(tokenizer, "bos_token_id", None)
    # Where one token is both, as in GPT-2, it ends documents and begins none.
    if bos is None or bos == tokenizer.eos_token_id or bos in tokenizer("a").input_ids:
        return None
    return (
        f"its tokenizer has a BOS ({tokenizer.bos_token}) and writes none before a plain prompt."
        " If the model was trained with one, write it into the template, or set add_bos_token in"
        " tokenizer_config.json."
    )
