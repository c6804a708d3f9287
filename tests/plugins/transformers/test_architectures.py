"""Every architecture of the docs' table, tiny: our sites against plain hooks of transformers'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    GenerationConfig,
    PreTrainedTokenizerFast,
)

from harness.contract import Arm, Edit, Sampling, Site, Tokens
from harness.errors import ModelError
from harness_transformers import pieces, prefixes
from harness_transformers.backend import TransformersBackend
from harness_transformers.model import TransformersModel
from harness_transformers.options import TransformersOptions

from .architectures import BY_KIND, FAMILIES, LOOKS_AHEAD, Architecture

IDS = ([5, 9, 31, 7, 12, 40, 3], [8, 22, 17], [33, 6, 50, 51, 4])
ROWS = [Tokens(f"e{n}", tuple(ids), "", (0, len(ids))) for n, ids in enumerate(IDS)]
NEW = 3
INNER = ("attn_out", "mlp_out")


def _tokenizer() -> PreTrainedTokenizerFast:
    words = {"<pad>": 0, "<bos>": 1, "<eos>": 2} | {f"w{n}": n for n in range(3, 64)}
    inner = Tokenizer(models.WordLevel(words, unk_token="w3"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>"
    )


def _saved(one: Architecture, folder: Path) -> Any:
    """transformers' own model, which is saved with a tokenizer in the folder."""
    torch.manual_seed(0)
    config = one.config()
    seeing = type(config) in AutoModelForImageTextToText._model_mapping
    auto = AutoModelForImageTextToText if seeing else AutoModelForCausalLM
    hf = auto.from_config(config).eval()
    with torch.no_grad():  # large enough that attention and experts do something
        for parameter in hf.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    hf.generation_config = GenerationConfig(eos_token_id=2, pad_token_id=0, bos_token_id=1)
    hf.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return hf


def _load(folder: Path, **options: str) -> TransformersModel:
    return TransformersBackend(TransformersOptions(path=str(folder), **options)).load()


