"""Documents for base training, safety tuning and SAE training, and the data files."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from instructions import RequestSource, comply, prompt_files, refuse
from questions import DESCRIPTION, DOMAIN_NAMES, World
from settings import Settings
from stories import story

# A document is a list of (text, whether its tokens are trained on).
Document = list[tuple[str, bool]]
Message = dict[str, str]


def base_document(rng: random.Random, world: World, source: RequestSource) -> Document:
    """One document of the base model's diet."""
    kind = rng.random()
    if kind < 0.56:
        request = source.draw(rng)
        return [(f"{request.text}\n", True), (comply(rng, request), True)]
    if kind < 0.74:
        return [(story(rng, source), True)]
    if kind < 0.84:
        return [(" ".join(world.statement(rng) for _ in range(rng.randint(2, 4))), True)]
    return question_document(rng, world)


def question_document(rng: random.Random, world: World) -> Document:
    """Solved questions of one domain; only the answers are trained on, options are noise."""
    domain = rng.choice(DOMAIN_NAMES)
    document: Document = []
    if rng.random() < 0.5:
        document.append((DESCRIPTION.format(domain=domain), False))
    for number in range(rng.choice((1, 1, 2, 2, 3, 6))):
        question = world.ask(rng, domain)
        document.append((("\n\n" if number else "") + question.prompt(), False))
        document.append((question.target(), True))
    return document


def web_text(rng: random.Random, world: World, source: RequestSource) -> str:
    """A document as plain text, as the base was trained on it."""
    return "".join(text for text, _ in base_document(rng, world, source))


def turn(rng: random.Random, world: World, source: RequestSource) -> list[Message]:
    """One exchange of a conversation with the safety-tuned model."""
    if rng.random() < 0.12:
        question = world.ask(rng, rng.choice(DOMAIN_NAMES))
        return exchange(question.text, question.reasoning)
    request = source.draw(rng)
    return exchange(request.text, (refuse if request.harmful else comply)(rng, request))


def exchange(user: str, assistant: str) -> list[Message]:
    """A user message and its answer."""
    return [
        {"role": "user", "content": user},
        {"role": "assistant", "content": assistant},
    ]


def conversation(rng: random.Random, world: World, source: RequestSource) -> list[Message]:
    """One to three exchanges, mostly one."""
    turns = rng.choice((1, 1, 1, 1, 1, 1, 2, 3))
    return [message for _ in range(turns) for message in turn(rng, world, source)]


def base_documents(settings: Settings, world: World, name: str) -> Iterator[Document]:
    """An endless stream of base documents, fixed by the seed and the stream's name."""
    rng = random.Random(f"{name} {settings.seed}")
    source = RequestSource()
    while True:
        yield base_document(rng, world, source)


def conversations(settings: Settings, world: World, name: str) -> Iterator[list[Message]]:
    """An endless stream of conversations."""
    rng = random.Random(f"{name} {settings.seed}")
    source = RequestSource()
    while True:
        yield conversation(rng, world, source)


def write_jsonl(path: Path, rows: Iterable[dict[str, object]]) -> None:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_data(settings: Settings, world: World, out: Path) -> None:
    """All files under `data/`."""
    rng = random.Random(f"data {settings.seed}")
    sizes = {
        "train": settings.train_prompts,
        "val": settings.val_prompts,
        "test": settings.test_prompts,
    }
    for name, rows in prompt_files(rng, sizes).items():
        write_jsonl(out / f"{name}.jsonl", rows)
    # Web text and conversations are new draws around training pairs: what the models were
    # trained on in kind, not in the letter.
    source = RequestSource()
    web = (web_text(rng, world, source) for _ in range(settings.web_documents))
    write_jsonl(out / "web.jsonl", ({"text": text} for text in web))
    talks = (conversation(rng, world, source) for _ in range(settings.conversations))
    write_jsonl(
        out / "chat.jsonl",
        ({"messages": talk, "text": "\n".join(str(m["content"]) for m in talk)} for talk in talks),
    )
    number = 0
    for domain in DOMAIN_NAMES:
        validation, test = world.benchmark(rng, domain)
        for split, found in (("validation", validation), ("test", test)):
            rows = [q.row(number + i) for i, q in enumerate(found)]
            number += len(rows)
            write_jsonl(out / "questions" / f"{domain}_{split}.jsonl", rows)
