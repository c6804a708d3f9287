"""What is forwarded, encoded and decoded, and how often; filters come before the encoder."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fakes
from fakes.running import Token, bare, cosine, pair_tokens, passed, records, total_forwards
from harness.contract import Record, Site
from harness.contract.latents import Latents
from harness.planning.steps import MetricJob
from harness.running.session import Session

MakeSession = Callable[..., Session]

PAIR = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
"""
LIMIT = 0.997
"""A cosine under which some tokens lie, and over which others do."""


def metrics(*names: str, where: str = "", tag: str = "") -> str:
    return "".join(
        f"[metrics.{name}{tag}]\nmethod = '{name}'\npair = 'p'\n{where}\n" for name in names
    )


def filtered(*names: str, tag: str = "_low", limit: float = LIMIT) -> str:
    return metrics(*names, where=f"where = {{ cosine_below = {limit} }}", tag=tag)


ON_SAE = ("loss", "active", "match")


@pytest.fixture
def tokens(session: MakeSession) -> list[Token]:
    return list(pair_tokens(session(PAIR + metrics("gap")), "p"))


def test_the_limit_divides_the_tokens_of_the_fakes(tokens: list[Token]) -> None:
    low = sum(cosine(token) < LIMIT for token in tokens)
    assert 5 < low < len(tokens) - 5


@pytest.mark.parametrize(
    "text",
    [
        metrics(*ON_SAE),
        metrics(*ON_SAE, "gap", "mean") + metrics(*ON_SAE, tag="_again"),
        metrics(*ON_SAE) + filtered(*ON_SAE),
        filtered(*ON_SAE) + metrics("active"),
        filtered("loss", tag="_a") + filtered("loss", tag="_b", limit=0.5) + metrics("loss"),
        filtered("loss", tag="_a") + filtered("loss", tag="_b", limit=0.5),
    ],
    ids=["plain", "more", "both", "one", "three", "two filters"],
)
def test_one_forward_a_model_and_one_encode_an_sae_and_side(
    session: MakeSession, tokens: list[Token], text: str
) -> None:
    fakes.LAB.clear()
    made = session(PAIR + text)
    passed(made)
    assert total_forwards() == 2
    sae: Any = made.saes["mid"]
    assert sae.encoded == [len(tokens)] * 2


def test_without_others_the_encoder_sees_the_selected_tokens_alone(
    session: MakeSession, tokens: list[Token]
) -> None:
    fakes.LAB.clear()
    made = session(PAIR + filtered(*ON_SAE) + metrics("gap", "mean"))
    passed(made)
    sae: Any = made.saes["mid"]
    assert sae.encoded == [sum(cosine(token) < LIMIT for token in tokens)] * 2


def test_who_else_reads_the_same_tokens_changes_no_filtered_number(session: MakeSession) -> None:
    alone = bare(records(session(PAIR + filtered(*ON_SAE, "gap", "mean"))))
    text = PAIR + filtered(*ON_SAE, "gap", "mean") + metrics(*ON_SAE, "gap")
    both = bare(records(session(text)))
    assert [record for record in both if record in alone] == alone
    assert len(both) == len(alone) + 6
    assert all(record.n for record in alone)


def value(found: list[Record], metric: str, **axes: object) -> Record:
    (record,) = [
        r for r in found if r.axes.get("metric") == metric and axes.items() <= r.axes.items()
    ]
    return record


@pytest.mark.parametrize("batch", [1, 3, 32])
@pytest.mark.parametrize("sides", [("right", "right"), ("left", "right"), ("left", "left")])
def test_filtered_numbers_are_those_of_the_tokens_counted_by_hand(
    session: MakeSession, tokens: list[Token], batch: int, sides: tuple[str, str]
) -> None:
    padding = [f"models.{m}.padding={s}" for m, s in zip(("base", "chat"), sides, strict=True)]
    text = PAIR + metrics("gap", "active") + filtered("gap", "active", "mean")
    found = records(session(text, f"batch.activations={batch}", *padding))
    low = [token for token in tokens if cosine(token) < LIMIT]
    for metric, these in (("gap", tokens), ("gap_low", low)):
        record = value(found, metric)
        assert record.n == len(these)
        gaps = [float(np.abs(token.right - token.left).sum()) for token in these]
        assert record.value == pytest.approx(sum(gaps) / len(these), abs=1e-12)
    active = value(found, "active_low", view="chat")
    counts = [int((token.right != 0).sum()) for token in low]
    assert active.value == pytest.approx(sum(counts) / len(low), abs=1e-12)
    share = next(r for r in found if r.id == "filtered_share@1")
    assert (share.value, share.n) == (len(low) / len(tokens), len(tokens))
    assert share.options == {"cosine_below": LIMIT}
    assert value(found, "gap_low").options["cosine_below"] == LIMIT
    assert "cosine_below" not in value(found, "gap").options


