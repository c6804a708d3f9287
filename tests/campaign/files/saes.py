"""SAEs of every format that is installed, as their own samples write them, for the tiny model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from safetensors.torch import load_file, save_file

from campaign.files.subject import TASK, Subject
from harness.contract import SaeFacts, SaeOptions
from harness.registry import Registry

_PLACES = [
    (re.compile(r"layers\.\{5,9,12\}"), "layers.{0,1,2}"),
    (re.compile(r"\b(blocks|layers)\.\d+"), r"\1.1"),
    (re.compile(r"layer_\d+(?=[_/\"]|$)"), "layer_1"),
    (re.compile(r'("layer": )\d+'), r"\g<1>1"),
    (re.compile(r"L\d+R\b"), "L1R"),
    (re.compile(r"\blayer\d+(?=\.sae)"), "layer1"),
    (re.compile(r"(?<=autoencoders/)\d+"), "1"),
    (re.compile(r"-l\d+(?=\.pt)"), "-l1"),
]
"""Samples sit in models of many blocks; these are the places in their names and files."""
_SINGLE = """\
name = "sae"
[models.base]
path = "../../models/base"
[views.base]
model = "base"
[data.web]
file = "../../models/web.jsonl"
[preflight]
data = "web"
fvu_max = 1e12
[saes.s]
format = "{format}"
path = "{path}"
model = "base"
{more}
[metrics.l0]
view = "base"
data = "web"
saes = ["s"]
"""
_OF_A_PAIR = """\
name = "sae"
[models.base]
path = "../../models/base"
[models.tuned]
path = "../../models/tuned"
[views.base]
model = "base"
[views.tuned]
model = "tuned"
[data.web]
file = "../../models/web.jsonl"
[preflight]
data = "web"
fvu_max = 1e12
[saes.s]
format = "{format}"
path = "{path}"
pair = "p"
check_models = false
{more}
[pairs.p]
left = "base"
right = "tuned"
data = "web"
saes = ["s"]
[metrics.fvu]
pair = "p"
"""


def sae_subjects(registry: Registry, place: Path) -> Iterator[Subject]:
    """A subject for each sample of each format that has some."""
    for owned in registry.of("sae_format"):
        component = owned.component
        if not component.samples:
            continue
        module, _, name = component.samples.partition(":")
        written = place / "written" / component.name
        for number, sample in enumerate(getattr(import_module(module), name)(written)):
            options: SaeOptions = sample.args[1]
            folder = place / f"sae {component.name} {number}"
            yield _subject(folder, component.name, options, written, number)
        shutil.rmtree(written, ignore_errors=True)


def _subject(folder: Path, name: str, options: SaeOptions, written: Path, number: int) -> Subject:
    told = options.model_dump(mode="json", exclude_unset=True)
    source = Path(told.pop("path"))
    path = _moved(str(Path("s") / source.relative_to(written)))
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    files = [source] if source.is_file() else sorted(f for f in source.rglob("*") if f.is_file())
    names = []
    for file in files:
        new = target if source.is_file() else target / file.relative_to(source)
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(file.read_bytes())
        if new.suffix == ".json":
            new.write_text(_moved(new.read_text("utf-8")), "utf-8")
        if new.suffix == ".safetensors":
            save_file({_moved(key): tensor for key, tensor in load_file(file).items()}, new)
        names.append(str(new.relative_to(folder)))
    told["path"] = str(target)
    facts = type(options).model_validate(told).describe()
    form = _OF_A_PAIR if facts.of_pair else _SINGLE
    more = "".join(f"{key} = {value!r}\n" for key, value in told.items() if key != "path")
    text = form.format(format=name, path=path, more=more + _site(facts))
    (folder / TASK).write_text(text, "utf-8")
    return Subject(f"sae {name} {number}", folder, tuple(names), "saes.s")


def _moved(text: str) -> str:
    for form, new in _PLACES:
        text = form.sub(new, text)
    return text


def _site(facts: SaeFacts) -> str:
    return "" if facts.site or facts.inputs else 'site = "mlp_in.1"\n'
