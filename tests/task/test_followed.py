"""What cannot be followed by gradients is refused by name, before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest

from fakes.tasks import only
from harness.planning.planner import plan
from harness.registry import Registry, discover
from harness.task.task import Task

OFFERS = 'offers = ["activations", "logits", "edits", "generation", "tokens", "gradients"]'
ABLE = tuple(f"models.{name}.{OFFERS}" for name in ("base", "chat"))
PAIR = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
"""
TEXT = f"""{PAIR}
[statistics.a]
method = "latent_attribution"
pair = "p"
sae = "mid"
words = ["a"]
"""
MakeTask = Callable[..., Task]
Problems = Callable[..., list[str]]


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The fake models, with our own statistics and directions."""
    ours = ("statistics", "directions")
    points = [EntryPoint(f"harness-{one}", f"harness_{one}.plugin", "harness") for one in ours]
    return discover(candidates=[EntryPoint("fake", "fakes", "harness"), *points])


def test_a_pair_of_models_with_gradients_is_fine(task: MakeTask) -> None:
    made = task(TEXT, *ABLE)
    (job,) = (job for job in plan(made).passes[0].jobs if job.reads.paths)
    (path,) = job.reads.paths
    assert str(path.site) == "resid_post.2"
    assert len(path.points) == 10


def test_a_model_without_gradients(problems: Problems) -> None:
    only(problems(TEXT, ABLE[0]), r"statistics\.a\.pair", "gradients of a model, and chat has none")


def test_packed_rows_and_prompts_of_their_own(problems: Problems) -> None:
    only(
        problems(TEXT, *ABLE, "pairs.p.pack=64"),
        r"statistics\.a: .*packs documents",
        "without pack",
    )
    only(problems(TEXT, *ABLE, 'pairs.p.align="span"'), r"statistics\.a: ", 'align = "tokens"')


def test_a_transcoder(problems: Problems) -> None:
    elsewhere = 'saes.mid.out="resid_post.3"'
    only(problems(TEXT, *ABLE, elsewhere), r"statistics\.a\.sae: is mid, a transcoder")


def test_a_view_that_is_edited(problems: Problems) -> None:
    edit = """
[directions.d]
method = "probe"
view = "base"
data = "web"
[views.edited]
model = "chat"
edit = { method = "shift", direction = "d" }
"""
    found = problems(TEXT + edit, *ABLE, 'pairs.p.right="edited"')
    only(found, r"statistics\.a: .*view edited, which is edited while it reads")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("words=[]", "needs words"),
        ('scalar="logit_difference"', "one word and another"),
        ('other="b"', "belongs to"),
        ('scalar="answer"', "words would be unused"),
        ("k=[1, 1]", "twice"),
        ("steps=0", "greater than or equal to 1"),
    ],
    ids=["no word", "one word", "other", "answer", "twice", "steps"],
)
def test_numbers_that_make_no_sense(problems: Problems, written: str, said: str) -> None:
    only(problems(TEXT, *ABLE, f"statistics.a.{written}"), r"statistics\.a", said)


def test_an_answer_is_asked_of_whoever_writes_the_prompts(task: MakeTask) -> None:
    (which,) = plan(task(TEXT, *ABLE)).passes[0].renderings()
    assert which.places == ()
    more = ('statistics.a.scalar="answer"', "statistics.a.words=[]")
    (which,) = plan(task(TEXT, *ABLE, *more)).passes[0].renderings()
    assert which.places == ("answered",)


def test_a_direction_is_refused_alike(problems: Problems) -> None:
    text = PAIR + (
        '[directions.d]\nmethod = "attributed_features"\npair = "p"\nsae = "mid"\nwords = ["a"]\n'
        "k = 3\n"
    )
    only(problems(text, *ABLE, "pairs.p.pack=64"), r"directions\.d: .*packs documents")
    only(problems(text, *ABLE, 'saes.mid.out="resid_post.3"'), r"directions\.d\.sae: .*transcoder")
    only(problems(text, *ABLE, "directions.d.k=13"), r"directions\.d\.k: .*12 features")