def test_a_share_is_one_record_whatever_number_of_metrics_has_the_filter(
    session: MakeSession,
) -> None:
    text = PAIR + filtered("gap", "active", "loss") + filtered("gap", tag="_b", limit=0.5)
    found = records(session(text))
    shares = [r for r in found if r.id == "filtered_share@1"]
    assert [r.options["cosine_below"] for r in shares] == [LIMIT, 0.5]
    assert not [r for r in found if r.id == "dropped_share@1"]


@pytest.mark.parametrize("text", [filtered(*ON_SAE, "gap", limit=-1.0)])
def test_all_tokens_filtered_away_is_undefined_with_its_reason(
    session: MakeSession, text: str
) -> None:
    found = records(session(PAIR + text))
    for record in found:
        if record.id == "filtered_share@1":
            assert (record.value, record.n) == (0.0, sum(r.n for r in found))
        else:
            assert (record.value, record.n, record.clusters) == (None, 0, 0)
            assert record.undefined == "no token was measured"


# ── SAEs that see sequences, and transcoders ─────────────────────────────────────────────────────


SEQUENCE = "saes.mid.sequence=true"


def latents_by_hand(session: MakeSession, low: float | None = None) -> dict[str, float]:
    """Active latents per side of an SAE that sums the activations of a document up."""
    made = session(PAIR + metrics("gap"))
    wanted = list(pair_tokens(made, "p"))
    kept = {(t.document, t.place) for t in wanted if low is None or cosine(t) < low}
    out = {}
    for view in ("base", "chat"):
        model: Any = made.view_model(view)
        total = 0
        for prompt in made.prompts.render("base", made.data.examples("web")):
            x = model.at(Site("resid_post", 2), prompt).cumsum(0)
            total += sum(
                int((x[place] != 0).sum())
                for place in range(len(prompt.ids))
                if (prompt.example, place) in kept
            )
        out[view] = total / len(kept)
    return out


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("batch", [1, 4, 32])
def test_an_sae_that_needs_sequences_sees_whole_documents(
    session: MakeSession, batch: int, padding: str
) -> None:
    plain, low = latents_by_hand(session), latents_by_hand(session, LIMIT)
    fakes.LAB.clear()
    text = PAIR + metrics("active", "match") + filtered("active")
    made = session(text, SEQUENCE, f"batch.activations={batch}", f"models.chat.padding={padding}")
    found = records(made)
    for view in ("base", "chat"):
        assert value(found, "active", view=view).value == pytest.approx(plain[view], abs=1e-12)
        assert value(found, "active_low", view=view).value == pytest.approx(low[view], abs=1e-12)
    sae: Any = made.saes["mid"]
    lengths = sorted(
        len(prompt.ids) for prompt in made.prompts.render("base", made.data.examples("web"))
    )
    assert sorted(sae.encoded) == sorted([*lengths, *lengths])


def test_filters_of_such_an_sae_are_alone_on_their_side_just_the_same(session: MakeSession) -> None:
    low = latents_by_hand(session, LIMIT)
    found = records(session(PAIR + filtered("active"), SEQUENCE))
    for view in ("base", "chat"):
        assert value(found, "active_low", view=view).value == pytest.approx(low[view], abs=1e-12)


