"""Sweeps, and parts of a task that do not fit each other: said before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.tasks import EXPERIMENT, PROBE, only
from harness.task.task import Task

Write = Callable[..., Path]
MakeTask = Callable[..., Task]
Problems = Callable[..., list[str]]

# ── Sweeps ───────────────────────────────────────────────────────────────────────────────────────


def test_a_sweep_expands_to_every_combination_with_its_axes(task: MakeTask) -> None:
    made = task(PROBE + "sweep = { scale = [1, 2], offset = [5, 6, 7] }\n")
    axes = [dict(instance.axes) for instance in made.directions["d"]]
    assert axes == [{"scale": s, "offset": o} for s in (1, 2) for o in (5, 6, 7)]
    assert [(i.options.scale, i.options.offset) for i in made.directions["d"]] == [
        (s, o) for s in (1, 2) for o in (5, 6, 7)
    ]


def test_variants_stand_beside_the_axes_of_a_sweep(task: MakeTask) -> None:
    made = task(PROBE + "draws = 2\nsweep = { scale = [3] }\n")
    (instance,) = made.directions["d"]
    assert instance.variants(made) == [{"scale": 3, "draw": 0}, {"scale": 3, "draw": 1}]


def test_more_directions_than_max_arms_need_a_confirmation(
    task: MakeTask, problems: Problems
) -> None:
    text = PROBE + "sweep = { scale = [1, 2, 3], offset = [1, 2] }\n"
    only(problems(text, "max_arms=5"), r"directions\.d: .* 6 directions; max_arms allows 5")
    assert len(task(text, "max_arms=6").directions["d"]) == 6


def test_sweeps_are_counted_before_they_are_built(problems: Problems) -> None:
    many = ", ".join(f"o{n} = {list(range(10))}" for n in range(30))
    assert any("max_arms" in one for one in problems(PROBE + f"sweep = {{ {many} }}\n"))


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ("{ scael = [1, 2] }", "scael"),
        ("{ scale = [1, 'x'] }", "directions.d.scale"),
        ("{ scale = [] }", "directions.d.sweep.scale"),
        ("{ scale = 5 }", "directions.d.sweep.scale"),
        ("{ scale = [[1]] }", "directions.d.sweep.scale"),
        ("5", "directions.d.sweep"),
        ("{ method = ['probe', 'probe'] }", "method"),
        ("{ scale = [1, 1] }", "scale"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_a_problem(
    problems: Problems, sweep: str, said: str
) -> None:
    assert any(said in one for one in problems(PROBE + f"sweep = {sweep}\n"))


def test_all_wrong_values_of_a_sweep_are_told_together(problems: Problems) -> None:
    """Issue 13, item 5: only the first was."""
    found = problems(PROBE + "sweep = { scale = [1, 'x', 2, 'y'], offset = [3, 'z'] }\n")
    for wrong in "xyz":
        assert sum(f'"{wrong}"' in one for one in found) == 1, found
    assert len(found) == 3
    only(problems(PROBE + "scael = 1\nsweep = { scale = [1, 2, 3] }\n"), "Did you mean scale")


# ── What fits ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "chain"),
    [
        ("[directions.a]\nmethod='probe'\nstart='a'\n", "a → a"),
        ("[directions.a]\nmethod='probe'\nstart='b'\n[directions.b]\nmethod='probe'\nfinish='a'\n",
         "a → b → a"),
        ("[directions.x]\nmethod='probe'\nstart='a'\n[directions.a]\nmethod='probe'\nfinish='b'\n"
         "[directions.b]\nmethod='probe'\nfinish='a'\n", "a → b → a"),
    ],
)  # fmt: skip
def test_directions_that_need_each_other_are_refused_with_the_circle(
    problems: Problems, text: str, chain: str
) -> None:
    only(problems(text), rf"directions\.a: needs itself: {chain}")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["saes.mid.width=7"], r"saes\.mid: the SAE reads 7 numbers per token, but base has 6"),
        (["saes.mid.trained_at=resid_post.1"], r"mid\.site: resid_post\.2, but the SAE says.*\.1"),
        (["saes.mid.trained_at=resid_pre.2"], r"mid\.site: resid_post\.2, but the SAE says"),
        (["saes.mid.site=resid_post.4"], r"resid_post\.4 is deeper than base.*resid_post\.3"),
        (
            ["saes.mid.out=mlp_out.4"],
            r"saes\.mid\.site: mlp_out\.4 is deeper than base.*mlp_out\.3",
        ),
        (
            ["saes.mid.blocks=5"],
            r"saes\.mid: the SAE is a layer .* transcoder of 5, but base has 4",
        ),
        (["saes.mid.blocks=5", "saes.mid.site=resid_post.4"], r"resid_post\.4 is deeper than base"),
        (["saes.mid.site=resid_post@0.5", "saes.mid.trained_at=resid_post.1"], r"resid_post\.2"),
        (["saes.mid.expect.d_in=5"], r"saes\.mid\.expect\.d_in: 5 was expected, .* say 6"),
        (["models.base.expect.layers=5"], r"models\.base\.expect\.layers: 5 was expected.*say 4"),
    ],
)
def test_an_sae_that_does_not_fit_its_model_is_refused(
    problems: Problems, overrides: list[str], said: str
) -> None:
    only(problems("", *overrides), said)


@pytest.mark.parametrize("blocks", [2, 4])
def test_a_layer_of_a_transcoder_that_fits_its_model(task: MakeTask, blocks: int) -> None:
    """It may be one of the first blocks alone."""
    assert task("", f"saes.mid.blocks={blocks}").sae_facts("mid").blocks == blocks


@pytest.mark.parametrize(
    ("overrides", "site"),
    [
        ([], "resid_post.2"),
        (["saes.mid.trained_at=resid_post.2"], "resid_post.2"),
        (["saes.mid.trained_at=resid_post.1", "saes.mid.check_site=false"], "resid_post.2"),
        (["saes.mid.site=resid_post@0.5", "saes.mid.trained_at=resid_post.2"], "resid_post.2"),
        (["saes.mid.site=resid_post@0"], "resid_post.0"),
        (["saes.mid.site=resid_post@1"], "resid_post.3"),
        (["saes.mid.site=resid_post@0.99"], "resid_post.3"),
        (["saes.mid.site=resid_post@0.25", "models.base.layers=10"], "resid_post.2"),
        (["saes.mid.site=resid_post.99", "models.base.hidden=true"], "resid_post.99"),
        (["saes.mid.width=9", "models.base.hidden=true"], "resid_post.2"),
        (["saes.mid.site=resid_post@0.5", "models.base.hidden=true",
          "saes.mid.trained_at=resid_post.2"], "resid_post@0.5"),
        (["saes.mid.site=resid_post@0.5", "models.base.hidden=true",
          "models.base.expect.layers=8"], "resid_post.4"),
    ],
)  # fmt: skip
def test_a_site_is_a_block_of_the_model_as_far_as_its_depth_is_known(
    task: MakeTask, overrides: list[str], site: str
) -> None:
    assert str(task("", *overrides).sae_site("mid")) == site


NO_SITE = '[saes.lost]\nformat = "fake"\nmodel = "base"\n'


@pytest.mark.parametrize(
    "reader",
    [
        "",
        PROBE + "sae = 'lost'\n",
        "[metrics.loss]\nview = 'base'\ndata = 'web'\nsaes = ['lost']\n",
        "[preflight]\ndata = 'web'\nfvu = 'loss'\nalso = []\n",
    ],
)
def test_an_sae_that_no_one_says_the_site_of_is_refused(problems: Problems, reader: str) -> None:
    only(problems(NO_SITE + reader), r"saes\.lost\.site: is missing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[pairs.p]\nleft='base'\nright='wide'\ndata='web'\n", r"pairs\.p: .* size 6, wide has 9"),
        ("[pairs.p]\nleft='base'\nright='deep'\ndata='web'\nsites=['mlp_out.4']\n",
         r"pairs\.p\.sites: mlp_out\.4 is deeper than base"),
        (PROBE + "view = 'base'\ndata = 'web'\nsite = 'resid_post.7'\n", r"directions\.d\.site"),
        (PROBE + "view = 'wide'\ndata = 'web'\nsae = 'mid'\n", r"SAE mid reads 6 .* wide has 9"),
        ("[metrics.mean]\nview = 'base'\ndata = 'web'\nsites = ['resid_post.7']\n",
         r"metrics\.mean\.sites: resid_post\.7 is deeper"),
        ("[metrics.loss]\nview = 'wide'\ndata = 'web'\nsaes = ['mid']\n", r"metrics\.loss.*6.*9"),
        ("[pairs.p]\nleft='wide'\nright='wide'\ndata='web'\nsaes=['mid']\n", r"pairs\.p.*6.*9"),
        ("[views.v]\nmodel='mute'\nprompt = { style = 'chat' }\n", r"views\.v\.prompt: .*template"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused_before_anything_is_loaded(
    problems: Problems, text: str, said: str
) -> None:
    models = """
