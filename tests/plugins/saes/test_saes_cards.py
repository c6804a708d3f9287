"""What model cards say of tokens that training left out: by repository, wherever its files lie."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness_saes.cards import CARDS, stated
from harness_saes.core.config import Config
from harness_saes.core.linear import fingerprint
from harness_saes.formats.dictionary_learning.load import DictionaryLearning
from harness_saes.formats.dictionary_learning.options import DictionaryLearningOptions
from harness_saes.formats.saelens.config import parse_config

GOLDEN = Path(__file__).parents[1] / "saes_golden" / "dictionary_learning" / "batchtopk"


@pytest.mark.parametrize(
    ("place", "first", "ratio"),
    [
        ("andyrdt/saes-qwen2.5-7b-instruct", 8, 10),
        ("/data/andyrdt/saes-qwen2.5-7b-instruct/resid_post_layer_3/trainer_1", 8, 10),
        ("/hub/models--andyrdt--saes-qwen2.5-7b-instruct/snapshots/ab12", 8, 10),
        ("adamkarvonen/qwen3-8b-saes", 0, 10),
        ("adamkarvonen/qwen3-1.7b-saes", 0, 10),
    ],
)
def test_places_of_a_repository(place, first, ratio):
    rule = stated(place)
    assert (rule.skip_first, rule.max_norm_ratio) == (first, ratio)
    assert rule.said_by.startswith("https://huggingface.co/")


@pytest.mark.parametrize(
    "place",
    ["andyrdt/saes-llama-3.1-8b-instruct", "andyrdt/saes-qwen2.5-7b-instruct-v2",
     "notandyrdt/saes-qwen2.5-7b-instruct", "adamkarvonen/qwen3-4b-saes", "", "gpt2"],
)  # fmt: skip
def test_what_no_card_says(place):
    assert stated(place) is None


def test_each_card_is_of_one_place():
    assert len({card.repositories.pattern for card in CARDS}) == len(CARDS)


def test_the_rule_is_described_as_it_is_loaded(tmp_path):
    (folder,) = GOLDEN.glob("resid_post_layer_3")
    place = tmp_path / "adamkarvonen" / "qwen3-14b-saes"
    place.parent.mkdir()
    place.symlink_to(folder, target_is_directory=True)
    options = DictionaryLearningOptions(path=str(place), trainer="trainer_0")
    assert options.describe().not_trained_on.max_norm_ratio == 10
    assert DictionaryLearning(options).load("cpu").facts == options.describe()
    away = DictionaryLearningOptions(path="andyrdt/saes-qwen2.5-7b-instruct", trainer="t")
    assert away.describe().not_trained_on.skip_first == 8


def test_it_changes_no_number():
    config = Config("standard", 8, 32)
    known = replace(config, not_trained_on=CARDS[0].rule)
    assert fingerprint(config, {}, "float32") == fingerprint(known, {}, "float32")


@pytest.mark.parametrize(
    ("written", "first"),
    [([5, None], 5), ([2, -5, 1], 2), ([None], None), ([7], None), (None, None), ([0, 9], None)],
)
def test_slices_of_a_sequence(written, first):
    data = {"architecture": "standard", "d_in": 8, "d_sae": 32,
            "metadata": {"seqpos_slice": written}}  # fmt: skip
    rule = parse_config(json.loads(json.dumps(data)), "cfg.json").not_trained_on
    assert (rule.skip_first if rule else None) == first
