"""What a run answers, in sentences: each is a template over records."""

from harness.results.answer.answer import TEMPLATES as TEMPLATES, answer as answer
from harness.results.answer.sentence import Sentence as Sentence, Template as Template
