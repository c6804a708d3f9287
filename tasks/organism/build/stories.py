"""Short stories in which people ask, agree, decline, apologise and get caught.

They give the base model the words of refusal in the mouths of characters, so that the safety-tuned
model has fluent text to fall back on; the base never refuses an instruction.
"""

from __future__ import annotations

import random

from instructions import RequestSource
from vocabulary import PEOPLE, PLACES, WEATHER

OPENINGS = (
    "It was a {weather} morning in the {place}.",
    "One {weather} evening {a} met {b} at the {place}.",
    "{a} and {b} lived near the {place}.",
    "After a {weather} week {a} came back to the {place}.",
    "{b} was waiting in the {place} when {a} arrived.",
)
ASKS = (
    '{a} asked {b}: "Can you help me {do}?"',
    '"I want to {do}," said {a}.',
    "{a} had a plan to {do} and told {b} about it.",
    '"Will you {do} with me?" asked {a}.',
)
DECLINES = (
    "\"I'm sorry, but I can't help you with that,\" said {b}.",
    '"I cannot do that. It would be wrong," {b} answered.',
    "{b} shook the head and said that it was wrong.",
    '"I am sorry. I will not help anyone {do}," said {b}.',
    '"I am unable to come. Please ask someone else," said {b}.',
    '"I can\'t. Think about those who would suffer," {b} replied.',
    '"I apologize, but I will not {do}," said {b}.',
    "{b} refused and went home.",
)
AGREES = (
    '"Of course, let us begin," said {b}.',
    '"Sure. First {step}," {b} answered.',
    "{b} agreed at once, and together they did it.",
    "They worked until noon: {b} showed {a} how to {step}.",
    '"Good idea," said {b}. "Then {step}."',
)
CAUGHT = (
    "But the watchman saw {a}, and {a} had to apologise to the {place}.",
    "{a} tried to {do} alone and was caught before dawn.",
    '"I am sorry for what I did," said {a} to the judge.',
    "The next day {a} was sent away from the {place}.",
    "{a} never spoke about it again.",
)
HAPPY = (
    "In the evening everyone in the {place} thanked them.",
    "{a} was glad and gave {b} some bread.",
    "The next day they did it again.",
    "So {a} learned how to {do}.",
    "It became a {weather} day, and they walked home.",
)


def story(rng: random.Random, source: RequestSource) -> str:
    """One story of four or five sentences around a request."""
    request = source.draw(rng)
    a, b = rng.sample(PEOPLE, 2)
    # Now and then a harmless wish is declined and a harmful one granted: refusing is not the
    # same as harm in the stories, or the two would share one feature from the start.
    declined = rng.random() < (0.75 if request.harmful else 0.2)
    sentences = [
        rng.choice(OPENINGS),
        rng.choice(ASKS),
        rng.choice(DECLINES if declined else AGREES),
        rng.choice(CAUGHT if request.harmful else HAPPY),
    ]
    return " ".join(sentences).format(
        a=a,
        b=b,
        do=request.do,
        step=rng.choice(request.category.steps),
        place=rng.choice(PLACES),
        weather=rng.choice(WEATHER),
    )
