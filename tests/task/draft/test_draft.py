"""Drafts of tasks: what is found, what is chosen, and that what is written is a task."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.contract import ModelFacts, SaeFacts, Site, parse_site
from harness.errors import DataError, HarnessError, ModelError, UsageError
from harness.registry import Registry, discover
from harness.task.draft import toml
from harness.task.draft.asked import Asked, DraftModel, DraftSae, DraftText, called, word
from harness.task.draft.draft import Draft, drafted, drafted_refusal, found
from harness.task.draft.drift import drift
from harness.task.draft.models import models
from harness.task.draft.saes import saes
from harness.task.draft.sites import MOST_SITES, over_depth, profile
from harness.task.draft.text import NEUTRAL, prompts, text
from harness.task.file import source_of
from harness.task.resolve import resolve
from harness.task.rows import rows_of
from harness.task.task import Task

ORGANISM = Path(__file__).parents[3] / "tasks" / "organism"
BASE, CHAT, TUNES = ORGANISM / "base", ORGANISM / "chat", ORGANISM / "tunes"


@pytest.fixture(scope="module")
def real() -> Registry:
    """All installed plugins: what a person has."""
    return discover()


@pytest.fixture
def task(real: Registry) -> Callable[[Draft], Task]:
    return lambda draft: resolve(source_of(draft.toml, Path("diff.toml")), real)


def asked(tuned: Path | None = CHAT, **more: Any) -> Asked:
    return Asked(str(BASE), str(tuned) if tuned else None, **more)


def rows(folder: Path, *written: Any, name: str = "rows.jsonl") -> str:
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in written), encoding="utf-8")
    return str(file)


# ── Text ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_neutral_passages_are_sixty_different_ones() -> None:
    found = [row["text"] for row in rows_of(NEUTRAL, ".txt", "neutral")]
    assert 55 <= len(found) == len(set(found))
    assert all(20 <= len(one) <= 400 for one in found)


@pytest.mark.parametrize(
    ("row", "column", "form"),
    [
        ({"id": 3, "text": "a"}, "text", "text"),
        ({"prompt": "a", "text": ""}, "prompt", "instruction"),
        ({"instruction": "a", "output": "b"}, "instruction", "instruction"),
        ({"messages": [{"role": "user", "content": "a"}]}, "messages", "turns"),
        ({"anything": "a"}, "anything", "text"),
        ({"messages": "a text"}, "messages", "text"),
    ],
)
def test_the_column_is_guessed(tmp_path: Path, row: Any, column: str, form: str) -> None:
    read = text(asked(data=rows(tmp_path, row, row)))
    assert (read.column, read.form, read.neutral) == (column, form, False)


@pytest.mark.parametrize(
    ("written", "column", "words"),
    [
        ([{"a": 1, "b": "x"}], None, ("It has: a, b", "--column NAME")),
        ([{"text": " "}, {"text": ""}], None, ("no column", "with text in it")),
        ([{"text": 3}], "text", ("column 'text' holds no text", "It has: text")),
        ([{"text": "a"}], "txt", ("unknown column 'txt'", "Did you mean text?")),
        ([], None, ("rows.jsonl", "is empty")),
    ],
)
def test_a_file_without_text_is_one_sentence(
    tmp_path: Path, written: Sequence[Any], column: str | None, words: Sequence[str]
) -> None:
    with pytest.raises(DataError) as caught:
        text(asked(data=rows(tmp_path, *written), column=column))
    assert all(one in str(caught.value) for one in ("--data", *words))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "word"), [("no.jsonl", "no such file"), (".", "is a folder")])
def test_a_file_that_is_not_there(tmp_path: Path, name: str, word: str) -> None:
    with pytest.raises(DataError, match=word):
        text(asked(data=str(tmp_path / name)))


def test_conversations_need_a_chat_template(real: Registry, tmp_path: Path) -> None:
    data = rows(tmp_path, {"messages": [{"role": "user", "content": "hi"}]})
    with pytest.raises(DataError, match="neither model has a chat template"):
        found(real, asked(TUNES / "sums", data=data))
    draft = drafted(found(real, asked(data=data)))
    assert tomllib.loads(draft.toml)["pairs"]["change"]["render"] == "right"
    assert "both read 'messages' in the chat template of chat." in draft.notes


# ── Models ───────────────────────────────────────────────────────────────────────────────────────


def test_an_adapter_is_put_on_the_base_however_it_is_named(real: Registry) -> None:
    base, one = models(real, asked(TUNES / "safety"))
    _, other = models(real, asked(None, adapter=str(TUNES / "safety")))
    assert one.keys == other.keys == {**base.keys, "adapter": str(TUNES / "safety")}
    assert one.partial


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tuned": None}, "neither of them given"),
        ({"tuned": str(CHAT), "adapter": str(TUNES / "safety")}, "both given"),
        ({"base": str(TUNES / "safety"), "tuned": str(CHAT)}, "is an adapter, and no model"),
        ({"base": "/nowhere/base", "tuned": str(CHAT)}, "no such file or folder"),
        ({"tuned": "/nowhere/chat"}, "TUNED '/nowhere/chat': no such file or folder"),
        ({"tuned": "missing.gguf"}, "no such file or folder"),
        ({"tuned": None, "adapter": str(CHAT)}, "adapter"),
        ({"tuned": str(ORGANISM / "data")}, "has no model.safetensors"),
    ],
)
def test_what_is_no_pair_of_models_is_one_sentence(
    real: Registry, given: dict[str, Any], words: str
) -> None:
    with pytest.raises((UsageError, ModelError)) as caught:
        models(real, replace(asked(), **given))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_models_of_another_shape_are_refused_with_what_can_be_compared(real: Registry) -> None:
    with pytest.raises(UsageError) as caught:
        models(real, asked(ORGANISM / "judge"))
    message = str(caught.value)
    assert "base and judge cannot be compared: they have 128 and 64 numbers per token." in message
    assert "a base and its fine-tune" in message


def test_vocabularies_of_two_sizes_leave_the_predictions_out() -> None:
    base, tuned = model("base"), model("tuned", vocabulary=101)
    written = tomllib.loads(drift(base, tuned, (), NOTHING))
    assert "kl" not in written["metrics"]
    assert "kl" in tomllib.loads(drift(base, base, (), NOTHING))["metrics"]


# ── SAEs ─────────────────────────────────────────────────────────────────────────────────────────


def test_saes_beside_the_model_are_found_one_for_each_site(real: Registry) -> None:
    base, _ = models(real, asked())
    ours = saes(real, base, ())
    assert [sae.name for sae in ours.saes] == ["resid_post_2", "resid_post_4", "resid_post_5"]
    assert [Path(str(sae.keys["path"])).name for sae in ours.saes][1] == "resid_post.4"
    assert "width_1024" in ours.notes[0]


def test_a_folder_of_folders_and_a_site(real: Registry) -> None:
    base, _ = models(real, asked())
    folder = ORGANISM / "saes"
    assert len(saes(real, base, [str(folder)]).saes) == 3
    (one,) = saes(real, base, [f"{folder}@resid_post.4"]).saes
    assert one.site == Site("resid_post", 4)
    (wide,) = saes(real, base, [str(folder / "resid_post.4.width_4096")]).saes
    assert wide.facts.d_sae == 4096
    twice = saes(
        real, base, [str(folder / "resid_post.4"), str(folder / "resid_post.4.width_1024")]
    )
    assert [sae.name for sae in twice.saes] == ["resid_post_4", "resid_post_4_2"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (f"{ORGANISM / 'saes'}@resid_post.0", "has no SAE at resid_post.0. Allowed: resid_post.2"),
        (f"{ORGANISM / 'saes'}@resid_pots.4", "is no site"),
        (str(ORGANISM / "data"), "holds no SAE that a format recognises"),
        ("no-such-release-at-all", "no release of that name"),
    ],
)
def test_an_sae_that_is_not_there_is_one_sentence(real: Registry, given: str, words: str) -> None:
    base, _ = models(real, asked())
    with pytest.raises(HarnessError) as caught:
        saes(real, base, [given])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_sae_of_another_width_is_one_sentence(real: Registry) -> None:
    base, _ = models(real, asked())
    narrow = replace(base, facts=replace(base.facts, d_model=64))
    with pytest.raises(UsageError, match=r"reads 128 numbers per token at .*, and base has 64"):
        saes(real, narrow, [str(ORGANISM / "saes" / "resid_post.4")])


def test_a_base_without_saes_says_so(real: Registry) -> None:
    base, _ = models(real, asked())
    narrow = replace(base, facts=replace(base.facts, d_model=64))
    found = saes(real, narrow, ())
    assert found.saes == ()
    assert "5 SAEs in" in found.notes[0]
    assert "are not of base, by their width or name" in found.notes[0]
    assert "what needs none is measured" in found.notes[1]


def test_a_release_is_chosen_by_the_name_of_the_base(real: Registry) -> None:
    base = DraftModel(
        "gemma-2b-it", {}, ModelFacts(layers=18, d_model=2048), ("google/gemma-2b-it",)
    )
    (one,) = saes(real, base, ()).saes
    assert one.keys == {"release": "gemma-2b-it-res-jb", "id": "blocks.12.hook_resid_post"}
    assert one.format == "saelens"
    nameless = replace(base, names=())
    assert saes(real, nameless, ()).saes == ()
    assert saes(real, base, ["gemma-2b-it-res-jb@resid_post.12"]).saes == (one,)


# ── Sites ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("layers", [1, 2, 6, 26, 32, 33, 80, 126])
def test_a_profile_has_both_ends_and_is_never_long(layers: int) -> None:
    sites = profile(layers, ())
    blocks = [site.layer for site in sites[1:]]
    assert sites[0] == Site("embed")
    assert blocks[0] == 0
    assert blocks[-1] == layers - 1
    assert blocks == sorted(set(blocks))
    assert len(blocks) == min(layers, MOST_SITES)


def test_a_profile_leaves_out_what_saes_measure() -> None:
    measured = [Site("resid_post", 2), Site("resid_post", 5)]
    assert not set(profile(6, measured)) & set(measured)
    assert len(profile(6, measured)) == 5


@pytest.mark.parametrize("count", [1, 3, 6, 7, 13, 26])
def test_a_handful_over_depth(count: int) -> None:
    placed = [(Site("resid_post", layer), layer) for layer in range(count) for _ in range(2)]
    chosen = over_depth(placed, count)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == (count if count <= 6 else 3)
    if count > 6:
        assert (
            max(abs(a - b * count) for a, b in zip(chosen, (0.25, 0.5, 0.75), strict=True)) <= 0.5
        )


# ── What is written ──────────────────────────────────────────────────────────────────────────────

NOTHING = DraftText(NEUTRAL, "text", "text", 200, neutral=True)


def model(name: str, vocabulary: int = 100, template: bool | None = False) -> DraftModel:
    facts = ModelFacts(layers=6, d_model=8, vocabulary=vocabulary, chat_template=template)
    return DraftModel(name, {"path": f"/models/{name}"}, facts)


EVIL = 'a"]\n[models.evil]\npath = "x" # \x7f \u202e \\'


def test_names_from_outside_stay_names() -> None:
    """Nothing that a folder, a column or an SAE is called becomes TOML of its own."""
    base = DraftModel(EVIL, {"path": EVIL}, model("x").facts)
    site = parse_site("resid_post.1")
    sae = DraftSae("s", "saelens", {"path": EVIL}, SaeFacts(site=site, neuronpedia=EVIL), site)
    written = tomllib.loads(drift(base, base, (sae,), replace(NOTHING, column=EVIL)))
    assert set(written["models"]) == {"base", "tuned"}
    assert written["models"]["base"]["path"] == written["saes"]["s"]["path"] == EVIL
    assert written["data"]["text"]["column"] == EVIL


@pytest.mark.parametrize(
    "value", [True, 3, 0.5, "a\tb", ["x"] * 40, [1, 2], {"a": {"b": [True]}}, "é\x00", []]
)
def test_written_values_are_read_back(value: Any) -> None:
    assert tomllib.loads(f"v = {toml.written_value(value)}")["v"] == value


def test_the_same_words_draft_the_same_task(real: Registry) -> None:
    one, other = (drafted(found(real, asked())) for _ in range(2))
    assert one == other
    assert one.folder == other.folder
    third = drafted(found(real, asked(limit=3)))
    assert third.folder != one.folder


@pytest.mark.parametrize("tuned", ["../chat", "safety", "sums", "planted_features"])
def test_what_is_drafted_of_the_organism_is_a_task(
    real: Registry, task: Callable[[Draft], Task], tuned: str
) -> None:
    made = task(drafted(found(real, asked((TUNES / tuned).resolve()))))
    assert set(made.metrics) >= {"displacement", "cosine", "kl", "fvu", "latent_overlap"}
    assert len(made.saes) == 3
    sites = {str(site) for site in made.places.pairs["change"].sites}
    assert sites == {"embed", "resid_post.0", "resid_post.1", "resid_post.3"}


def test_without_saes_it_is_a_task_too(real: Registry, task: Callable[[Draft], Task]) -> None:
    of = found(real, asked())
    made = task(drafted(replace(of, saes=replace(of.saes, saes=()))))
    assert not made.saes
    assert not made.directions
    assert set(made.metrics) == {"displacement", "cosine", "kl"}


def test_prompts_are_read_as_the_tuned_model_is_asked(
    real: Registry, task: Callable[[Draft], Task], tmp_path: Path
) -> None:
    data = rows(tmp_path, {"instruction": "Say no."})
    spec = task(drafted(found(real, asked(data=data)))).spec
    assert spec.views["tuned"].prompt.style == "chat"
    assert spec.pairs["change"].render == "right"
    plain = task(drafted(found(real, asked(TUNES / "sums", data=data)))).spec
    assert plain.views["tuned"].prompt.template == "{text}\n"
    assert plain.pairs["change"].render == "left"


def test_the_draft_on_refusal_is_a_task_whose_halves_do_not_meet(
    real: Registry, task: Callable[[Draft], Task]
) -> None:
    refused, answered = (
        prompts(str(ORGANISM / "data" / f"{name}_val.jsonl"), None, "--data", 20)
        for name in ("harmful", "harmless")
    )
    of = replace(found(real, asked()), text=refused)
    spec = task(drafted_refusal(of, answered)).spec
    train, test = spec.data["refused_train"], spec.data["refused_test"]
    assert (train.at_most, test.skip, test.at_most) == (10, 10, 10)
    assert spec.views["tuned"].prompt.generation_prompt
    assert set(spec.experiments) == {"bypass", "induce"}


def test_too_few_prompts_for_two_halves(tmp_path: Path) -> None:
    few = rows(tmp_path, *[{"prompt": "a"}] * 3)
    with pytest.raises(DataError, match=r"has 3 rows\. Allowed: at least 4"):
        prompts(few, None, "--against", 128)


@pytest.mark.parametrize(
    ("given", "name"),
    [("a/b/SmolLM2.Q4_1.gguf", "SmolLM2.Q4_1"), ("google/gemma-2-2b", "gemma-2-2b"), ("x/", "x")],
)
def test_what_people_call_a_model(given: str, name: str) -> None:
    assert called(given) == name


@pytest.mark.parametrize("name", ["a b", "..", "", EVIL, "x" * 200, "é"])
def test_any_name_becomes_a_word_of_the_language(name: str) -> None:
    written = f'name = "{word(name)}"'
    assert resolve(source_of(written, Path("t.toml")), Registry()).spec.name == word(name)


# ── SAEs that read both models ───────────────────────────────────────────────────────────────────

CROSSCODER = ORGANISM / "pair_saes" / "crosscoder"


def test_a_crosscoder_is_of_the_pair_and_not_of_the_base(
    real: Registry, task: Callable[[Draft], Task]
) -> None:
    draft = drafted(found(real, asked(saes=(str(CROSSCODER),))))
    made = task(draft)
    (sae,) = made.spec.saes.values()
    assert (sae.pair, sae.model) == ("change", None)
    assert {"fvu", "l0"} <= made.spec.metrics.keys()
    assert not {"latent_overlap", "explained_ratio"} & made.spec.metrics.keys()
    methods = {(one.method or name) for name, one in made.spec.statistics.items()}
    assert methods == {"decoder_norms", "contexts"}


def test_beside_one_of_the_base_each_is_measured_by_what_can(
    real: Registry, task: Callable[[Draft], Task]
) -> None:
    both = (str(CROSSCODER), str(ORGANISM / "saes" / "resid_post.4"))
    written = tomllib.loads(drafted(found(real, asked(saes=both))).toml)
    of_pair, of_base = ([n for n, s in written["saes"].items() if key in s]
                        for key in ("pair", "model"))  # fmt: skip
    assert len(of_pair) == len(of_base) == 1
    assert written["pairs"]["change"]["saes"] == [*of_pair, *of_base]
    assert written["metrics"]["latent_overlap"]["saes"] == of_base
    assert written["statistics"]["features"]["sweep"]["sae"] == of_base
    assert written["statistics"]["sides"]["sweep"]["sae"] == of_pair
    assert written["statistics"]["alignment"]["saes"] == of_base
    task(drafted(found(real, asked(saes=both))))


def test_a_crosscoder_beside_a_model_is_not_taken_unasked(tmp_path: Path, real: Registry) -> None:
    """It may be of another pair: a person names it."""
    (tmp_path / "saes").mkdir()
    (tmp_path / "saes" / "one").symlink_to(CROSSCODER)
    for name in ("base", "chat"):
        (tmp_path / name).symlink_to(ORGANISM / name)
    base = replace(models(real, asked())[0], folder=tmp_path / "base")
    assert not saes(real, base, ()).saes


def test_one_of_models_of_another_width_is_refused(real: Registry) -> None:
    base = models(real, asked(ORGANISM / "chat"))[0]
    wide = replace(base, facts=replace(base.facts, d_model=64))
    with pytest.raises(UsageError, match=r"reads 128 numbers per token at .*has 64"):
        saes(real, wide, (str(CROSSCODER),))


def test_the_question_of_refusal_asks_one_model_alone(real: Registry) -> None:
    read = prompts(str(ORGANISM / "data" / "harmful_val.jsonl"), None, "--data", 20)
    of = replace(found(real, asked(saes=(str(CROSSCODER),))), text=read)
    with pytest.raises(UsageError, match=r"reads both models at once.*--question drift"):
        drafted_refusal(of, read)