[models.wide]
backend = "fake"
width = 9
[models.mute]
backend = "fake"
template = false
[models.deep]
backend = "fake"
layers = 9
[views.deep]
model = "deep"
[views.wide]
model = "wide"
"""
    only(problems(models + text), said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[metrics.gap]\nview = 'base'\ndata = 'web'\nsites = ['resid_post.1']\n", "pair"),
        ("[metrics.loss]\nview = 'base'\ndata = 'web'\n", "saes"),
        ("[metrics.mean]\nview = 'base'\ndata = 'web'\n", "sites"),
        ("[metrics.loss]\nview = 'base'\ndata = 'web'\nsites = ['resid_post.1']\n", "saes"),
    ],
)
def test_a_metric_that_would_measure_nothing_is_refused(
    problems: Problems, text: str, said: str
) -> None:
    only(problems(text), r"metrics\.\w+", said)


def test_a_metric_is_given_a_pair_or_a_view_with_data(problems: Problems) -> None:
    pair = "[pairs.p]\nleft = 'base'\nright = 'chat'\ndata = 'web'\nsites = ['embed']\n"
    for keys in ("", "view = 'base'", "data = 'web'", "pair = 'p'\nview = 'base'\ndata = 'web'"):
        only(problems(f"{pair}[metrics.mean]\n{keys}\n"), "either pair, or view and data")


def test_one_direction_is_needed_where_a_sweep_offers_several(
    task: MakeTask, problems: Problems
) -> None:
    first = "[directions.first]\nmethod = 'probe'\n"
    second = "[directions.second]\nmethod = 'probe'\nfinish = 'first'\n"
    sweep = "sweep = { scale = [1, 2] }\n"
    only(problems(first + sweep + second), r"directions\.second: first is 2 directions")
    only(problems(first + "draws = 3\n" + second + sweep), "first is 3 directions")
    assert task(first + sweep + second + sweep).directions.keys() == {"first", "second"}
    assert task(first + second + sweep).directions.keys() == {"first", "second"}


def test_what_reads_refuses_is_a_problem_of_its_direction_beside_all_others(
    problems: Problems,
) -> None:
    found = problems(PROBE + "sulk = true\n", "saes.mid.width=7")
    assert any("saes.mid" in one for one in found)
    assert any(re.search(r"task\.toml:\d+: directions\.d.*is missing", one) for one in found)


def test_no_direction_is_called_like_the_arm_without_one(problems: Problems) -> None:
    text = PROBE.replace("directions.d", "directions.none") + EXPERIMENT.replace('"d"', '"none"')
    only(problems(text), r"directions\.none")


IMPOSSIBLE = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
sites = ["embed"]
[metrics.gap]
pair = "p"
"""


