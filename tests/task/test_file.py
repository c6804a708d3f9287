"""Task files: inheritance, overrides, and where every key was written."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from harness.errors import TaskError, UsageError
from harness.task.file import builtin_tasks, dotted, find_task, overridden, read_source


def files(folder: Path, **texts: str) -> Path:
    """Writes `name.toml` for every text and returns the first."""
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(texts))}.toml"


def line(file: Path, *path: str | int, overrides: tuple[str, ...] = ()) -> str:
    return str(read_source(file, overrides).origin(path)).removeprefix(f"{file.parent}/")


# ── extends ──────────────────────────────────────────────────────────────────────────────────────

PARENT = """\
seed = 1
list = [1, 2]
[data.web]
file = "a"
limit = 3
[data.more]
file = "b"
[views.chat]
prompt = { style = "chat", system = "be kind" }
"""


@pytest.mark.parametrize(
    ("child", "path", "expected"),
    [
        ("", ("seed",), 1),
        ("seed = 2", ("seed",), 2),
        ("[data.web]\nlimit = 4", ("data", "web"), {"file": "a", "limit": 4}),
        ("data.web.limit = 4", ("data", "web"), {"file": "a", "limit": 4}),
        ("data = { web = { limit = 4 } }", ("data", "web"), {"file": "a", "limit": 4}),
        ("[data.new]\nfile = 'c'", ("data", "more"), {"file": "b"}),
        ("list = [3]", ("list",), [3]),
        ("[data]\nweb = false", ("data",), {"more": {"file": "b"}}),
        ("data = false", ("data",), None),
        ("seed = false", ("seed",), False),
        ("views.chat.prompt.system = 'x'", ("views", "chat", "prompt", "style"), "chat"),
        ("views.chat.prompt = false", ("views", "chat"), {}),
        ("data = 5", ("data",), 5),
    ],
)
def test_tables_merge_other_values_replace_and_false_removes(
    tmp_path: Path, child: str, path: tuple[str, ...], expected: Any
) -> None:
    file = files(tmp_path, child=f'extends = "parent.toml"\n{child}', parent=PARENT)
    found: Any = read_source(file).values
    for part in path:
        found = found.get(part)
    assert found == expected
    assert "extends" not in read_source(file).values


def test_a_chain_of_three_merges_from_the_oldest_on(tmp_path: Path) -> None:
    file = files(
        tmp_path,
        c='extends = "b.toml"\n[t]\nthree = 3',
        b='extends = "a.toml"\n[t]\ntwo = 2\none = 20',
        a="[t]\none = 1\ntwo = 1\nthree = 1",
    )
    assert read_source(file).values == {"t": {"one": 20, "two": 2, "three": 3}}


def test_a_removed_table_may_be_written_anew_further_down(tmp_path: Path) -> None:
    file = files(
        tmp_path,
        c='extends = "b.toml"\n[data.web]\nfile = "new"',
        b='extends = "a.toml"\n[data]\nweb = false',
        a='[data.web]\nfile = "old"\nlimit = 3',
    )
    assert read_source(file).values == {"data": {"web": {"file": "new"}}}


def test_each_key_knows_the_file_that_wrote_it(tmp_path: Path) -> None:
    file = files(tmp_path, child='extends = "parent.toml"\n\n[data.web]\nlimit = 4', parent=PARENT)
    assert line(file, "data", "web", "limit") == "child.toml:4"
    assert line(file, "data", "web", "file") == "parent.toml:4"
    assert line(file, "seed") == "parent.toml:1"
    assert line(file, "data", "web", "limit", overrides=("data.web.limit=9",)) == "--set"


@pytest.mark.parametrize(
    ("texts", "chain"),
    [
        ({"a": "a"}, "a.toml → {}/a.toml"),
        ({"a": "b", "b": "a"}, "a.toml → {}/b.toml → {}/a.toml"),
        ({"a": "b", "b": "c", "c": "b"}, "b.toml → {}/c.toml → {}/b.toml"),
    ],
)
def test_a_loop_is_refused_and_its_chain_named(
    tmp_path: Path, texts: dict[str, str], chain: str
) -> None:
    written = {name: f'extends = "{base}.toml"' for name, base in texts.items()}
    with pytest.raises(TaskError, match="circle") as caught:
        read_source(files(tmp_path, **written))
    assert chain.format(tmp_path, tmp_path) in str(caught.value)


@pytest.mark.parametrize("base", ["refusal", "refusal.toml", "tasks/refusal", "tasks/refusal.toml"])
def test_a_built_in_task_is_extended_by_name(tmp_path: Path, base: str) -> None:
    """What it names lies where the built-in task lies, and keys come on top."""
    file = files(tmp_path, mine=f'extends = "{base}"\nname = "mine"')
    source = read_source(file)
    assert source.values["name"] == "mine"
    assert source.values["experiments"].keys() == {"bypass", "induce"}
    assert source.origin(("models", "chat", "path")).file == builtin_tasks()["refusal"].resolve()


def test_ones_own_task_may_be_called_like_the_one_it_extends(tmp_path: Path) -> None:
    file = files(tmp_path, refusal='extends = "refusal"\ntitle = "Mine"')
    assert read_source(file).values["title"] == "Mine"
    assert "experiments" in read_source(file).values


def test_what_lies_beside_a_task_comes_before_a_built_in_task(tmp_path: Path) -> None:
    file = files(tmp_path, child='extends = "drift.toml"', drift='name = "beside"')
    assert read_source(file).values == {"name": "beside"}
    file = files(tmp_path, child='extends = "parent"', parent='name = "beside"')
    assert read_source(file).values == {"name": "beside"}


def test_a_name_that_means_two_tasks_is_refused_with_both_ways_to_say_it(tmp_path: Path) -> None:
    file = files(tmp_path, child='extends = "drift"', drift='name = "beside"')
    with pytest.raises(TaskError) as caught:
        read_source(file)
    (problem,) = caught.value.problems
    assert problem.where.endswith("child.toml:1: extends")
    assert 'Write "drift.toml" for the file, "tasks/drift" for the built-in' in problem.what
    for base, name in (("drift.toml", "beside"), ("tasks/drift", "drift")):
        assert read_source(files(tmp_path, child=f'extends = "{base}"')).values["name"] == name


def test_a_built_in_name_that_is_misspelt_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"Did you mean refusal\?") as caught:
        read_source(files(tmp_path, child='extends = "refussal"'))
    assert len(caught.value.problems) == 1


# ── Python ───────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("values", "at", "said"),
    [
        ({"seed": -1}, ("seed",), "load(…, seed=-1): seed"),
        ({"t": {"one": 5}}, ("t", "one"), "load(…, t={'one': 5}): t.one"),
        ({"t": {"new": {"x": 5}}}, ("t", "new", "x"), "load(…, t={'new': {'x': 5}}): t.new.x"),
        ({"new": {"x": 5}}, ("new", "x"), "load(…, new={'x': 5}): new.x"),
    ],
)
def test_what_python_gave_is_named_as_python_wrote_it(
    tmp_path: Path, values: dict[str, Any], at: tuple[str, ...], said: str
) -> None:
    source = read_source(files(tmp_path, t="seed = 0\n[t]\none = 1\ntwo = 2"))
    over = overridden(source, values)
    assert over.problem(at, "x").where == said
    assert over.origin(at).file is None  # and its paths are relative to the working folder
    assert over.problem(("t", "two"), "x").where.endswith("t.toml:4: t.two")


def test_a_long_value_is_cut_in_its_message(tmp_path: Path) -> None:
    source = overridden(read_source(files(tmp_path, t="")), {"long": "x" * 1000})
    assert len(source.problem(("long",), "x").where) < 100


def test_a_missing_parent_is_named_with_the_file_that_wants_it(tmp_path: Path) -> None:
    file = files(tmp_path, child='extends = "parnt.toml"')
    with pytest.raises(TaskError, match=r"parnt\.toml: no such task file.*child\.toml"):
        read_source(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = \n", "is not TOML.*line 1"),
        ("a = 1\na = 2\nb = 3", "is not TOML.*line 2"),
        ("extends = 5", r"t\.toml:1: extends: must be the path of one task file"),
        ('x = 1\nextends = ["a"]', r"t\.toml:2: extends: must be the path"),
        ('extends = ""', "cannot be read"),
        ("x = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("x = " + "1" * 5000, "is not TOML"),
        ('extends = "a\\u0000b"', "extends"),
    ],
    ids=["value", "twice", "number", "list", "folder", "deep", "digits", "nul"],
)
def test_what_cannot_be_read_is_a_problem_with_its_place(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(TaskError, match=said):
        read_source(files(tmp_path, t=text))


def test_text_that_is_not_utf8_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_bytes(b'name = "\xff"')
    with pytest.raises(TaskError, match=r"t\.toml: is not UTF-8"):
        read_source(file)


# ── --set ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("x=5", {"x": 5}),
        ("x=0.5", {"x": 0.5}),
        ("x=true", {"x": True}),
        ('x="5"', {"x": "5"}),
        ("x=[1, 2]", {"x": [1, 2]}),
        ("x={ a = 1 }", {"x": {"a": 1}}),
        ("x=gpt2", {"x": "gpt2"}),
        ("x=../models/gpt2", {"x": "../models/gpt2"}),
        ("x=a=b", {"x": "a=b"}),
        ("x=", {"x": ""}),
        ("x=a#b", {"x": "a#b"}),
        ("x=1\ny = 2", {"x": "1\ny = 2"}),
        ("a.b.c=1", {"a": {"b": {"c": 1}}}),
        (" a . b =1", {"a": {"b": 1}}),
        ('a."b.c"=1', {"a": {"b.c": 1}}),
        ("a.'b c'=1", {"a": {"b c": 1}}),
        ('a."b\\"c"=1', {"a": {'b"c': 1}}),
    ],
)
def test_an_override_is_toml_and_text_needs_no_quotes(
    tmp_path: Path, override: str, expected: dict[str, Any]
) -> None:
    assert read_source(files(tmp_path, t=""), [override]).values == expected


def test_overrides_merge_into_tables_remove_them_and_the_last_one_wins(tmp_path: Path) -> None:
    file = files(tmp_path, t=PARENT)
    values = read_source(file, ["data.web.limit=4", "data.more=false", "seed=2", "seed=3"]).values
    assert values["data"] == {"web": {"file": "a", "limit": 4}}
    assert values["seed"] == 3


@pytest.mark.parametrize("override", ["x", "=5", "a..b=1", "a b=1", ".a=1", "a.=1", "ä=1"])
def test_an_override_without_a_key_is_refused_with_an_example(
    tmp_path: Path, override: str
) -> None:
    with pytest.raises(UsageError, match=r"must be KEY=VALUE, such as"):
        read_source(files(tmp_path, t=""), [override])


# ── Lines ────────────────────────────────────────────────────────────────────────────────────────

LINES = '''\
name = "x"                       # 1
a.b.c = 1                        # 2
"quoted key" = 2                 # 3
'single # quoted' = 3            # 4
list = [                         # 5
  "not.a.key = 1",  # ] comment " with ' quotes
  [1, 2],
]
after_list = 1                   # 9
text = """
[not.a.table]
not_a_key = 1
""" # the end
after_text = 1                   # 14
literal = \'\'\'
[no]
"""
\'\'\'
after_literal = 1                # 19
one_line = """quick""" # "
[table] # [comment]
key = 1                          # 22
  indented = 2                   # 23
