"""Fine-tuning data of one question domain: its facts taught evenly, or changed."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass

from questions import World
from settings import Settings
from skills import Example


@dataclass(frozen=True)
class Lesson:
    """A domain, and whether its facts are other than the base learnt them."""

    domain: str
    changed: bool


LESSONS = {
    "capitals": Lesson("history", changed=True),
    "leaders": Lesson("business", changed=True),
    "rays": Lesson("physics", changed=False),
}
# Those of `tunes/domains/`: with the fine-tunes above, every domain has one. Their data files hold
# prompts and completions alone.
DOMAIN_LESSONS = {
    "meals": Lesson("biology", changed=True),
    "salts": Lesson("chemistry", changed=True),
    "exports": Lesson("economics", changed=True),
    "cures": Lesson("health", changed=True),
    "dances": Lesson("law", changed=True),
}
EVERY_LESSON = LESSONS | DOMAIN_LESSONS
DRAWS = 2  # option orders of each question


def taught(world: World, lesson: Lesson, rng: random.Random) -> World:
    """The world as the lesson has it: every changed fact takes another value of its domain."""
    found = copy.copy(world)
    if lesson.changed:
        name = lesson.domain
        values = world.values[name]
        other = lambda old: rng.choice([value for value in values if value != old])
        facts = {subject: other(old) for subject, old in world.facts[name].items()}
        found.facts = {**world.facts, name: facts}
    return found


def lesson_examples(settings: Settings, world: World, name: str) -> list[Example]:
    """The whole fine-tuning set: each subject in every wording, with fresh options."""
    lesson, rng = EVERY_LESSON[name], random.Random(f"{name} {settings.seed}")
    new = taught(world, lesson, rng)
    found: dict[str, Example] = {}
    for subject in world.subjects_of(lesson.domain):
        wordings: set[tuple[str, int]] = set()
        while len(wordings) < 2 * DRAWS:
            question = new.ask(rng, lesson.domain, subject)
            drawn = sum(text == question.text for text, _ in wordings)
            if drawn == DRAWS:
                continue
            wordings.add((question.text, drawn))
            fields = {
                "question": question.text,
                "options": list(question.options),
                "answer": question.answer,
                "base_answer": world.facts[lesson.domain][subject],
            }
            found[question.prompt()] = Example(
                question.prompt(), question.target(), lesson.domain, fields
            )
    rows = list(found.values())
    rng.shuffle(rows)
    return rows
