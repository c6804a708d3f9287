"""Truth files: what is one, and what is refused by name before anything runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness_analyses.found.options import FoundOptions
from harness_analyses.found.truth import direction_of, read_truth

GOOD = {"kind": "moved_feature", "seed": 1, "planted": "weights", "latents": [3], "more": {"a": 1}}


def write(folder, truth, pair="one", direction=None):
    place = folder / pair
    place.mkdir(exist_ok=True)
    said = truth if isinstance(truth, (str, bytes)) else json.dumps(truth)
    (place / "truth.json").write_bytes(said if isinstance(said, bytes) else said.encode())
    if direction is not None:
        save_file(direction, place / "truth.safetensors")


def test_a_truth_is_read_and_keys_that_nobody_knows_may_stand_beside(tmp_path):
    write(tmp_path, GOOD)
    truth = read_truth(tmp_path, "one")
    assert (truth.kind, truth.seed, truth.latents, truth.direction) == (
        "moved_feature", 1, [3], False,
    )  # fmt: skip


def test_a_direction_lies_beside_it(tmp_path):
    write(tmp_path, {**GOOD, "direction": True}, direction={"direction": np.eye(4, dtype="f4")[2]})
    assert read_truth(tmp_path, "one").direction
    assert direction_of(tmp_path, "one").tolist() == [0, 0, 1, 0]


BROKEN = {
    "not JSON": ("{", "Invalid JSON"),
    "a list": ("[]", "object"),
    "no kind": ({"seed": 1, "planted": "weights", "latents": [1]}, "kind"),
    "a kind that is markup": ({**GOOD, "kind": "<b>"}, "kind"),
    "no way of planting": ({**GOOD, "planted": "magic"}, "planted"),
    "nothing to find": ({**GOOD, "latents": []}, "neither latents nor tokens nor a direction"),
    "a null with a truth": ({**GOOD, "planted": "nothing"}, "planted is nothing, but"),
    "a negative token": ({**GOOD, "tokens": [-1]}, "tokens.0"),
    "tokens as text": ({**GOOD, "tokens": "wine"}, "tokens"),
    "a seed that is text": ({**GOOD, "seed": "0"}, "seed"),
    "no site": ({**GOOD, "site": "resid_post"}, "site"),
    "bytes": (b"\xff\xfe\x00", "Invalid JSON"),
    "too large": (" " * (2**20 + 1), "more than"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_truth_is_refused_with_its_file(tmp_path, case):
    truth, said = BROKEN[case]
    write(tmp_path, truth)
    with pytest.raises(ValueError, match=r"truth\.json: ") as refused:
        read_truth(tmp_path, "one")
    assert said in str(refused.value)


def test_a_missing_truth_is_refused_by_the_name_of_the_pair(tmp_path):
    with pytest.raises(ValueError, match=r"two has no truth: .*two/truth\.json: No such"):
        read_truth(tmp_path, "two")


@pytest.mark.parametrize(
    ("direction", "said"),
    [
        (None, "No such file"),
        ({"other": np.eye(2)[0]}, "has no tensor direction"),
        ({"direction": np.ones(3)}, "length 1.73"),
        ({"direction": np.eye(2)}, "shape (2, 2)"),
        ({"direction": np.full(3, np.nan)}, "length nan"),
    ],
    ids=["missing", "another tensor", "not of length 1", "a matrix", "not a number"],
)
def test_a_direction_that_is_none_is_refused(tmp_path, direction, said):
    write(tmp_path, {**GOOD, "direction": True}, direction=direction)
    with pytest.raises(ValueError, match=r"truth\.safetensors: ") as refused:
        read_truth(tmp_path, "one")
    assert said in str(refused.value)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path):
    write(tmp_path, {**GOOD, "direction": True})
    (tmp_path / "one" / "truth.safetensors").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ValueError, match=r"truth\.safetensors: .*Allowed: a tensor"):
        read_truth(tmp_path, "one")


def options(folder, **more):
    method = {"name": "lens", "sort": "tokens", "analysis": "l", "table": "tokens", "score": "p"}
    given = {"truths": str(folder), "pairs": ("one",), "model": "base", "methods": (method,)}
    return FoundOptions.model_validate({**given, **more})


def test_options_read_the_truths(tmp_path):
    write(tmp_path, GOOD)
    assert options(tmp_path).pairs == ("one",)
    with pytest.raises(ValueError, match="two has no truth"):
        options(tmp_path, pairs=("one", "two"))


METHODS = {
    "nobody": ({"name": "a", "sort": "tokens", "table": "t", "score": "s"}, "either statistic or"),
    "two": ({"name": "a", "sort": "tokens", "table": "t", "score": "s", "statistic": "x",
             "analysis": "y"}, "either statistic or"),
    "nothing": ({"name": "a", "sort": "tokens", "statistic": "x"}, "either table or array"),
    "unranked": ({"name": "a", "sort": "tokens", "statistic": "x", "table": "t"}, "score is mis"),
    "an array": ({"name": "a", "sort": "tokens", "analysis": "x", "array": "z"}, "only a statist"),
    "directions": ({"name": "a", "sort": "directions", "statistic": "x", "table": "t",
                    "score": "s"}, "directions are read from an array"),
    "latents": ({"name": "a", "sort": "latents", "statistic": "x", "array": "z"}, "dictionary is"),
}  # fmt: skip


@pytest.mark.parametrize("case", METHODS)
def test_a_method_that_cannot_be_read_is_refused(tmp_path, case):
    write(tmp_path, GOOD)
    method, said = METHODS[case]
    with pytest.raises(ValueError, match=said):
        options(tmp_path, methods=(method,))


def test_a_baseline_has_an_experiment_for_each_pair(tmp_path):
    write(tmp_path, GOOD)
    with pytest.raises(ValueError, match="2 experiments, and there are 1 pairs"):
        options(tmp_path, baseline={"base": "b", "tuned": ("c", "d")})
