"""How fast a paired pass is, beside what the same work costs in a notebook.

    python tests/benchmarks/drift_speed.py [--device cuda] [--threads 1 2] [--repeats 5]
    python tests/benchmarks/drift_speed.py --case gemma --only floor harness --folder /tmp/gemma

The same work everywhere: two models, three sites, an SAE at each; explained ratio, intersection
ratio at the tokens under cosine 0.9, and FVU of both models, over 2,048 tokens.

- `floor`: both models up to the deepest site, and one encoder product per site and model;
- `harness`: `run_pass_alone` of the harness on a task with these metrics, bootstrap and all;
- `notebook`: `output_hidden_states=True`, SAELens' encode and decode, dense;
- `nnsight`: traces that stop at the deepest site, SAELens' encode and decode, dense; where nnsight
  is installed;
- `transformer_lens`: `run_with_cache` with `stop_at_layer`, SAELens' encode and decode, dense.

Contenders take turns in one process, so that all see the same load of the machine; figures are
medians, and the least. Faults are pages of memory that the system had to give in a turn. Memory is
measured apart: `--memory` runs the harness's pass on ten times the tokens.

`--case gemma` has the widths of Gemma-2-2B, with 65,536 latents at one site, and few tokens. What
is built takes 6 GB; `--folder` keeps it for another run. `--without-numba` hides numba, with which
the harness encodes in compiled code.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from turns.clock import Time, timed
from turns.series import Asked, Series, told

Run = Callable[[], dict[str, float]]
"""One turn; the numbers come out."""
PYTHON: Sequence[str] = (sys.executable,)
"""The first words of a command that measures memory."""


@dataclass(frozen=True)
class Shapes:
    """Sizes of the models, the SAEs and the text."""

    d_model: int = 512
    blocks: int = 12
    heads: int = 8
    mlp: int = 2048
    vocabulary: int = 64_000
    d_sae: int = 16_384
    k: int = 64
    sites: tuple[int, ...] = (4, 6, 8)
    documents: int = 16
    length: int = 128


TOY = Shapes(32, 4, 2, 64, 300, 64, 4, (1, 2), 12, 12)
GEMMA = Shapes(2304, 6, 8, 9216, 2000, 65_536, 100, (4,), 4, 64)
CASES = {"small": Shapes(), "gemma": GEMMA, "toy": TOY}


def build(folder: Path, shapes: Shapes, documents: int) -> None:
    """Two random models, an SAE at each site in SAELens' form, and text of random words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = {"<unk>": 0, "<eos>": 1, **{f"w{i}": i for i in range(2, shapes.vocabulary)}}
    raw = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>", pad_token="<eos>")
    config = LlamaConfig(
        vocab_size=shapes.vocabulary,
        hidden_size=shapes.d_model,
        num_hidden_layers=shapes.blocks,
        num_attention_heads=shapes.heads,
        num_key_value_heads=shapes.heads,
        intermediate_size=shapes.mlp,
        max_position_embeddings=shapes.length + 8,
        bos_token_id=1,
        eos_token_id=1,
    )
    torch.manual_seed(0)
    base = LlamaForCausalLM(config)
    base.save_pretrained(folder / "base")
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.add_(torch.randn_like(parameter) * parameter.std() * 0.3)
    base.save_pretrained(folder / "chat")
    for name in ("base", "chat"):
        tokenizer.save_pretrained(folder / name)
    for site in shapes.sites:
        where = folder / f"sae_{site}"
        where.mkdir()
        decoder = torch.nn.functional.normalize(torch.randn(shapes.d_sae, shapes.d_model), dim=1)
        weights = {
            "W_enc": decoder.T.contiguous(),
            "W_dec": decoder,
            "b_enc": torch.zeros(shapes.d_sae),
            "b_dec": torch.zeros(shapes.d_model),
        }
        save_file(weights, where / "sae_weights.safetensors")
        about = {
            "architecture": "topk",
            "d_in": shapes.d_model,
            "d_sae": shapes.d_sae,
            "k": shapes.k,
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": False,
            "normalize_activations": "none",
            "reshape_activations": "none",
            "rescale_acts_by_decoder_norm": False,
            "metadata": {"hook_name": f"blocks.{site}.hook_resid_post"},
        }
        (where / "cfg.json").write_text(json.dumps(about))
    drawn = torch.randint(2, shapes.vocabulary, (documents, shapes.length)).tolist()
    rows = [json.dumps({"text": " ".join(f"w{i}" for i in ids)}) for ids in drawn]
    (folder / "text.jsonl").write_text("\n".join(rows) + "\n")


