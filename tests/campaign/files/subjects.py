"""All subjects: every kind of file that a task may name, with a task that reads little else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from campaign.files.json_damage import json_damage
from campaign.files.row_damage import pack, row_damage, written
from campaign.files.saes import sae_subjects
from campaign.files.sound import ROWS, TEMPLATE, write_adapter, write_gguf, write_model
from campaign.files.subject import TASK, Subject
from campaign.files.template_damage import embedded_template_damage
from harness.registry import Registry

_HEAD = """\
name = "files"
[models.base]
path = "../../models/base"
[models.m]
{model}
[views.base]
model = "base"
[views.m]
model = "m"
{prompt}
[data.d]
file = "{data}"
{rows}
"""
_READ = """
[pairs.p]
left = "base"
right = "m"
data = "d"
sites = ["resid_post.1"]
[metrics.cosine]
pair = "p"
"""
_ASKED = """
[experiments.e]
view = "m"
data = "d"
evaluators = ["substrings"]
generation = { max_new_tokens = 2 }
"""
_CHAT = 'prompt = { style = "chat" }'
_SOUND = 'path = "../../models/tuned"'
_LABELS = """
[saes.s]
path = "../../models/sae"
model = "base"
site = "resid_post.1"
check_site = false
[statistics.shift]
method = "feature_shift"
pair = "p"
sae = "s"
delta = 0.5
[labels.l]
method = "file"
sae = "s"
path = "LABELS"
[analyses.clusters]
sae = "s"
taxonomy = "TAXONOMY"
labels = "l"
shift = "shift"
"""
TAXONOMY = {"clusters": {"animals": "cats and their kin", "numbers": "1, 2, 3", "other": "rest"}}


def _task(
    model: str = _SOUND, data: str = "../../models/web.jsonl", *, prompt: str = "", rows: str = "",
    does: str = _READ,
) -> str:  # fmt: skip
    return _HEAD.format(model=model, data=data, prompt=prompt, rows=rows) + does


def subjects(registry: Registry, place: Path) -> list[Subject]:
    """Writes all subjects and the sound models beside them into a folder; always the same."""
    shutil.rmtree(place / "models", ignore_errors=True)
    shutil.rmtree(place / "subjects", ignore_errors=True)
    models, folder = place / "models", place / "subjects"
    write_model(models / "base", seed=0)
    write_model(models / "tuned", seed=1)
    (models / "web.jsonl").write_bytes(written(ROWS, ".jsonl"))
    found = list(sae_subjects(registry, folder))
    shutil.copytree(next(s.folder for s in found if s.name == "sae saelens 0") / "s/standard",
                    models / "sae")  # fmt: skip
    for make in (_models, _adapters, _tokenizers, _templates, _ggufs, _data, _labels):
        found += make(folder, models)
    return found


Make = Callable[[Path, Path], Iterator[Subject]]


def _models(folder: Path, models: Path) -> Iterator[Subject]:
    """Configurations, weights in one file and in several, and their index."""
    for name, family, parts in (
        ("llama", "llama", False), ("in parts", "llama", True), ("gpt2", "gpt2", False)
    ):  # fmt: skip
        own = folder / f"model {name}"
        write_model(own / "m", seed=1, parts=parts, family=family)
        (own / TASK).write_text(_task('path = "m"', does=_READ + _ASKED))
        files = [*(own / "m").glob("*.safetensors*"), own / "m/config.json"]
        files += [own / "m/config.json", own / "m/generation_config.json"]
        yield Subject(f"model {name}", own, _names(files, own), "models.m")


def _adapters(folder: Path, models: Path) -> Iterator[Subject]:
    for kind in ("lora", "dora", "saved", "ia3"):
        own = folder / f"adapter {kind}"
        write_adapter(own / "a", models / "base", kind)
        model = 'path = "../../models/base"\nadapter = "a"'
        (own / TASK).write_text(_task(model))
        files = [own / "a/adapter_config.json", own / "a/adapter_model.safetensors"]
        yield Subject(f"adapter {kind}", own, _names(files, own), "models.m")
    own = folder / "adapter checkpoints"
    for step in (4, 8):
        checkpoint = own / f"run/checkpoint-{step}"
        write_adapter(checkpoint, models / "base", "lora")
        (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    (own / TASK).write_text(
        _task().replace('right = "m"', "").replace('left = "base"',
                                                   'from = "run/checkpoint-*"\nleft = "base"')
    )  # fmt: skip
    files = sorted(f for f in own.rglob("checkpoint-8/*") if f.suffix in (".json", ".safetensors"))
    yield Subject("adapter checkpoints", own, _names(files, own), "pairs.p")


def _tokenizers(folder: Path, models: Path) -> Iterator[Subject]:
    """With tokenizer.json, and in the older form of a vocabulary and merges."""
    for name, does, prompt in (
        ("asked", _ASKED, _CHAT), ("read", _READ, ""), ("of words", _READ, "")
    ):  # fmt: skip
        own = folder / f"tokenizer {name}"
        shutil.copytree(models / "tuned", own / "t")
        for file in (own / "t").iterdir():
            if file.suffix == ".safetensors" or (
                file.name.endswith("config.json") and (file.name != "tokenizer_config.json")
            ):
                file.unlink()
        _older(own / "t", whole=name != "of words")
        (own / TASK).write_text(_task(_SOUND + '\ntokenizer = "t"', does=does, prompt=prompt))
        files = [f for f in (own / "t").iterdir() if f.suffix != ".jinja"]
        yield Subject(f"tokenizer {name}", own, _names(files, own), "models.m")


def _older(folder: Path, *, whole: bool) -> None:
    """The files that transformers 4 wrote beside tokenizer.json, or in its place."""
    special = {"bos_token": "<|bos|>", "eos_token": "<|eos|>", "pad_token": "<|pad|>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "added_tokens.json").write_text(json.dumps({"<|eot|>": 5}))
    if whole:
        return
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [" ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (folder / "tokenizer.json").unlink()
    told = {**special, "tokenizer_class": "GPT2Tokenizer", "unk_token": "<|pad|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))


def _templates(folder: Path, models: Path) -> Iterator[Subject]:
    """In a file of its own, and among the tokenizer's settings."""
    for name in ("file", "settings"):
        own = folder / f"template {name}"
        shutil.copytree(models / "tuned", own / "t")
        file = own / "t/chat_template.jinja"
        if name == "settings":
            file.unlink()
            file = own / "t/tokenizer_config.json"
            told = json.loads(file.read_text())
            file.write_text(json.dumps({**told, "chat_template": TEMPLATE}))
        for extra in ("model.safetensors", "config.json", "generation_config.json"):
            (own / "t" / extra).unlink()
        (own / TASK).write_text(_task(_SOUND + '\ntokenizer = "t"', prompt=_CHAT, does=_ASKED))
        files = _names([file], own)
        special = {files[0]: (embedded_template_damage,)} if name == "settings" else {}
        yield Subject(f"template {name}", own, files, "models.m", special)