def test_a_transcoder_is_held_against_what_it_reconstructs(session: MakeSession) -> None:
    made = session(PAIR + metrics("loss") + filtered("loss"), "saes.mid.out=mlp_out.2")
    found = records(made)
    tokens = list(pair_tokens(made, "p"))
    for metric, these in (
        ("loss", tokens),
        ("loss_low", [t for t in tokens if cosine(t) < LIMIT]),
    ):
        # The fake model has the same at every site of a block.
        losses = []
        for token in these:
            x = torch.tensor(token.right[None], dtype=torch.float32)
            sae: Any = made.saes["mid"]
            parts = torch.cat([x.relu(), (-x).relu()], 1)
            missed = x - sae.reconstruct(Latents.from_dense(parts))
            losses.append(float(missed.square().sum() / x.square().sum()))
        record = value(found, metric, view="chat")
        assert record.value == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    for model in made.models.values():
        for _, sites in model.forwards:  # type: ignore[attr-defined]
            assert set(sites) == {Site("resid_post", 2), Site("mlp_out", 2)}


# ── Logits ───────────────────────────────────────────────────────────────────────────────────────


def test_logits_are_read_once_for_a_stream_and_at_no_site(session: MakeSession) -> None:
    made = session(PAIR + metrics("surprise", "turn") + filtered("turn"))
    found = passed(made)
    jobs = [one.job for one in found if isinstance(one.job, MetricJob)]
    assert [(job.entry, job.side) for job in jobs] == [
        ("surprise", "left"),
        ("surprise", "right"),
        ("turn", "pair"),
        ("turn_low", "pair"),
    ]
    assert all("site" not in job.axes and "sae" not in job.axes for job in jobs)
    assert total_forwards() == 2


@pytest.mark.parametrize("padding", ["left", "right"])
def test_logits_are_those_of_the_measured_tokens(session: MakeSession, padding: str) -> None:
    text = PAIR + metrics("turn", "surprise") + filtered("turn")
    made = session(text, f"models.chat.padding={padding}")
    found = records(made)
    last = list(pair_tokens(made, "p", "resid_post.3"))
    low = [token for token in last if cosine(token) < LIMIT]

    def turned(token: Token) -> float:
        return float(sum(abs(2 * (token.id * v % 7)) for v in range(64)))

    for metric, these in (("turn", last), ("turn_low", low)):
        record = value(found, metric)
        assert record.n == len(these) > 0
        assert record.value == pytest.approx(sum(map(turned, these)) / len(these), abs=1e-9)


def test_logits_that_nobody_asked_for_are_not_made(session: MakeSession) -> None:
    made = session(PAIR + metrics("gap"))
    passed(made)
    batch = next(batch for _, batch in fakes.LAB.batches)
    with pytest.raises(ValueError, match="logits were not asked for"):
        batch.left.logits()


# ── Memory ───────────────────────────────────────────────────────────────────────────────────────


class Forgetful(list[Any]):
    """Keeps nothing."""

    def append(self, item: object) -> None: ...


def test_nothing_but_the_states_outlives_a_batch(
    session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither batches nor activations, whatever the number of documents, shards and jobs."""
    monkeypatch.setattr(fakes, "WEB", [f"text {n}" for n in range(60)])
    fakes.LAB.batches = Forgetful()
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = [0]
    made = session(PAIR + metrics(*ON_SAE, "gap") + filtered(*ON_SAE), "batch.activations=2",
                   "batch.shard=40")  # fmt: skip
    for name in ("base", "chat"):
        model: Any = made.model(name)
        read = model.activations

        def watched(*given: Any, read: Any = read, **more: Any) -> Any:
            found = read(*given, **more)
            alive.update(found.sites.values())
            most[0] = max(most[0], len(alive))
            return found

        model.activations = watched
    passed(made)
    # Two models at one site: of this batch, and of the one before while it is let go.
    assert most[0] <= 4
    gc.collect()
    assert not alive


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 8])
def test_states_do_not_grow_with_the_documents(
    session: MakeSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, times: int
) -> None:
    sizes = {}
    for many in (1, times):
        monkeypatch.setattr(fakes, "WEB", ["text", "more text", "and so on"] * 10 * many)
        folder = tmp_path / str(many)
        records(session(PAIR + metrics(*ON_SAE) + filtered("gap"), "batch.shard=50"),
                folder / "pass")  # fmt: skip
        sizes[many] = max(file.stat().st_size for file in folder.iterdir())
        assert len(list(folder.iterdir())) == 2
    assert abs(sizes[times] - sizes[1]) < 64
