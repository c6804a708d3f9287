"""What a run answers, in sentences: each is a template over records."""

from harness.results.answer.sentence import Sentence as Sentence
