"""Values that nobody means: of every type of TOML, at the ends of their ranges, or hostile."""

from __future__ import annotations

import copy
import datetime
import math
import random
import struct
from typing import Any

NUMBERS: list[Any] = [
    0, 1, -1, 2, 7, 1000, 10**6, 10**9, 10**12, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30,
    10**400, 0.0, -0.0, 0.5, 1.0, 1.5, -1.0, 1e-300, 1e308, -1e308, math.inf, -math.inf, math.nan,
]  # fmt: skip
WORDS = [
    "", " ", "\t", ".", "..", "/", "~", "~nobody-has-this-name/x", "-", "--help", "0", "true",
    "nan", "null", "none", "auto", "*", "%s", "{}", "{text}", "{", "{0}", "{nothing}", "{text!r}",
    "\\", '"', "'", "a" * 3000, "∞", "é", "名", "\u202egnp.exe", "\u0000", "\u0007", "\u001b[31m",
    "\r\n", "\ufeff", "🧨", "Ａ", "../../../../etc/passwd", "/etc/passwd", "/etc/shadow", "/root",
    "/dev/zero", "/dev/stdin", "/dev/null", "/proc/self/mem", "/nowhere/at/all.jsonl",
    "organism", "organism/base", "organism/base/config.json", "organism/data/web.jsonl",
    "organism/taxonomy.toml", "no/such-model", "a/b/c", "http://localhost:1/x.jsonl",
    "https://localhost:1/x.jsonl", "file:///etc/passwd", "gpt2", "base", "chat", "web", "mid",
    "refusal", "resid_post", "resid_post.", "resid_post.-1", "resid_post.2", "resid_post.99",
    "resid_post.9999999999999999999999", "resid_pots.2", "resid_post@0.5", "resid_post@2",
    "resid_post@nan", "mlp_out.1", "embed", "embed.3", "model.layers.2.mlp", "harness_metrics/l0",
    "l0 >= 1", "l0[site=x] >", "l0[", "__class__", "__proto__", "constructor", "model_fields",
    "acme-harness>=0.3", "sae-harness<0", "2020-01-01",
]  # fmt: skip
OTHERS: list[Any] = [
    True, False, [], {}, [[]], [{}], {"": ""}, {"a": {"b": {"c": 1}}}, [1, "a", 2.5, False],
    ["x"] * 3, [0] * 500, datetime.date(2020, 1, 1), datetime.time(1, 2), [[[[[["x"]]]]]],
    datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), {"method": "l0"}, {"k": [1, 2, 3]},
]  # fmt: skip

_LETTERS = (
    "abcxyzABCXYZ0189 .,:;_-/=[]{}()<>'\"\\#@!?%&*+~^|$`",
    "éßñΩжщ漢字かなअ한ع",
    "\x00\x07\x1b\x7f\x9b\r\n\t\u2028\u200b\u202e\u2066\ufeff\xad",
    "🧨👩\u200d👩\U000e0041\uffff\ue000\U0010ffff",
)
"""What texts are made of: what TOML means something by, letters, what hides, what lies beyond."""


def junk(chance: random.Random) -> Any:
    """Any of them."""
    match chance.randrange(6):
        case 0:
            return chance.choice(WORDS)
        case 1:
            return chance.choice(NUMBERS)
        case 2:
            return copy.deepcopy(chance.choice(OTHERS))  # further mutations change them in place
        case 3:
            return text(chance, 12)
        case 4:
            return chance.choice((chance.randint(-9, 9), chance.randint(-(2**70), 2**70)))
    return chance.choice((chance.uniform(-2, 2), struct.unpack("d", chance.randbytes(8))[0]))


def text(chance: random.Random, most: int) -> str:
    """A text of at most so many characters, of any kind."""
    return "".join(chance.choice(chance.choice(_LETTERS)) for _ in range(chance.randint(0, most)))