def _ggufs(folder: Path, models: Path) -> Iterator[Subject]:
    """With the tokenizer inside, and with one beside it."""
    for name, more in (("alone", ""), ("with a tokenizer", '\ntokenizer = "../../models/base"')):
        own = folder / f"gguf {name}"
        own.mkdir()
        write_gguf(own / "m.gguf", models / "tuned")
        (own / TASK).write_text(_task('gguf = "m.gguf"' + more))
        yield Subject(f"gguf {name}", own, ("m.gguf",), "models.m")


def _data(folder: Path, models: Path) -> Iterator[Subject]:
    """Every form, some of them packed, read in three ways."""
    sorted_rows = 'by = "kind"\nat_least = { score = 0 }'
    ways = {
        "read": (sorted_rows, "", _READ), "asked": ("", _CHAT, _ASKED),
        "shown": ("", "prompt = { demonstrations = { data = 'd', count = 2, answer = 'text' } }",
                  _READ.replace("cosine", "displacement")),
    }  # fmt: skip
    forms = (
        ("rows.jsonl", "read"), ("rows.jsonl", "asked"), ("rows.json", "asked"),
        ("rows.csv", "read"), ("rows.tsv", "read"), ("rows.txt", "asked"), ("rows.csv", "shown"),
        ("rows.parquet", "read"), ("rows.parquet", "asked"), ("rows.jsonl.gz", "asked"),
        ("rows.jsonl.zst", "read"), ("rows.csv.bz2", "read"), ("rows.json.xz", "asked"),
        ("rows.parquet.gz", "read"),
    )  # fmt: skip
    for file, way in forms:
        own = folder / f"data {file} {way}"
        own.mkdir()
        suffixes = Path(file).suffixes
        rows, prompt, does = ways[way]
        (own / file).write_bytes(pack(written(ROWS, suffixes[0]), "".join(suffixes[1:])))
        text = _task(data=file, prompt=prompt, rows=rows, does=does)
        both = '[views.base]\nmodel = "base"\n'
        (own / TASK).write_text(text.replace(both, f"{both}{prompt}\n"))
        yield Subject(f"data {file} {way}", own, (file,), "data.d", {file: (row_damage(ROWS),)})


def _labels(folder: Path, models: Path) -> Iterator[Subject]:
    """Descriptions of features, and the clusters that they may belong to."""
    rows = [
        {"feature": n, "description": f"cats {n}", "cluster": [*TAXONOMY["clusters"]][n % 3],
         "url": "https://example.org"} for n in range(32)
    ]  # fmt: skip
    for form, taxonomy in ((".jsonl", "taxonomy.toml"), (".csv", "taxonomy.json")):
        own = folder / f"labels {form}"
        own.mkdir()
        (own / f"labels{form}").write_bytes(written(rows, form))
        text = "[clusters]\n" + "".join(f'{k} = "{v}"\n' for k, v in TAXONOMY["clusters"].items())
        json_text = json.dumps(TAXONOMY)
        (own / taxonomy).write_text(text if taxonomy.endswith("toml") else json_text)
        does = _LABELS.replace("LABELS", f"labels{form}").replace("TAXONOMY", taxonomy)
        (own / TASK).write_text(_task() + does)
        special = {f"labels{form}": (row_damage(rows),)}
        if taxonomy.endswith("json"):
            special[taxonomy] = (json_damage,)
        files = (f"labels{form}", f"labels{form}", taxonomy)
        yield Subject(f"labels {form}", own, files, "labels.l", special)


def _names(files: list[Path], folder: Path) -> tuple[str, ...]:
    return tuple(sorted(str(file.relative_to(folder)) for file in files))
