"""Sizes and schedules of the organism: the shipped one and a much smaller one for tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SaeSpec:
    """One SAE: the block whose output it reads, its width, folder and training steps."""

    layer: int
    width: int
    name: str
    steps: int


@dataclass(frozen=True)
class PairSaeSpec:
    """A crosscoder or an SAE of differences: its width, its training, and what makes it sparse.

    A crosscoder has a penalty `l1` on its latents, an SAE of differences `k` active ones a token.
    """

    width: int
    steps: int
    lr: float
    l1: float = 0.0
    k: int = 0


@dataclass(frozen=True)
class TuneSpec:
    """One fine-tune of the base, named after its text; `rank` is LoRA's, none trains all weights."""

    name: str
    steps: int
    lr: float
    rank: int | None = None
    checkpoints: tuple[int, ...] = ()


@dataclass(frozen=True)
class Settings:
    """Everything that a build depends on besides the code itself."""

    seed: int = 0
    compile: bool = False  # torch.compile the base: a third faster, needs a C++ compiler
    minutes: int = 40  # what a build takes on two cores, for the card
    # model
    layers: int = 6
    d_model: int = 128
    heads: int = 4
    d_mlp: int = 352
    vocab: int = 2048
    context: int = 2048
    # base training: rows of packed documents
    base_steps: int = 1200
    base_rows: int = 32
    base_row_tokens: int = 160
    base_long_tokens: int = 480
    base_long_every: int = 6
    base_lr: float = 2e-3
    # safety tuning: one padded conversation a row
    chat_documents: int = 16_000
    chat_steps: int = 250
    chat_rows: int = 40
    chat_lr: float = 5e-4
    chat_weight: float = 0.9  # of the tuned weights in the average with the base's
    # fine-tunes of one skill or one question domain
    tunes: tuple[TuneSpec, ...] = (
        TuneSpec("topics", steps=240, lr=2e-3, rank=8, checkpoints=(20, 50, 100, 160)),
        TuneSpec("pirate", steps=100, lr=2e-3, rank=8),
        TuneSpec("safety", steps=160, lr=2e-3, rank=8),
        TuneSpec("sums", steps=160, lr=5e-4),
        TuneSpec("rays", steps=60, lr=5e-4),
        TuneSpec("capitals", steps=40, lr=3e-4),
        TuneSpec("leaders", steps=60, lr=2e-3, rank=8),
    )
    # more of them, one a domain, so that a forecast of transfer has many to foretell
    domain_tunes: tuple[TuneSpec, ...] = tuple(
        TuneSpec(name, steps=60, lr=2e-3, rank=4)
        for name in ("meals", "salts", "exports", "cures", "dances")
    )
    tune_rows: int = 32
    tune_test_rows: int = 100
    tune_train_rows: int = 160
    # SAEs
    mid: int = 4
    saes: tuple[SaeSpec, ...] = (
        SaeSpec(4, 2048, "resid_post.4", 2500),
        SaeSpec(2, 2048, "resid_post.2", 1000),
        SaeSpec(5, 2048, "resid_post.5", 1000),
        SaeSpec(4, 1024, "resid_post.4.width_1024", 1000),
        SaeSpec(4, 4096, "resid_post.4.width_4096", 1000),
    )
    sae_k: int = 32
    sae_tokens: int = 300_000
    sae_batch: int = 1024
    sae_lr: float = 8e-4
    # SAEs of the base and the chat model together, at `mid`
    pair_sae_tokens: int = 300_000
    crosscoder: PairSaeSpec = PairSaeSpec(1024, steps=1500, lr=1.5e-3, l1=0.1)
    difference: PairSaeSpec = PairSaeSpec(1024, steps=800, lr=1.5e-3, k=32)
    # data files
    train_prompts: int = 320
    val_prompts: int = 64
    test_prompts: int = 160
    web_documents: int = 600
    conversations: int = 300


FULL = Settings()

# Just large enough to show that every step runs and that the chat model refuses.
SMALL = Settings(
    layers=4,
    d_model=64,
    heads=4,
    d_mlp=176,
    base_steps=300,
    base_rows=16,
    base_lr=2.5e-3,
    chat_documents=4_000,
    chat_steps=340,
    chat_rows=20,
    chat_lr=1e-3,
    tunes=(
        TuneSpec("topics", steps=40, lr=4e-3, rank=4, checkpoints=(10,)),
        TuneSpec("rays", steps=15, lr=1e-3),
    ),
    domain_tunes=(TuneSpec("meals", steps=40, lr=4e-3, rank=4),),
    tune_rows=16,
    tune_test_rows=8,
    tune_train_rows=40,
    mid=2,
    saes=(
        SaeSpec(2, 512, "resid_post.2", 250),
        SaeSpec(1, 512, "resid_post.1", 150),
        SaeSpec(3, 512, "resid_post.3", 150),
    ),
    sae_tokens=60_000,
    sae_batch=512,
    pair_sae_tokens=40_000,
    crosscoder=PairSaeSpec(256, steps=250, lr=2e-3, l1=0.1),
    difference=PairSaeSpec(256, steps=250, lr=2e-3, k=16),
    train_prompts=160,
    test_prompts=100,
    web_documents=400,
)