[ spaced . "out.er" ]            # 24
inline = { a = 1, b = [1, 2] }   # 25
[[many]]                         # 26
first = 1                        # 27
[[many]]                         # 28
second = 1                       # 29
[last.of.all]                    # 30
"tab\\tkey" = 1                   # 31
"\\u00e9" = 1                     # 32
'''


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("name",), 1),
        (("a", "b", "c"), 2),
        (("quoted key",), 3),
        (("single # quoted",), 4),
        (("list",), 5),
        (("list", 1, 0), 5),
        (("after_list",), 9),
        (("text",), 10),
        (("after_text",), 14),
        (("literal",), 15),
        (("after_literal",), 19),
        (("one_line",), 20),
        (("table",), 21),
        (("table", "key"), 22),
        (("table", "indented"), 23),
        (("spaced", "out.er"), 24),
        (("spaced", "out.er", "inline"), 25),
        (("spaced", "out.er", "inline", "a"), 25),
        (("last", "of", "all"), 30),
        (("last", "of", "all", "missing"), 30),
        (("last", "of", "all", "tab\tkey"), 31),
        (("last", "of", "all", "é"), 32),
    ],
)
def test_every_key_has_the_line_where_it_was_written(
    tmp_path: Path, path: tuple[str | int, ...], expected: int
) -> None:
    assert line(files(tmp_path, t=LINES), *path) == f"t.toml:{expected}"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "above",
    [
        "# a comment with \x85 and \u2028 and \u2029",
        'x = "\u2028"',
        'x = """\na \\""" [b]\n"""',
        'x = """"quoted""""',
        "x = ''''quoted''''",
        "x = [ # ]\n  \"]\", '[', # [\n]",
        "x = 1979-05-27T07:32:00Z",
    ],
)
def test_what_stands_above_does_not_shift_a_line(tmp_path: Path, above: str, ending: str) -> None:
    text = f"{above}\nkey = 1\n"
    file = tmp_path / "t.toml"
    file.write_bytes(text.replace("\n", ending).encode())
    assert line(file, "key") == f"t.toml:{text.split('key =')[0].count(chr(10)) + 1}"


def test_a_key_that_nobody_wrote_is_placed_in_the_file(tmp_path: Path) -> None:
    file = files(tmp_path, t="a = 1")
    assert line(file, "b", "c") == "t.toml"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("a", "b"), "a.b"),
        (("a", 0, "b"), "a[0].b"),
        (("a b", "c.d"), '"a b"."c.d"'),
        ((), ""),
    ],
)
def test_a_key_path_is_written_as_in_toml(path: tuple[str | int, ...], text: str) -> None:
    assert dotted(path) == text


NAMES = st.sampled_from(["a", "b", "k-1", "_x", "7"])
KEYS = NAMES.map(lambda n: n) | st.sampled_from(
    ['"q r"', "'s.t'", '"#"', "'['", '"="', '""', '"es\\"c"', '"\\u00e9"', "'\"'"]
)
COMMENTS = st.sampled_from(["", " # c", ' # "', " # '''", " # [x]", " # a = 1", " # \u2028 z = 1"])
TEXTS = st.text(alphabet=st.sampled_from("ab\"'#[]{}=., \n\u2028"), max_size=12)


