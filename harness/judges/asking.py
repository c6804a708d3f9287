"""Asks a judge questions about completions, each once, and remembers what it answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, field

from harness.contract import Example, Model, Prompt, Tokens, Tools, part_text
from harness.errors import MachineError, UsageError
from harness.judges.answers import Answers, Reply
from harness.judges.judge_options import JudgeOptions
from harness.judges.local import ask_in_batches
from harness.judges.server import COMPLETIONS, TURNS, advice, ask_server
from harness.judges.templates import fill
from harness.store.keys import key_of
from harness.text import well_formed
from harness.web import Busy, Refused, Unreachable

_LONGEST_ANSWER = 20_000
"""Characters of an answer that are kept: its end, where the verdict is."""
Keep = Callable[[Mapping[int, Reply]], None]
"""Keeps replies to questions by their numbers."""


@dataclass(frozen=True)
class Question:
    """What a judge reads: a template with `{NAME}` for what was asked and what was answered."""

    template: str
    places: Mapping[str, str] = field(hash=False)
    """What fills the places of the template."""
    judged: str
    """The place of the completion, whose end is cut where a judge cannot read all."""
    system: str = ""
    """The system message; empty where there is none, and where `raw`."""
    raw: bool = False
    """Whether the judge goes on with this text, as classifiers do, or is asked in a chat."""

    def text(self, completion: str | None = None) -> str:
        """The question with another completion in it, or with its own."""
        own = {} if completion is None else {self.judged: completion}
        return fill(self.template, {**self.places, **own})


@dataclass(frozen=True)
class ReplyKey:
    """All that a judge's answer depends on. `str` of it is its hash."""

    protocol: str
    """The evaluator, with a number that is raised when it comes to ask in another way."""
    judge: str
    """The model's fingerprint, or the name of a server's model, wherever the server is."""
    max_tokens: int
    raw: bool
    system: str
    text: str
    """The question as it is asked, unless the judge cannot read all of it."""

    def __str__(self) -> str:
        return key_of(*astuple(self))


