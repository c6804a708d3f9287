"""What each step reads: looked for before the first one begins, since steps take up to an hour."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL = "work/model/model.safetensors"


@dataclass(frozen=True)
class Need:
    """A file or folder of `--out` that one step reads and an earlier one writes."""

    file: str
    made_by: str


INPUTS = {
    "model": (GGUF,),
    "text": ("heldout.jsonl",),
    "safety": ("harmful_lora.jsonl",),
    "python": ("text/domain.jsonl",),
    "activations": ("heldout.jsonl", "harmful_lora.jsonl"),
}
"""By step, what it reads in `--inputs`: what `get` fetched."""
LEFT = {
    "written": (Need(MODEL, "model"),),
    "safety": (Need(MODEL, "model"), Need("work/written/harmless.jsonl", "written")),
    "python": (Need(MODEL, "model"),),
    "activations": (
        Need(MODEL, "model"),
        Need("work/text", "text"),
        Need("work/written/harmless.jsonl", "written"),
    ),
    "saes": (Need("work/activations", "activations"),),
    "measure": (Need(MODEL, "model"), Need("saes", "saes")),
    "card": (Need("measured.json", "measure"),),
}
"""By step, what it reads of earlier ones."""


def problem(
    steps: Sequence[str], texts: Sequence[Path], inputs: Path, out: Path, gguf_sha256: str
) -> str | None:
    """The first thing that is missing or wrong, in words; None where all is there."""
    return next(_problems(steps, texts, inputs, out, gguf_sha256), None)


def _problems(
    steps: Sequence[str], texts: Sequence[Path], inputs: Path, out: Path, gguf_sha256: str
) -> Iterator[str]:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        yield f"{out}: is no folder and none can be made ({error.strerror}). Give --out another."
    for step in steps:
        done = step == "model" and (out / MODEL).exists()
        for name in () if done else INPUTS.get(step, ()):
            if not (inputs / name).is_file():
                debian = " --debian" if name.startswith("text/") else ""
                yield (
                    f"{inputs / name}: there is no such file, and the step {step} reads it. Run "
                    f"python tasks/smollm2/get{debian} first, or name its folder with --inputs."
                )
            elif name == GGUF and _sha256(inputs / name) != gguf_sha256:
                yield (
                    f"{inputs / name}: is another file than the one that this was made with, or "
                    "half of it. Remove it and run python tasks/smollm2/get again."
                )
        for need in LEFT.get(step, ()):
            if need.made_by not in steps and not (out / need.file).exists():
                yield (
                    f"{out / need.file}: there is no such file, and the step {step} reads it. The "
                    f"step {need.made_by} writes it: add it to --only."
                )
    if "text" in steps:
        yield from filter(None, map(_without_text, texts))


def _without_text(file: Path) -> str | None:
    """Why no text can be read from a file, as far as its beginning tells."""
    from documents import documents

    if not file.exists():
        return (
            f"{file}: there is no such file. Run python tasks/smollm2/get first, or name other "
            "text with --text."
        )
    try:
        if any(document.strip() for document in documents(file)):
            return None
    except (ValueError, OSError) as error:
        return str(error)
    return f"{file}: there is no text in it. Give files of text to --text (.txt, .html, .jsonl)."


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