def _basic(text: str, quotes: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f"{quotes}{escaped}{quotes}"


SCALARS = st.one_of(
    st.integers().map(str),
    st.sampled_from(["true", "1.5", "inf", "1979-05-27", "0xff"]),
    TEXTS.map(lambda t: _basic(t.replace("\n", " "), '"')),
    TEXTS.map(lambda t: _basic(t, '"""')),
    TEXTS.map(lambda t: "'" + t.replace("'", "").replace("\n", "") + "'"),
    TEXTS.map(lambda t: "'''" + t.replace("'", "") + "'''"),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.tuples(st.lists(inner, max_size=3), COMMENTS).map(
            lambda pair: f"[{pair[1]}\n" + f",{pair[1]}\n".join(pair[0]) + f"{pair[1]}\n]"
        ),
        inner.map(lambda v: "{ in = 1 }" if "\n" in v else f"{{ a = 1, b = {v} }}"),
    ),
    max_leaves=4,
)
DOTTED = st.lists(KEYS, min_size=1, max_size=3).map(lambda parts: " . ".join(parts))
LINE = st.one_of(
    st.tuples(DOTTED, VALUES, COMMENTS).map(lambda t: ("key", t[0], f"{t[0]} = {t[1]}{t[2]}")),
    st.tuples(DOTTED, COMMENTS).map(lambda t: ("table", t[0], f"[{t[0]}]{t[1]}")),
    COMMENTS.map(lambda c: ("nothing", "", c)),
)