def _first(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else value[0]


@contextmanager
def _watched(hf: Any, one: Architecture) -> Iterator[dict[str, Tensor]]:
    """By site, what plain hooks see at the modules that are named by hand."""
    seen: dict[str, Tensor] = {}

    def after(name: str) -> Callable[..., None]:
        return lambda _m, _a, out: seen.__setitem__(name, _first(out).clone())

    def before(name: str) -> Callable[..., None]:
        def see(_m: Any, args: Any, kwargs: Any) -> None:
            seen[name] = (args[0] if args else kwargs["hidden_states"]).clone()

        return see

    with ExitStack() as held:
        for n, block in enumerate(hf.get_submodule(one.blocks)):
            handles = [block.register_forward_pre_hook(before(f"resid_pre.{n}"), with_kwargs=True)]
            handles.append(block.register_forward_hook(after(f"resid_post.{n}")))
            for kind, named in (("attn_out", one.attn[n]), ("mlp_out", one.mlp[n])):
                if named is not None:
                    module = block.get_submodule(named)
                    handles.append(module.register_forward_hook(after(f"{kind}.{n}")))
            for handle in handles:
                held.enter_context(handle)
        yield seen


def _close(got: Tensor, expected: Tensor, what: str) -> None:
    """Equal to float32's rounding, as a share of the largest number there."""
    assert got.shape == expected.shape, what
    assert float((got - expected).abs().max()) <= 2e-5 * float(expected.abs().max()), what


def _site(name: str) -> Site:
    kind, _, layer = name.partition(".")
    return Site(kind, int(layer))


@pytest.mark.slow
@pytest.mark.parametrize("kind", BY_KIND)
@torch.no_grad()
def test_an_architecture_is_what_transformers_has(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = BY_KIND[kind]
    hf = _saved(one, tmp_path)
    model = _load(tmp_path)
    assert model.facts.layers == len(one.attn)
    assert model.facts.d_model == 32
    _activations(one, hf, model)
    _lacking_sites(one, model)
    _an_edit(one, hf, model)
    for together in (pieces.TOGETHER, 1):  # with 1 each prompt is read by itself
        with monkeypatch.context() as patch:
            patch.setattr(pieces, "TOGETHER", together)
            _completions(hf, model)
            patch.setattr(prefixes, "ENOUGH", 1)
            _completions_that_share(one, hf, model)


def _activations(one: Architecture, hf: Any, model: TransformersModel) -> None:
    """Rows of one padded batch are those of each alone, at each site and in the logits."""
    alone = []
    for row in ROWS:
        with _watched(hf, one) as seen:
            out = hf(input_ids=torch.tensor([row.ids]), output_hidden_states=True, use_cache=False)
        alone.append((seen, out))
    sites = {name: _site(name) for name in alone[0][0]}
    ran = [n for n in range(len(one.attn)) if n not in one.silent]
    given = [name for names in (one.attn, one.mlp) for name in names if name is not None]
    assert len(sites) == 2 * len(ran) + len(given)
    middle = [Site("resid_mid", n) for n in ran if "resid_mid" in model._layout.inside[n].places]
    got = model.activations(ROWS, [*sites.values(), *middle], logits=True)
    assert got.logits is not None
    for n, (seen, out) in enumerate(alone):
        length = len(ROWS[n].ids)
        _close(got.logits[n, :length], out.logits[0], "logits")
        for name, site in sites.items():
            # Some MLPs have no axis of rows; there is one row here.
            expected = seen[name].view(1, length, -1)
            _close(got.sites[site][n, :length], expected[0], name)
        # The last state is after the final norm; without the embeddings they begin one later.
        name = "resid_post" if one.states_are_outputs else "resid_pre"
        for block, state in zip(
            ran[: len(ran) - one.states_are_outputs], out.hidden_states, strict=False
        ):
            _close(seen[f"{name}.{block}"], state, f"hidden_states of block {block}")
    for n in ran:  # what the two sites promise: they are what the block adds
        if one.attn[n] and one.mlp[n]:
            parts = [got.sites[Site(kind, n)] for kind in INNER]
            total = got.sites[Site("resid_pre", n)] + parts[0] + parts[1]
            _close(total, got.sites[Site("resid_post", n)], f"block {n}")
            inside = model._layout.inside[n]
            assert ("resid_mid" in inside.places) != ("resid_mid" in inside.lacks)
    for site in middle:  # to the bit: it is the sum that the model itself made
        before, added = Site("resid_pre", site.layer), Site("attn_out", site.layer)
        if added in got.sites:  # in some blocks something else stands in the place of attention
            assert torch.equal(got.sites[site], got.sites[before] + got.sites[added])


def _lacking_sites(one: Architecture, model: TransformersModel) -> None:
    """A site that a block does not have is told with those that it has."""
    for kind, named in (("attn_out", one.attn), ("mlp_out", one.mlp)):
        for n, name in enumerate(named):
            if name is None:
                silent = n in one.silent
                says = rf"block {n} does not run" if silent else rf"Block {n} has resid_pre\.{n}"
                with pytest.raises(ModelError, match=says) as told:
                    model.activations(ROWS, [Site(kind, n)])
                elsewhere = [str(at) for at, there in enumerate(named) if there is not None]
                if elsewhere and not silent:
                    assert f"{kind} is in the blocks {', '.join(elsewhere)}." in str(told.value)


def _an_edit(one: Architecture, hf: Any, model: TransformersModel) -> None:
    """An addition at a block's end is that of a plain hook, and its receipt counts the tokens."""
    v = torch.randn(32, generator=torch.Generator().manual_seed(1))
    block = hf.get_submodule(one.blocks)[0]

    def add(_m: Any, _a: Any, out: Any) -> Any:
        return out + v if isinstance(out, Tensor) else (out[0] + v, *out[1:])

    edit = Edit(Site("resid_post", 0), lambda x, p: x + p["v"][:, None], {"v": v})
    with model.edited([Arm("add", (edit,))]) as receipts:
        got = model.activations(ROWS, [], logits=True).logits
    assert got is not None
    with block.register_forward_hook(add):
        for n, row in enumerate(ROWS):
            expected = hf(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0]
            _close(got[n, : len(row.ids)], expected, "edited logits")
    assert receipts[0].fired == 1
    assert receipts[0].changed == receipts[0].tokens == sum(map(len, IDS))
    if one.mlp[0] is None:
        return
    zero = Edit(Site("mlp_out", 0), lambda x, p: x * 0, {})
    with model.edited([Arm("none"), Arm("zero", (zero,))]) as receipts:
        rows = [replace(row, arm=n % 2) for n, row in enumerate(ROWS)]
        got = model.activations(rows, [], logits=True).logits
        model.generate(rows, Sampling(max_new_tokens=2))
    assert got is not None
    silent = block.get_submodule(one.mlp[0])
    for n, row in enumerate(ROWS):
        with silent.register_forward_hook(_nothing) if n % 2 else nullcontext():
            expected = hf(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0]
        _close(got[n, : len(row.ids)], expected, "logits of an arm")
    assert receipts[0].tokens == 0
    assert receipts[1].relative == pytest.approx(1)


def _nothing(_m: Any, _a: Any, out: Any) -> Any:
    return out * 0 if isinstance(out, Tensor) else (out[0] * 0, *out[1:])


def _alone(hf: Any, ids: tuple[int, ...], guess: list[int], new: int, *stops: int) -> list[int]:
    """The tokens that one prompt writes without a cache, up to a stop. A guess is right as far as
    each of its tokens is the likeliest after those before, which one pass over all of it says."""
    written: list[int] = []
    while len(written) < new:
        tried = torch.tensor([[*ids, *written, *guess[len(written) :]]])
        best = hf(input_ids=tried, use_cache=False).logits[0, len(ids) - 1 :].argmax(-1).tolist()
        while len(written) < min(new, len(best)):
            written.append(best[len(written)])
            if written[-1] in stops:
                return written
            if guess[len(written) - 1 : len(written)] != written[-1:]:
                break
    return written


def _ids(model: TransformersModel, text: str) -> list[int]:
    return model.tokenizer.encode(text, add_special_tokens=False)


def _completions(hf: Any, model: TransformersModel) -> None:
    """A batch of unequal prompts, with a cache, writes what each does alone without one."""
    found = model.generate(ROWS, Sampling(max_new_tokens=NEW))
    for row, got in zip(ROWS, found, strict=True):
        ids = _alone(hf, row.ids, _ids(model, got.text), NEW, 2)
        written = [token for token in ids if token > 2]
        assert got.text == model.tokenizer.decode(written), row.example


def _completions_that_share(one: Architecture, hf: Any, model: TransformersModel) -> None:
    """Prompts that begin alike, some of them equal, under two arms of which one starts late, and
    rows that end at different steps: what each writes alone, under a plain hook."""
    v = torch.randn(32, generator=torch.Generator().manual_seed(1))
    last = max(n for n in range(len(one.attn)) if n not in one.silent)
    block = hf.get_submodule(one.blocks)[last]
    edit = Edit(Site("resid_post", last), lambda x, p: x + p["v"][:, None], {"v": v})
    arms = [Arm("none"), Arm("add", (edit,)), Arm("again", (edit,))]
    start = (5, 9, 31, 7, 12, 40, 3, 22, 17)
    ids = [(*start, 8), (*start, 33, 6, 50), (*start, 51, 4), (*start, 8)]
    rows = [
        Tokens(f"e{n}", one, "", (0, len(one)), arm)
        for n, one in enumerate(ids)
        for arm in range(3)
    ]

    def add(_m: Any, _a: Any, out: Any) -> Any:
        return out + v if isinstance(out, Tensor) else (out[0] + v, *out[1:])

    stop = _alone(hf, ids[0], [], 2)[1]
    stops = model._stops
    model._stops = (2, stop)
    with model.edited(arms) as receipts:
        found = model.generate(rows, Sampling(max_new_tokens=4))
    model._stops = stops
    read = [0, 0, 0]
    alone: dict[tuple[tuple[int, ...], bool], list[int]] = {}
    for row, got in zip(rows, found, strict=True):
        key = row.ids, bool(row.arm)
        if key not in alone:
            with block.register_forward_hook(add) if row.arm else nullcontext():
                alone[key] = _alone(hf, row.ids, _ids(model, got.text), 4, 2, stop)
        kept = [token for token in alone[key] if token not in (2, stop)]
        assert got.text == model.tokenizer.decode([t for t in kept if t > 2]), (one.kind, row)
        assert got.tokens == len(alone[key])
        read[row.arm] += len(row.ids) + got.tokens - 1
    assert [receipt.tokens for receipt in receipts] == [0, read[1], read[2]]
    assert receipts[1].relative == pytest.approx(receipts[2].relative, rel=1e-5)


def test_the_docs_list_them() -> None:
    """The table of docs/models.md is made from the list that is tested here."""
    docs = Path(__file__).parents[3] / "docs" / "models.md"
    text = docs.read_text(encoding="utf-8")
    for family, title in FAMILIES.items():
        columns: tuple[list[str], ...] = ([], [], [])
        for one in (one for one in BY_KIND.values() if one.family == family):
            has = [name is not None for name in (*one.attn, *one.mlp)]
            columns[0 if all(has) else 1 if any(has) else 2].append(f"`{one.kind}`")
        assert f"| {' | '.join([title, *map(', '.join, columns)])} |" in text
    assert text.count("`qwen3_5`") == 1


FUSED = ("mixtral", "qwen3_moe", "gpt_oss")
WAYS: dict[str, dict[str, Any]] = {
    "parameters": {
        "target_modules": ["q_proj"],
        "target_parameters": ["experts.gate_up_proj", "experts.down_proj"],
    },
    "one of them": {"target_modules": [], "target_parameters": ["experts.down_proj"]},
    "linear": {"target_modules": "all-linear"},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FUSED)
@torch.no_grad()
def test_an_adapter_of_fused_experts_is_peft_s_own(kind: str, tmp_path: Path) -> None:
    """Experts whose weights are one tensor: merged, each site is that of peft's unmerged model."""
    one = BY_KIND[kind]
    hf = _saved(one, tmp_path / "base")
    plain = hf(input_ids=torch.tensor([IDS[0]])).logits
    for way, settings in WAYS.items():
        torch.manual_seed(2)
        config = LoraConfig(r=4, init_lora_weights=False, **settings)
        get_peft_model(deepcopy(hf), config).save_pretrained(tmp_path / way)
        unmerged = PeftModel.from_pretrained(deepcopy(hf), tmp_path / way).eval()
        with _watched(unmerged.get_base_model(), one) as seen:
            expected = unmerged(input_ids=torch.tensor([IDS[0]])).logits
        assert (expected - plain).abs().max() > 0.01 * plain.abs().max()
        model = _load(tmp_path / "base", adapter=str(tmp_path / way))
        got = model.activations(ROWS[:1], list(map(_site, seen)), logits=True)
        assert got.logits is not None
        _close(got.logits, expected, way)
        for name, value in seen.items():
            _close(got.sites[_site(name)], value, f"{way}: {name}")


def test_a_model_that_looks_ahead_is_refused(tmp_path: Path) -> None:
    """Of PaliGemma, transformers itself gives a prompt other numbers with padding than without."""
    _saved(LOOKS_AHEAD, tmp_path)
    with pytest.raises(ModelError, match=r"reads a prompt in both directions.* Allowed: causal"):
        _load(tmp_path)