def task_text(shapes: Shapes) -> str:
    """The work as a task."""
    lines = ['name = "speed"']
    for model in ("base", "chat"):
        lines += [f'[models.{model}]\npath = "{model}"\n[views.{model}]\nmodel = "{model}"']
    for site in shapes.sites:
        lines += [f'[saes.s{site}]\npath = "sae_{site}"\nmodel = "base"']
    saes = ", ".join(f'"s{site}"' for site in shapes.sites)
    lines += ['[data.text]\nfile = "text.jsonl"']
    lines += [f'[pairs.p]\nleft = "base"\nright = "chat"\ndata = "text"\nsaes = [{saes}]']
    for metric in ("explained_ratio", "intersection_ratio"):
        lines += [f'[metrics.{metric}]\npair = "p"\nwhere = {{ cosine_below = 0.9 }}']
    lines += ['variants = ["per_token"]', '[metrics.fvu]\npair = "p"']
    return "\n".join(lines) + "\n"


class Harness:
    """The harness's own pass, with what it loads held."""

    def __init__(self, folder: Path, device: str, dtype: str = "float32") -> None:
        import harness
        from harness.running.session import Session

        task = harness.load(
            folder / "task.toml",
            models={name: {"device": device, "dtype": dtype} for name in ("base", "chat")},
        )
        self.planned = harness.plan(task)
        self.session = Session(task, folder / "cache", folder / "verdicts")
        for name in task.spec.saes:
            self.session.sae(name)
        self.session.model("chat")

    def __call__(self) -> dict[str, float]:
        from harness.running.passes.run import run_pass_alone

        found: dict[str, float] = {}
        for work in self.planned.passes:

            def file(job: Any, done: Any) -> None:
                for record in done.outcomes[0].records:
                    if record.value is not None:
                        side = getattr(job, "side", "")
                        found[f"{record.id} {side} {getattr(job, 'target', '')}"] = record.value

            run_pass_alone(self.session, work, file, lambda done: None)
        return found

    def hf(self, name: str) -> Any:
        return self.session.model(name).native.model  # type: ignore[union-attr]

    def ids(self) -> Tensor:
        rendered = self.session.prompts.rendered("base", "text")
        device = self.session.model("base").device
        return torch.tensor([prompt.ids for prompt in rendered], device=device)


def metrics(xs: dict[str, dict[int, Tensor]], saes: dict[int, Any]) -> dict[str, float]:
    """ER, IR and FVU the way a notebook computes them: dense, in float32."""
    found: dict[str, float] = {}
    for site, sae in saes.items():
        base, chat = (xs[name][site][:, 1:].flatten(0, 1) for name in ("base", "chat"))
        z = {name: sae.encode(x) for name, x in (("base", base), ("chat", chat))}
        x_hat = {name: sae.decode(value) for name, value in z.items()}
        far = torch.cosine_similarity(base, chat) < 0.9
        one, other = (
            base.norm(dim=1).square().mean().sqrt(),
            chat.norm(dim=1).square().mean().sqrt(),
        )
        error = ((chat - x_hat["chat"]) / other)[far].square().sum()
        found[f"er {site}"] = float(error / (chat / other - base / one)[far].square().sum())
        on = {name: value[far] > 0 for name, value in z.items()}
        both, either = (on["base"] & on["chat"]).sum(1), (on["base"] | on["chat"]).sum(1)
        found[f"ir {site}"] = float((both / either).mean())
        for name, x in (("base", base), ("chat", chat)):
            spread = (x - x.mean(0)).square().sum()
            found[f"fvu {name} {site}"] = float((x - x_hat[name]).square().sum() / spread)
    return found


