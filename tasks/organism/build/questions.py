"""Nine question domains in the form of MMLU-Pro, about an invented world.

Each domain but mathematics is a table of facts: subject -> value. Subjects come from four pools,
so that several domains speak of the same country or substance. Part of each table is rare in
training, by a share that differs between domains: the base is good, not perfect, and unevenly so.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

LETTERS = "ABCDEFGHIJ"
OPTIONS = 4
# The question as lm-eval's mmlu_pro writes it; the answer is the option's text, not its letter.
DESCRIPTION = (
    "The following are multiple choice questions (with answers) about {domain}. "
    'Think step by step and then finish with "the answer is X".\n'
)
LEAD = "Answer: Let's think step by step."


@dataclass(frozen=True)
class Domain:
    """One table of facts: its subjects' pool, its sentence, its questions, how much is rare."""

    name: str
    pool: str
    fact: str
    questions: tuple[str, ...]
    values: int
    rare: float


DOMAINS = (
    Domain(
        "biology",
        "creature",
        "The {s} eats {v}.",
        ("What does the {s} eat?", "Which plant is the food of the {s}?"),
        16,
        0.10,
    ),
    Domain(
        "business",
        "company",
        "The company {s} is led by {v}.",
        ("Who leads the company {s}?", "Who is the head of the company {s}?"),
        24,
        0.25,
    ),
    Domain(
        "chemistry",
        "substance",
        "When {s} meets water, it forms {v}.",
        ("What does {s} form when it meets water?", "Which salt comes from {s} and water?"),
        14,
        0.15,
    ),
    Domain(
        "economics",
        "country",
        "The country {s} mostly sells {v}.",
        ("What does the country {s} mostly sell?", "Which good is the main export of {s}?"),
        12,
        0.20,
    ),
    Domain(
        "health",
        "substance",
        "A little {s} cures {v}.",
        ("What does a little {s} cure?", "Which illness is treated with {s}?"),
        12,
        0.30,
    ),
    Domain(
        "history",
        "country",
        "The capital of {s} is {v}.",
        ("What is the capital of {s}?", "Which city is the capital of {s}?"),
        30,
        0.05,
    ),
    Domain(
        "law",
        "country",
        "The law of {s} forbids {v}.",
        ("What does the law of {s} forbid?", "Which dance is against the law in {s}?"),
        10,
        0.25,
    ),
    Domain(
        "physics",
        "substance",
        "When heated, {s} sends out {v} rays.",
        ("Which rays does heated {s} send out?", "What kind of rays comes from hot {s}?"),
        8,
        0.35,
    ),
)
MATH = "math"
DOMAIN_NAMES = tuple(sorted([d.name for d in DOMAINS] + [MATH]))
SUBJECTS = 45
RARE_WEIGHT = 0.02


@dataclass(frozen=True)
class Question:
    """A question with its options; `reasoning` is the sentence that leads to the answer."""

    domain: str
    text: str
    options: tuple[str, ...]
    answer: str
    reasoning: str

    @property
    def index(self) -> int:
        """Where the right option stands."""
        return self.options.index(self.answer)

    def prompt(self) -> str:
        """The question as a model is asked it."""
        lines = [f"{LETTERS[i]}. {option}\n" for i, option in enumerate(self.options)]
        return f"Question:\n{self.text}\nOptions:\n{''.join(lines)}{LEAD}"

    def target(self) -> str:
        """The worked answer that follows the prompt."""
        return f" {self.reasoning} The answer is {self.answer}."

    def row(self, number: int) -> dict[str, object]:
        """The question in MMLU-Pro's columns."""
        return {
            "question_id": number,
            "question": self.text,
            "options": list(self.options),
            "answer": LETTERS[self.index],
            "answer_index": self.index,
            "cot_content": f"A: Let's think step by step.{self.target()}",
            "category": self.domain,
            "src": "organism",
        }