@dataclass(frozen=True)
class TextJudge:
    """A judge that is asked in words and answers in words.

    Answers are kept in `tools.cache` under the hash of a `ReplyKey`, so a rerun asks nothing
    again. What a reasoning judge thinks is split off: the reply is its answer, and empty where the
    thought did not end.
    """

    name: str
    """The evaluator, for messages, and for the file of the answers."""
    protocol: int
    options: JudgeOptions
    max_tokens: int
    """The longest answer."""

    def ask(self, questions: Sequence[Question], tools: Tools) -> list[Reply]:
        """A reply to each question, in order; equal questions are asked once.

        MachineError where a server cannot be reached, UsageError where it refuses. What was
        answered by then is kept.
        """
        keys = [str(self._key(question, tools)) for question in questions]
        times, first = Counter(keys), dict[str, Question]()
        for key, question in zip(keys, questions, strict=True):
            first.setdefault(key, question)
        cache = tools.cache / f"{self.name}.jsonl" if tools.cache else None
        with closing(Answers(cache)) as known:
            missing = [key for key in first if key not in known]
            tools.tick(len(keys) - sum(times[key] for key in missing))

            add = known.adding(self._model(tools))

            def keep(found: Mapping[int, Reply]) -> None:
                add({missing[index]: reply for index, reply in found.items()})
                for index in found:
                    tools.tick(times[missing[index]])

            if missing:
                self._ask([first[key] for key in missing], tools, keep)
            return [known[key] for key in keys]

    def _key(self, question: Question, tools: Tools) -> ReplyKey:
        given = self.options
        model = self._model(tools)
        judge = f"server {given.server_model}" if model is None else model.fingerprint
        protocol = f"{self.name} {self.protocol}"
        return ReplyKey(
            protocol, judge, self.max_tokens, question.raw, question.system, question.text()
        )

    def _model(self, tools: Tools) -> Model | None:
        return None if self.options.model is None else tools.models[self.options.model]

    def _ask(self, questions: Sequence[Question], tools: Tools, keep: Keep) -> None:
        model = self._model(tools)
        if model is not None:
            self._ask_model(questions, model, keep)
            return

        def answered(index: int, text: str) -> None:
            keep({index: Reply(_tail(part_text(text).answer))})

        try:
            self._ask_server(questions, answered)
        except Unreachable as error:
            busy = isinstance(error, Busy)
            tried = "" if busy else f"; tried {error.tries} times"
            raise MachineError(
                f"server {self.options.server}: {error}{tried}. What it has judged is kept: run "
                f"the same command again {'then' if busy else 'when it answers'}."
            ) from None
        except Refused as error:
            endpoint = COMPLETIONS if questions[0].raw else TURNS
            hint = advice(error, self.options, endpoint)
            if error.status in (400, 413, 422):
                hint = "If the question is too long for the judge, lower clip."
            raise UsageError(
                f"server {self.options.server}: refused a request: {error}. {hint}"
            ) from None

    def _ask_server(
        self, questions: Sequence[Question], answered: Callable[[int, str], None]
    ) -> None:
        given = self.options
        most, name = self.max_tokens, self.name
        if questions[0].raw:
            texts = [question.text() for question in questions]
            ask_server(given, COMPLETIONS, texts, answered, max_tokens=most, name=name)
        else:
            turns = [_turns(question, question.text()) for question in questions]
            ask_server(given, TURNS, turns, answered, max_tokens=most, name=name)

    def _ask_model(self, questions: Sequence[Question], model: Model, keep: Keep) -> None:
        """Asks a model of the task; a question that it cannot read even without the completion is
        not asked, and its reply is empty."""
        fitted = [self._fitted(question, model) for question in questions]
        short = [i for i, (tokens, _) in enumerate(fitted) if tokens is not None]
        if long := [i for i, (tokens, _) in enumerate(fitted) if tokens is None]:
            keep({index: Reply("", clipped=True, cut=True) for index in long})

        def reply(place: int, text: str) -> Reply:
            return Reply(_tail(text), clipped=fitted[short[place]][1])

        def answered(found: Mapping[int, str]) -> None:
            keep({short[place]: reply(place, text) for place, text in found.items()})

        tokens = [one for one, _ in fitted if one is not None]
        ask_in_batches(model, tokens, answered, max_tokens=self.max_tokens)

    def _fitted(self, question: Question, model: Model) -> tuple[Tokens | None, bool]:
        """The question as tokens with room for the answer, and whether its completion was cut."""
        whole = question.places[question.judged]
        context = model.facts.context
        tokens = _tokens(question, question.text(), model)
        if context is None or len(tokens.ids) + self.max_tokens <= context:
            return tokens, False
        room = context - self.max_tokens - len(_tokens(question, question.text(""), model).ids)
        while room > 0:
            kept = model.decode(model.encode(whole, special=False)[:room])
            tokens = _tokens(question, question.text(kept), model)
            if (over := len(tokens.ids) + self.max_tokens - context) <= 0:
                return tokens, True
            room -= over  # tokens that stand together otherwise may be more
        return None, True


def _tokens(question: Question, text: str, model: Model) -> Tokens:
    if question.raw:
        ids = tuple(model.encode(text))
        return Tokens("", ids, (0, len(ids)), text)
    if model.facts.chat_template:
        style = Prompt(style="chat", system=question.system or None)
    else:
        style = Prompt()
        text = f"{question.system}\n\n{text}" if question.system else text
    return model.render([Example("", text)], style)[0]


def _turns(question: Question, text: str) -> list[Mapping[str, str]]:
    user = {"role": "user", "content": text}
    return [{"role": "system", "content": question.system}, user] if question.system else [user]


def _tail(answer: str) -> str:
    return well_formed(answer)[-_LONGEST_ANSWER:]