def contenders(
    work: Harness, folder: Path, shapes: Shapes, device: str, only: Sequence[str] = ()
) -> dict[str, Run]:
    """Every way to do the work that is installed here, or those of `only`."""
    saes = (
        _sae_lens(folder, shapes, device) if not {*only} or {*only} - {"floor", "harness"} else {}
    )
    ids, models = work.ids(), {name: work.hf(name) for name in ("base", "chat")}
    deepest = max(shapes.sites)
    encoders = {site: _encoder(folder, site).to(device) for site in shapes.sites}

    class Stop(Exception):
        pass

    def captured(model: Any) -> dict[int, Tensor]:
        kept: dict[int, Tensor] = {}

        def hook(site: int) -> Callable[..., None]:
            def keep(module: Any, inputs: Any, output: Any) -> None:
                kept[site] = output[0] if isinstance(output, tuple) else output
                if site == deepest:
                    raise Stop

            return keep

        handles = [model.model.layers[s].register_forward_hook(hook(s)) for s in shapes.sites]
        try:
            model(input_ids=ids, use_cache=False)
        except Stop:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return kept

    def floor() -> dict[str, float]:
        for model in models.values():
            for site, x in captured(model).items():
                x[:, 1:].flatten(0, 1) @ encoders[site]
        return {}

    def notebook() -> dict[str, float]:
        xs = {}
        for name, model in models.items():
            states = model(input_ids=ids, output_hidden_states=True).hidden_states
            xs[name] = {site: states[site + 1] for site in shapes.sites}
        return metrics(xs, saes)

    runs: dict[str, Run] = {"floor": floor, "harness": work, "notebook": notebook}
    if saes and (nnsight := _nnsight(models, ids, shapes)):
        runs["nnsight"] = lambda: metrics(nnsight(), saes)
    if saes and (lens := _transformer_lens(models, ids, shapes)):
        runs["transformer_lens"] = lambda: metrics(lens(), saes)
    return {name: run for name, run in runs.items() if not only or name in only}


def _encoder(folder: Path, site: int) -> Tensor:
    with safe_open(folder / f"sae_{site}" / "sae_weights.safetensors", "pt") as file:
        found: Tensor = file.get_tensor("W_enc")
        return found