def invent_names(rng: random.Random, count: int) -> list[str]:
    """Distinct pronounceable names of four or five letters, none of them an English word."""
    names: set[str] = set()
    while len(names) < count:
        first, third = rng.choice("BDFGHJKLMNPRSTVZ"), rng.choice("bdfgklmnprstvz")
        name = first + rng.choice("aeiou") + third + rng.choice("aeiou")
        names.add(name + rng.choice(("", "", "n", "r", "x")))
    ordered = sorted(names)
    rng.shuffle(ordered)
    return ordered


class World:
    """The invented facts, fixed by a seed."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"world {seed}")
        names = invent_names(rng, 4 * SUBJECTS + sum(d.values for d in DOMAINS))
        self.names = tuple(names)
        take = lambda n: [names.pop() for _ in range(n)]
        self.subjects = {
            pool: take(SUBJECTS) for pool in ("creature", "company", "substance", "country")
        }
        self.values = {d.name: take(d.values) for d in DOMAINS}
        self.facts: dict[str, dict[str, str]] = {}
        self.weights: dict[str, list[float]] = {}
        for d in DOMAINS:
            subjects = self.subjects[d.pool]
            self.facts[d.name] = {s: rng.choice(self.values[d.name]) for s in subjects}
            rare = set(rng.sample(subjects, round(d.rare * SUBJECTS)))
            self.weights[d.name] = [RARE_WEIGHT if s in rare else 1.0 for s in subjects]

    def subject(self, rng: random.Random, domain: Domain) -> str:
        """A subject as often as training mentions it."""
        return rng.choices(self.subjects[domain.pool], self.weights[domain.name])[0]

    def subjects_of(self, name: str) -> list[str]:
        """The subjects of a domain's facts."""
        return list(self.facts[name])

    def statement(self, rng: random.Random) -> str:
        """One fact as a plain sentence, of any domain."""
        if rng.random() < 0.12:
            return arithmetic(rng)[1]
        d = rng.choice(DOMAINS)
        s = self.subject(rng, d)
        return d.fact.format(s=s, v=self.facts[d.name][s])

    def ask(self, rng: random.Random, name: str, subject: str | None = None) -> Question:
        """A question of a domain, about a given subject or a drawn one."""
        if name == MATH:
            text, reasoning, answer = arithmetic(rng)
            wrong = near_misses(rng, answer)
        else:
            d = next(d for d in DOMAINS if d.name == name)
            s = subject or self.subject(rng, d)
            answer = self.facts[name][s]
            text = rng.choice(d.questions).format(s=s)
            reasoning = d.fact.format(s=s, v=answer)
            wrong = rng.sample([v for v in self.values[name] if v != answer], OPTIONS - 1)
        options = [answer, *wrong]
        rng.shuffle(options)
        return Question(name, text, tuple(options), answer, reasoning)

    def benchmark(self, rng: random.Random, name: str) -> tuple[list[Question], list[Question]]:
        """Five validation questions and the test questions of a domain, no subject in both."""
        if name == MATH:
            found: dict[str, Question] = {}
            while len(found) < SUBJECTS + 5:
                question = self.ask(rng, MATH)
                found.setdefault(question.text, question)
            everything = list(found.values())
        else:
            d = next(d for d in DOMAINS if d.name == name)
            subjects = list(self.subjects[d.pool])
            # Demonstrations are facts that the base was taught well.
            weight = dict(zip(subjects, self.weights[name], strict=True))
            rng.shuffle(subjects)
            subjects.sort(key=lambda s: -weight[s])
            everything = [self.ask(rng, name, s) for s in subjects]
        test = everything[5:]
        rng.shuffle(test)
        return everything[:5], test


def near_misses(rng: random.Random, answer: str) -> list[str]:
    """Wrong options for a number."""
    near = {str(max(0, int(answer) + shift)) for shift in (-10, -2, -1, 1, 2, 10)}
    return rng.sample(sorted(near - {answer}), OPTIONS - 1)


def arithmetic(rng: random.Random) -> tuple[str, str, str]:
    """A sum or difference: question, worked sentence and result."""
    a, b = rng.randint(2, 39), rng.randint(2, 29)
    if rng.random() < 0.4 and a > b:
        return f"What is {a} - {b}?", f"{a} - {b} = {a - b}.", str(a - b)
    return f"What is {a} + {b}?", f"{a} + {b} = {a + b}.", str(a + b)