def test_conditions_that_no_token_meets_are_told_before_a_run(
    problems: Callable[..., list[str]], task: Callable[..., Task]
) -> None:
    """CASES row 27, its kind: the records came out undefined."""
    where = "metrics.gap.where.cosine_{}={}".format
    only(
        problems(IMPOSSIBLE, where("below", 0.5), where("above", 0.5)),
        r"metrics\.gap\.where",
        r"no cosine is at least 0\.5 and below 0\.5\. Allowed: cosine_above smaller",
    )
    task(IMPOSSIBLE, where("below", 0.5), where("above", 0.4))
    cut = ("views.chat.prompt.max_tokens=8", "pairs.p.skip_first=8")
    only(
        problems(IMPOSSIBLE, *cut),
        r"pairs\.p\.skip_first: is 8, and the prompts of chat have 8 tokens at most",
        "Allowed: 0 to 7",
    )
    task(IMPOSSIBLE, cut[0], "pairs.p.skip_first=7")


def test_arguments_of_a_template_are_for_chat_prompts(problems: Problems) -> None:
    """TOKENIZERS T9: a plain prompt has no template that could read them."""
    change = "views.chat.prompt.template_arguments={enable_thinking = false}"
    only(problems("", change), "views.chat.prompt.template_arguments", 'style = "chat"')


@pytest.mark.parametrize("key", ["tools", "documents"])
def test_columns_for_a_template_are_for_chat_prompts(key: str, problems: Problems) -> None:
    """Issue 20, 6: likewise."""
    change = f'views.chat.prompt.{key}="found"'
    only(problems("", change), f"views.chat.prompt.{key}: is for the chat", 'style = "chat"')