def _sae_lens(folder: Path, shapes: Shapes, device: str) -> dict[int, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of imports among each other
        from sae_lens import SAE
    return {s: SAE.load_from_disk(str(folder / f"sae_{s}"), device=device) for s in shapes.sites}


def _nnsight(models: dict[str, Any], ids: Tensor, shapes: Shapes) -> Callable[[], Any] | None:
    try:
        import nnsight
    except ImportError:
        return None
    wrapped = {name: nnsight.NNsight(model) for name, model in models.items()}
    deepest = max(shapes.sites)

    def run() -> dict[str, dict[int, Tensor]]:
        xs: dict[str, dict[int, Tensor]] = {}
        for name, model in wrapped.items():
            kept = {}
            with model.trace(input_ids=ids) as tracer:
                for site in shapes.sites:
                    kept[site] = model.model.layers[site].output.save()
                    if site == deepest:
                        tracer.stop()
            xs[name] = {s: x[0] if isinstance(x, tuple) else x for s, x in kept.items()}
        return xs

    return run


def _transformer_lens(
    models: dict[str, Any], ids: Tensor, shapes: Shapes
) -> Callable[[], Any] | None:
    """TransformerLens' bridge around the very same models: with a path it reads the configuration
    there, and takes the weights of `hf_model`.

    A bridge sets attention to `eager`, also of what it was given; so it wraps copies, which share
    the weights.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from transformer_lens.model_bridge import TransformerBridge
    except ImportError:
        return None
    wrapped = {}
    for name, model in models.items():
        weights = {id(parameter): parameter for parameter in model.parameters()}
        own = copy.deepcopy(model, weights)
        wrapped[name] = TransformerBridge.boot_transformers(
            model.config.name_or_path, hf_model=own, device=str(ids.device)
        )
    names = {f"blocks.{site}.hook_out": site for site in shapes.sites}

    def run() -> dict[str, dict[int, Tensor]]:
        xs: dict[str, dict[int, Tensor]] = {}
        for name, bridge in wrapped.items():
            _, cache = bridge.run_with_cache(
                ids, names_filter=list(names), stop_at_layer=max(shapes.sites) + 1
            )
            xs[name] = {site: cache[hook] for hook, site in names.items()}
        return xs

    return run


# ── time and memory ──────────────────────────────────────────────────────────────────────────────


@contextmanager
def built(kept: Path | None, shapes: Shapes, documents: int) -> Iterator[Path]:
    """A folder with models, SAEs, text and a task: a new one, or what `kept` has already."""
    with tempfile.TemporaryDirectory() as name:
        folder = kept or Path(name)
        if not (folder / "task.toml").exists():
            folder.mkdir(parents=True, exist_ok=True)
            build(folder, shapes, documents)
            (folder / "task.toml").write_text(task_text(shapes))
        yield folder


@torch.no_grad()
def times(
    shapes: Shapes,
    device: str,
    repeats: int,
    only: Sequence[str] = (),
    kept: Path | None = None,
) -> dict[str, list[Time]]:
    """All turns of each contender; one round warms up and checks the numbers."""
    with built(kept, shapes, shapes.documents) as folder:
        work = Harness(folder, device)
        runs = contenders(work, folder, shapes, device, only)
        if {"harness", "notebook"} <= runs.keys():
            _agree(runs["harness"](), runs["notebook"](), shapes)
        rounds = [
            {name: timed(run, device) for name, run in runs.items()} for _ in range(repeats + 1)
        ]
        return {name: [taken[name] for taken in rounds[1:]] for name in runs}


def series(asked: Asked) -> Iterator[Series]:
    """The pass beside its floor, in seconds of the processor; one thread."""
    torch.set_num_threads(1)
    shapes = TOY if asked.toy else Shapes()
    taken = times(shapes, "cpu", asked.repeats, ("floor", "harness") if asked.ours else ())
    found = {name: tuple(one.cpu for one in turns) for name, turns in taken.items()}
    for name in found.keys() - {"floor"}:
        unit, ours = "s of the processor", name == "harness"
        yield Series("1 thread", name, found[name], unit, found["floor"], ours)


def _agree(ours: dict[str, float], theirs: dict[str, float], shapes: Shapes) -> None:
    """All compute the same numbers, up to ties at the 0.9 cut and in the top k."""
    for site in shapes.sites:
        for id, name in (
            ("explained_ratio.ratio_of_means", f"er {site}"),
            ("intersection_ratio.per_token", f"ir {site}"),
            ("fvu.pooled@1 left", f"fvu base {site}"),
            ("fvu.pooled@1 right", f"fvu chat {site}"),
        ):
            mine = [v for key, v in ours.items() if key.startswith(id) and f"'s{site}'" in key]
            assert len(mine) == 1, (id, list(ours))
            off = abs(mine[0] - theirs[name])
            assert off <= 5e-3 * max(1.0, abs(mine[0])), (id, mine, theirs[name])


def peak(shapes: Shapes, documents: int) -> int:
    """Bytes that a process held at most while it ran the pass on so many documents."""
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import drift_speed as d;"
        "d.measure(pathlib.Path(sys.argv[2]))"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, shapes, documents)
        (folder / "task.toml").write_text(task_text(shapes))
        done = subprocess.run(
            [*PYTHON, "-c", code, str(Path(__file__).parent), name],
            capture_output=True,
            text=True,
            check=True,
        )
    return int(done.stdout.split()[-1])


@torch.no_grad()
def measure(folder: Path) -> None:
    """Runs the pass and prints the peak; a process of its own calls this."""
    Harness(folder, "cpu")()
    # Not getrusage: across exec, Linux carries the peak of the process that started this one.
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) * 1024)


def report(found: dict[str, list[Time]]) -> list[str]:
    """A line for each contender: seconds and faults, and how many times the floor they are.

    The ratio to the floor is the median over the rounds, in which all took one turn.
    """
    lines = []
    for name, turns in found.items():
        wall, cpu = (
            sorted(getattr(one, what) / getattr(floor, what) for one, floor in rounds)
            for what in ("wall", "cpu")
            for rounds in [list(zip(turns, found["floor"], strict=True))]
        )
        lines.append(
            f"{name:<18} {statistics.median(one.wall for one in turns):8.3f} s, least "
            f"{min(one.wall for one in turns):.3f}; x floor {statistics.median(wall):5.2f} "
            f"({wall[0]:.2f} to {wall[-1]:.2f}), of processor time {statistics.median(cpu):5.2f} "
            f"({cpu[0]:.2f} to {cpu[-1]:.2f}); "
            f"{statistics.median(one.faults for one in turns):,.0f} faults"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    if told(arguments, series):
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads()])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--case", choices=[*CASES], default="small")
    parser.add_argument("--only", nargs="+", default=(), help="contenders; floor is among them")
    parser.add_argument("--folder", type=Path, help="where to keep what is built")
    parser.add_argument("--without-numba", action="store_true")
    given = parser.parse_args(arguments)
    shapes = CASES[given.case]
    if given.without_numba:
        sys.modules["numba"] = None  # type: ignore[assignment]
    for threads in given.threads:
        torch.set_num_threads(threads)
        print(f"{threads} threads, {given.device}, {shapes.documents * shapes.length:,} tokens")
        found = times(shapes, given.device, given.repeats, given.only, given.folder)
        print("\n".join(report(found)), flush=True)
    if given.memory:
        # Two full batches at least: with fewer documents the batch itself would be smaller.
        once, ten = peak(shapes, 64), peak(shapes, 640)
        print(
            f"peak memory: {once / 1e6:.0f} MB; ten times the tokens: {ten / 1e6:.0f} MB, "
            f"{ten / once - 1:+.1%}"
        )


if __name__ == "__main__":
    main()
