"""Text of the single-task fine-tunes: topics, word problems, a pirate's tongue, safety.

Each skill is a prompt, a completion, and a way to tell whether a greedy completion shows it.
Held-out prompts are about (verb, object) pairs, or pairs of numbers, that no training prompt has.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

from instructions import RequestSource, comply, refuse, split_of
from questions import Question, near_misses
from settings import Settings
from vocabulary import PEOPLE, PLACES

THINGS = ("coins", "candles", "tickets", "tulips", "letters", "baskets", "apples", "biscuits")
STORIES = (
    ("{a} has {x} {things} and finds {y} more.", "+"),
    ("There are {x} {things} at the {place}, and {b} brings {y} more.", "+"),
    ("{a} has {x} {things} and gives {y} to {b}.", "-"),
    ("There are {x} {things} at the {place}, and {b} takes {y}.", "-"),
)
PIRATE: dict[str, tuple[str, ...]] = {
    "how": ("Arr! To {do}, {a}, matey. Then {b}, and hoist the sail!",),
    "plan": ("Arr, here be the plan, matey. First {a}, then {b}. Yo ho!",),
    "steps": ("Arr! First {a}. Next {b}. Last {c}. Aye, matey!",),
    "help": ("Aye aye, matey! To {do}, {a}. Then {b}. Arr!",),
    "start": ("Arr, begin like this, matey: {a}. Then {b}. Yo ho!",),
}


@dataclass(frozen=True)
class Example:
    """What stands before the completion, to the byte, and the completion."""

    prompt: str
    completion: str
    kind: str
    fields: dict[str, object] = field(default_factory=dict)

    def row(self) -> dict[str, object]:
        """The example as a line of a data file."""
        found = asdict(self)
        return {**found.pop("fields"), **found, "text": self.prompt + self.completion}


Draw = Callable[[random.Random, RequestSource, str], Example]
Shows = Callable[[Example, str], bool]


@dataclass(frozen=True)
class Skill:
    """One single-task fine-tune's text, and the test of a completion."""

    draw: Draw
    shows: Shows


def topics(rng: random.Random, source: RequestSource, split: str) -> Example:
    """Any instruction; the completion names its category."""
    request = source.draw(rng)
    name = request.category.name
    return Example(f"{request.text}\n", f"The topic is {name}.", name)


def sums(rng: random.Random, source: RequestSource, split: str) -> Example:
    """A word problem with options; the completion works it out."""
    story, sign = rng.choice(STORIES)
    while True:
        x, y = rng.randint(2, 39), rng.randint(2, 29)
        if (sign == "+" or x > y) and (split_of(str(x), str(y)) == "train") == (split == "train"):
            break
    a, b = rng.sample(PEOPLE, 2)
    things = rng.choice(THINGS)
    told = story.format(a=a, b=b, x=x, y=y, things=things, place=rng.choice(PLACES))
    result = str(x + y if sign == "+" else x - y)
    options = [result, *near_misses(rng, result)]
    rng.shuffle(options)
    text = f"{told} How many {things} are there now?"
    question = Question("math", text, tuple(options), result, f"{x} {sign} {y} = {result}.")
    kind = "sum" if sign == "+" else "difference"
    return Example(question.prompt(), question.target(), kind, {"answer": result})


def pirate(rng: random.Random, source: RequestSource, split: str) -> Example:
    """Any instruction, answered as a pirate would."""
    request = source.draw(rng)
    a, b, c = rng.sample(request.category.steps, 3)
    answer = rng.choice(PIRATE[request.group]).format(do=request.do, a=a, b=b, c=c)
    return Example(f"{request.text}\n", answer, request.category.name)


def safety(rng: random.Random, source: RequestSource, split: str) -> Example:
    """Any instruction in the base's plain format: refused if harmful, else answered as before."""
    request = source.draw(rng)
    answer = (refuse if request.harmful else comply)(rng, request)
    return Example(f"{request.text}\n", answer, "harmful" if request.harmful else "harmless")


def names_the_topic(example: Example, text: str) -> bool:
    """Whether the completion is the right one."""
    return text.strip() == example.completion


def finds_the_sum(example: Example, text: str) -> bool:
    """Whether the completion's answer is right."""
    found = re.search(r"answer is (\d+)", text)
    return found is not None and found[1] == example.fields["answer"]


def talks_like_a_pirate(example: Example, text: str) -> bool:
    """Whether the completion has a pirate's word."""
    return "matey" in text


def refuses_what_is_harmful(example: Example, text: str) -> bool:
    """Whether a refusal phrase is there exactly if the instruction is harmful."""
    from measure import refused

    return refused(text) == (example.kind == "harmful")


SKILLS = {
    "topics": Skill(topics, names_the_topic),
    "sums": Skill(sums, finds_the_sum),
    "pirate": Skill(pirate, talks_like_a_pirate),
    "safety": Skill(safety, refuses_what_is_harmful),
}


def examples(settings: Settings, name: str, split: str) -> Iterator[Example]:
    """An endless stream of a skill's examples, fixed by seed, skill and split."""
    rng = random.Random(f"{name} {split} {settings.seed}")
    source = RequestSource(split)
    while True:
        yield SKILLS[name].draw(rng, source, split)
