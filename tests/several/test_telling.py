"""What tells runs apart: labels as short as they may be, and nothing that only looks different."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.contract import Results
from harness.several.order import natural
from harness.several.telling import variants

Make = Callable[..., Results]


def labels(*runs: Results) -> tuple[tuple[str, ...], list[str]]:
    by, found = variants([(f"run-{n}", one) for n, one in enumerate(runs)])
    return by, [variant.label for variant in found]


def models(**paths: str) -> dict[str, Any]:
    return {"models": {name: {"path": path} for name, path in paths.items()}}


def test_seeds_alone_make_one_variant(run: Make) -> None:
    by, found = variants([("x", run(seed=1)), ("y", run(seed=0))])
    assert by == ()
    assert [(one.name, one.seed) for one in found[0].runs] == [("y", "0"), ("x", "1")]


def test_seeds_inside_tables_are_seeds_too(run: Make) -> None:
    runs = [run(task={"directions": {"random": {"seed": seed}}}) for seed in (3, 4)]
    by, found = variants([("x", runs[0]), ("y", runs[1])])
    assert (by, len(found)) == ((), 1)
    assert [one.seed for one in found[0].runs] == [
        "0, directions.random.seed=3", "0, directions.random.seed=4",
    ]  # fmt: skip


def test_what_shuffles_data_is_a_seed_where_all_runs_shuffle(run: Make) -> None:
    """SAE as a Crystal Ball, C.2: three draws of the solved examples, their mean and deviation."""

    def drawn(shuffle: int | None) -> Results:
        limo = {"hub": "GAIR/LIMO"} | ({} if shuffle is None else {"shuffle": shuffle})
        return run(task={"data": {"limo": limo, "examples": limo}})

    by, found = variants([(f"run-{n}", drawn(n)) for n in (2, 0, 10)])
    assert (by, len(found)) == ((), 1)
    assert [one.seed for one in found[0].runs] == [
        f"0, data.examples.shuffle={n}, data.limo.shuffle={n}" for n in (0, 2, 10)
    ]
    by, found = variants([("x", drawn(None)), ("y", drawn(1))])
    assert by == ("data.examples.shuffle",)
    assert len(found) == 2


def test_paths_lose_the_folders_that_all_share(run: Make) -> None:
    paths = [f"/x/tunes/{name}/model" for name in ("pirate", "sums")]
    assert labels(*(run(model=path) for path in paths))[1] == ["pirate", "sums"]
    hub = ["google/gemma-2-2b-it", "meta-llama/Llama-3"]
    runs = [run(task=models(chat=path), provenance={"models": {}}) for path in hub]
    assert labels(*runs)[1] == hub


def test_one_setting_is_enough_where_others_go_with_it(run: Make) -> None:
    runs = []
    for n, name in (("s1", "gemma"), ("s2", "llama")):
        task = {**models(base=f"{name}-base", chat=name), "saes": {"mid": {"path": n}}}
        runs.append(run(model=name, task=task))
    by, found = labels(*runs)
    assert len(by) == 1
    assert by[0].startswith("models.")
    assert len(set(found)) == 2


def test_as_many_settings_as_are_needed(run: Make) -> None:
    runs = [run(model=model, task={**models(chat=model), "k": k})
            for model in "ab" for k in (1, 2)]  # fmt: skip
    by, found = labels(*runs)
    assert by == ("models.chat.path", "k")
    assert found == ["path=a, k=1", "path=a, k=2", "path=b, k=1", "path=b, k=2"]


def test_the_same_model_elsewhere_is_the_same(run: Make) -> None:
    """Two machines keep a model in two places; its hash says that it is one."""
    prints = {"models": {"base": {"fingerprint": "1"}, "chat": {"fingerprint": "2"}},
              "data": {"web": "3"}}  # fmt: skip
    runs = [
        run(seed=n, provenance=prints,
            task={**models(base=f"/{n}/base", chat=f"/{n}/chat"),
                  "data": {"web": {"file": f"/{n}/web.jsonl"}},
                  "labels": {"l": {"path": f"/{n}/labels.jsonl"}}})
        for n in range(3)
    ]  # fmt: skip
    assert labels(*runs) == ((), ["tiny"])
    one = variants([(str(n), one) for n, one in enumerate(runs)])[1]
    assert len(one[0].runs) == 3


def test_another_model_at_the_same_path_is_another(run: Make) -> None:
    runs = [run(provenance={"models": {"chat": {"fingerprint": letter * 64}}}) for letter in "ab"]
    by, found = labels(*runs)
    assert by == ("models.chat.hash",)
    assert found == ["a" * 8, "b" * 8]


def test_words_about_a_task_are_no_settings(run: Make) -> None:
    runs = [run(task={"title": str(n), "source": str(n), "claims": {"c": {"holds": str(n)}},
                      "gates": {"g": {"assert": str(n)}}}) for n in range(2)]  # fmt: skip
    assert labels(*runs)[0] == ()


def test_tasks_of_different_kinds_are_told_by_their_names(run: Make) -> None:
    """Also where they share a table, in which a setting differs."""
    directions = {name: {"bypass": {"directions": [name]}} for name in "xy"}
    one = {"name": "refusal", "experiments": directions["x"], "analyses": {"agree": {"k": 1}}}
    two = {"name": "crosscoder", "experiments": directions["y"], "labels": {"near": {"n": 2}}}
    more = {"directions": {"r": {"method": "random", "draws": 5}}}
    assert labels(run(task=one), run(task={**two, **more})) == (
        ("name",),
        ["crosscoder", "refusal"],
    )


def test_different_tasks_are_told_by_their_names(run: Make) -> None:
    runs = [run(task={"name": "one", "only": {"here": 1}}), run(task={"name": "two"})]
    assert labels(*runs) == (("name",), ["one", "two"])


@pytest.mark.parametrize("value", ["x" * 9000, "9" * 9000, "\x1b[31m", "", "/", "//", "—"])
def test_odd_settings_are_no_crash(run: Make, value: str) -> None:
    assert len(labels(run(task={"k": value}), run(task={"k": "b"}))[1]) == 2


def test_numbers_are_sorted_by_size() -> None:
    names = ["step_100", "step_20", "3", "0.5", "-1", "1e3", "a", ""]
    assert sorted(names, key=natural) == [
        "-1", "0.5", "3", "1e3", "", "a", "step_20", "step_100",
    ]  # fmt: skip