def _parsed(key: str) -> tuple[str, ...]:
    """A dotted key, as tomllib understands it."""
    path: list[str] = []
    value: Any = tomllib.loads(f"{key} = 0")
    while isinstance(value, dict):
        (part, value) = next(iter(value.items()))
        path.append(part)
    return tuple(path)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(LINE, max_size=8))
def test_the_locator_agrees_with_tomllib(
    tmp_path: Path, statements: list[tuple[str, str, str]]
) -> None:
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for kind, key, written in statements:
        try:
            tomllib.loads("\n".join([*lines, written]))
        except tomllib.TOMLDecodeError:
            continue  # a key twice, or a table in something else
        number = "\n".join([*lines, ""]).count("\n") + 1 if lines else 1
        lines.append(written)
        if kind == "table":
            table = _parsed(key)
            expected[table] = number
        if kind == "key":
            expected[(*table, *_parsed(key))] = number
    file = files(tmp_path, t="\n".join(lines))
    source = read_source(file)
    found = {path: origin.line for path, origin in source.origins.items()}
    assert found == expected
    for path in found:
        value: Any = source.values
        for part in path:
            value = value[part]


# ── Names of tasks ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["refusal", "tasks/refusal", "tasks/refusal.toml"])
def test_a_built_in_task_is_found_by_its_name_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_task(name).name == "refusal.toml"


def test_a_file_goes_before_a_built_in_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "refusal").write_text("")
    assert find_task("refusal") == Path("refusal")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("refusl", "no such task.*Did you mean refusal"),
        (".", "is a folder"),
        ("x" * 5000, "no such task"),
        ("a\0b", "no such task"),
    ],
    ids=["typo", "folder", "long", "nul"],
)
def test_a_name_that_is_no_task_is_refused_with_what_there_is(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        find_task(name)
