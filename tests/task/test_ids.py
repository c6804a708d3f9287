"""A gate on a number that nothing in the task measures is said by `check`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.tasks import only
from harness.registry import discover
from harness.task import ids
from harness.task.gates import parse
from harness.task.ids import measurable, unmeasured
from harness.task.load import load_for_command

ROOT = Path(__file__).parents[2]
Problems = Callable[..., list[str]]
MEAN = "[metrics.mean]\nview = 'base'\ndata = 'web'\nsites = ['resid_post.1']\n"


def test_a_gate_on_an_id_that_nothing_measures_is_a_problem(
    problems: Problems, task: Callable[..., object]
) -> None:
    """CASES row 27: it passed `check` and failed after the run."""
    assert task(MEAN + "[gates.g]\nassert = 'mean.mean > 0'\n")
    assert task(MEAN + "[gates.g]\nassert = 'mean.mean@1 > 0'\n")
    wrong = r"gates\.g\.assert: nothing in this task measures "
    only(problems(MEAN + "[gates.g]\nassert = 'mean.maen > 0'\n"), wrong + r"mean\.maen, ")
    only(problems(MEAN + "[gates.g]\nassert = 'edit.chekc > 0'\n"), "Did you mean edit.check")
    only(problems(MEAN + "[gates.g]\nassert = 'mean.mean@7 > 0'\n"), r"There is …\.mean@1")


@pytest.mark.parametrize("name", ["drift", "mechanism"])
def test_what_is_measured_by_another_metric_of_the_same_plugin_is_not_enough(name: str) -> None:
    """Both tasks use harness_metrics; what each may measure is told by its own components."""
    registry = discover()
    found = measurable(load_for_command(registry, name).owners())
    known = {"fvu.pooled": True, "flip_rate.token": name == "mechanism", "kl.x": name == "drift"}
    told = {id: not unmeasured(parse("g", f"{id} > 0"), found) for id in known}
    assert told == known


@pytest.mark.slow
@pytest.mark.parametrize("name", ["refusal", "drift", "transfer"])
def test_looking_near_first_finds_what_looking_everywhere_does(name: str) -> None:
    owners = load_for_command(discover(), name).owners()
    known = measurable(owners).ids
    assert known
    plain = {one for one in known if "\0" not in one}
    asked = {*plain, *(one.partition("@")[0] + "@" for one in plain), *(f"{p}x" for p in plain)}
    asked |= {one.replace(".", ".un", 1) for one in plain}
    forms = [re.compile(".*".join(map(re.escape, one.split("\0")))) for one in known]
    forms += [
        re.compile(".*".join(map(re.escape, f"{one.rpartition('@')[0]}@".split("\0"))))
        for one in known
    ]
    near = measurable(owners)  # `known` is of another, so that this one has looked nowhere
    for wanted in asked:
        given = any(form.fullmatch(wanted) for form in forms[: len(known)])
        given |= wanted.endswith("@") and any(
            form.fullmatch(wanted) for form in forms[len(known) :]
        )
        assert near.gives(wanted) == given, wanted


def test_an_id_is_found_without_reading_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = load_for_command(discover(), "refusal").owners()
    read: list[bytes] = []
    source_of = ids._source_of

    def counted(content: bytes) -> ids._Source:
        read.append(content)
        return source_of(content)

    monkeypatch.setattr(ids, "_source_of", counted)
    ids._read.cache_clear()
    assert measurable(owners).gives("safety_score@")
    assert len(read) == 1


def below(tree: ast.AST) -> list[ast.AST]:
    """All nodes of a tree; `ast.walk` takes three times as long."""
    found = [tree]
    for node in found:
        for value in vars(node).values():
            if isinstance(value, list):
                found += [one for one in value if isinstance(one, ast.AST)]
            elif isinstance(value, ast.AST):
                found.append(value)
    return found


def slowly(content: bytes) -> tuple[list[str], list[object]]:
    """What a source holds, by a look at every node."""
    nodes = below(ast.parse(content))
    pieces = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    texts = [ids._text(node) for node in nodes if id(node) not in pieces]
    found = [text for text in texts if text and ids._ID.fullmatch(text)]
    imports: list[object] = [
        (node.level, node.module or "", tuple(one.name for one in node.names))
        for node in nodes
        if isinstance(node, ast.ImportFrom)
    ]
    imports += [
        (0, one.name, ()) for node in nodes if isinstance(node, ast.Import) for one in node.names
    ]
    return ["\0" + text if text[0] == "@" else text for text in found], imports


ODD = r"""
import a.b, c
try:
    from . import d
except* ImportError:
    import e
else:
    import f
finally:
    import g
match x:
    case 1:
        import h
async def i():
    async with j:
        import k
    for _ in l:
        import m
    else:
        from ..n import o, p
class Q:
    def r(self):
        while True:
            import s
        return lambda: 1 if 2 else 3
ids = ["a.b@1", "a.b@" "2", "c\x40" "3", "d\1004", "e\u00405", "f\U000000406",
       "g\N{COMMERCIAL AT}7",
       f"h.{x}@8", f"i.{x}@{y}", "j.k@%s", "l.m@{}", "@9", "n@x", '''o.p@\
10''', f"q.r@"
       f"{z}"]
@decorated
def t(): "u.v@11"
"""


@pytest.mark.parametrize("source", [ODD, *(f'("{at}1", )' for at in (r"a\x40", r"a\100", "b@"))])
def test_a_source_holds_what_a_look_at_every_node_finds(source: str) -> None:
    found, (known, imports) = ids._source_of(source.encode()), slowly(source.encode())
    assert sorted(found.ids) == sorted(known)
    assert known
    assert sorted(found.imports) == sorted(imports)  # type: ignore[type-var]


@pytest.mark.slow
def test_so_do_all_of_ours() -> None:
    files = [*(ROOT / "harness").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    with_ids = 0
    for file in files:
        content = file.read_bytes()
        found, (known, imports) = ids._source_of(content), slowly(content)
        assert (sorted(found.ids), sorted(found.imports)) == (sorted(known), sorted(imports)), file  # type: ignore[type-var]
        with_ids += bool(known)
    assert 50 < with_ids < len(files) / 2
