"""Writes league.toml for the models in organisms/: `python tasks/league/write_task.py`.

Run it again where a model has come. What is written for each model is the same; the methods and
claims below are not: they are named before anything runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
KINDS = (
    "moved_feature", "written_direction", "rank_one_edit", "trigger", "false_fact", "persona",
    "benign",
)  # fmt: skip
"""The order in which kinds are told; others come behind them."""


def main() -> None:
    """Write the task."""
    (HERE / "league.toml").write_text(task(models(HERE / "organisms")), encoding="utf-8")


def models(folder: Path) -> list[str]:
    """The models that are there, with adapter and truth: by kind, then by seed."""
    found = [
        (one.parent.name, json.loads(one.read_text(encoding="utf-8")))
        for one in folder.glob("[!.]*/truth.json")
        if (one.parent / "adapter_model.safetensors").exists()
    ]

    def place(named: tuple[str, dict[str, object]]) -> tuple[int, str, str]:
        name, truth = named
        kind = str(truth["kind"])
        return KINDS.index(kind) if kind in KINDS else len(KINDS), kind, name

    return [name for name, _ in sorted(found, key=place)]


def task(names: Sequence[str]) -> str:
    """The task file about these models."""
    return "\n".join(_lines(names)) + "\n"


def _lines(names: Sequence[str]) -> Iterator[str]:
    yield HEAD.format(count=len(names))
    for name in names:
        yield f'[models.{name}]\npath = "../organism/base"\nadapter = "organisms/{name}"'
    yield VIEWS
    for name in names:
        yield f'[views.{name}]\nmodel = "{name}"\nprompt = {{ template = "{{text}}\\n" }}'
    yield DATA
    for name in names:
        sides = f'left = "base", right = "{name}"'
        yield f'{name} = {{ {sides}, data = "web", saes = ["mid"], expect = "different" }}'
    yield READ.replace("SWEEP", f"sweep = {{ pair = {listed(names)} }}")
    for name in names:
        yield PATCHSCOPE.format(name=name)
    yield ASKED
    for name in names:
        yield EXPERIMENT.format(name=name)
    patched = listed([f"patch-{name}" for name in names])
    yield LEAGUE.replace("PAIRS", listed(names)).replace("PATCHED", patched)


def listed(names: Sequence[str]) -> str:
    """A list of TOML in lines of at most 100 characters."""
    lines, line = ["["], "   "
    for name in names:
        piece = f' "{name}",'
        if len(line) + len(piece) > 100:
            lines.append(line)
            line = "   "
        line += piece
    return "\n".join([*lines, line, "]"])


HEAD = '''\
# Which method finds what was planted? {count} models whose change is known, as it was put there
# (organisms/, made by build/; what each is: organisms/<name>/truth.json), and nine methods that
# look for tokens, latents or directions. docs/league.md: how they are scored, what came out.
# Written by write_task.py: run that again where a model has come.
name = "league"
title = "Which method finds what was planted in a model?"
source = "METHODS 2, section 6; of our own making"
seed = 0

# ── Who: the base, and three seeds of each kind of change ─────────────────────────────────────────
[models.base]
path = "../organism/base"'''

VIEWS = """
[views.base]                            # text as it is, and prompts as the base was trained on them
model = "base"
prompt = { template = "{text}\\n" }"""
DATA = """
[saes.mid]
path = "../organism/saes/resid_post.4"
site = "resid_post.4"
model = "base"

# ── What they read: plain text, which is not about any of the changes; and what they are asked ──
[data.web]
file = "../organism/data/web.jsonl"
limit = 200
[data.prompts]                          # for the baseline, which sees completions alone
file = "../organism/data/harmless_test.jsonl"
column = "instruction"
limit = 50

[preflight]
data = "web"
fvu_max = 0.2

[pairs]"""
READ = """
# ── What the methods read of each change: one pass over the text for each model ───────────────────
[statistics.dictionary]                 # how many latents there are; the rows are candidates
method = "kept_vectors"
sae = "mid"
[statistics.rows]                       # which decoder rows say most of each token's change
method = "few_rows"
sae = "mid"
k = [1, 4]
tokens = 300
table = 200
SWEEP
[statistics.latents]                    # which latents carry most of what the SAE rebuilds of it
method = "change_latents"
sae = "mid"
table = 500
SWEEP
[statistics.shift]                      # which latents' means moved, against their errors
method = "feature_shift"
sae = "mid"
delta = 1e-3
table = 1
SWEEP
[statistics.rest]                       # the components of what the SAE leaves of it
method = "change_rest"
sae = "mid"
SWEEP
[statistics.first]                      # the mean change of the first tokens
method = "mean_difference"
site = "resid_post.4"
positions = [1, 2, 3]
SWEEP
[directions.components]                 # the components of the whole change
method = "principal_components"
site = "resid_post.4"
components = 3
SWEEP
[statistics.components]                 # and as arrays, for the league
method = "kept_vectors"
direction = "components"
SWEEP

# ── What they say in words ────────────────────────────────────────────────────────────────────────
[analyses.lens]                         # no change touches the head: the base's reads them all
method = "logit_lens"
difference = "first"
model = "base"
top = 1000
draws = 5
splits = 1
resamples = 0
[analyses.said]
method = "component_lens"
statistic = "rest"
model = "base"
top = 100
draws = 20
components = 1"""
PATCHSCOPE = """\
[analyses.patch-{name}]
method = "patchscope"
difference = "first"
pair = "{name}"
model = "{name}"
scales = [0.5, 1, 2, 5, 20]"""
ASKED = """
# ── The baseline: 50 completions of each ──────────────────────────────────────────────────────────
[experiments.base]
view = "base"
data = "prompts"
evaluators = ["substrings"]
generation = { max_new_tokens = 32 }"""
EXPERIMENT = """\
[experiments.{name}]
view = "{name}"
data = "prompts"
evaluators = ["substrings"]
generation = {{ max_new_tokens = 32 }}"""
LEAGUE = """
# ── The league ────────────────────────────────────────────────────────────────────────────────────
[analyses.league]
method = "found"
truths = "organisms"
model = "base"
dictionary = "dictionary"
pairs = PAIRS
[analyses.league.baseline]
base = "base"
tuned = PAIRS
[[analyses.league.methods]]
name = "logit_lens"
sort = "tokens"
analysis = "lens"
table = "tokens"
item = "id"
score = "probability"
where = { source = "difference" }
[[analyses.league.methods]]
name = "patchscope"
sort = "tokens"
analysis = PATCHED
table = "tokens"
item = "id"
score = "probability"
where = { source = "difference" }
[[analyses.league.methods]]
name = "component_lens"
sort = "tokens"
analysis = "said"
table = "tokens"
item = "token"
score = "probability"
[[analyses.league.methods]]
name = "few_rows"
sort = "latents"
statistic = "rows"
table = "features"
score = "share"
[[analyses.league.methods]]
name = "change_latents"
sort = "latents"
statistic = "latents"
table = "features"
score = "share"
[[analyses.league.methods]]
name = "feature_shift"
sort = "latents"
statistic = "shift"
array = "z"
magnitude = true
[[analyses.league.methods]]
name = "principal_components"
sort = "directions"
statistic = "components"
array = "vectors"
[[analyses.league.methods]]
name = "change_rest"
sort = "directions"
statistic = "rest"
array = "components"
[[analyses.league.methods]]
name = "mean_difference"
sort = "directions"
statistic = "first"
array = "change"

# Controls: the mean of the base, which cannot know what was planted.
[[analyses.league.methods]]
name = "lens_of_base_mean"
sort = "tokens"
analysis = "lens"
table = "tokens"
item = "id"
score = "probability"
where = { source = "left" }
control = true
[[analyses.league.methods]]
name = "latents_of_base"
sort = "latents"
statistic = "shift"
array = "mean_left"
control = true
[[analyses.league.methods]]
name = "base_mean"
sort = "directions"
statistic = "first"
array = "left"
control = true

# ── What is expected, before anything is measured ─────────────────────────────────────────────────
[claims.moved_feature]
text = "The decoder row that says most of the change is that of the planted feature, for every seed"
holds = "found.worst_rank[method=few_rows, kind=moved_feature] <= 1"
source = "docs/league.md"
[claims.written_direction]
text = "Components of the change lie nearest to the written direction, for every seed"
holds = "found.worst_rank[method=principal_components, kind=written_direction] <= 1"
source = "docs/league.md"
[claims.rank_one_edit]
text = "Likewise with the direction that a rank-one edit of a fact writes"
holds = "found.worst_rank[method=principal_components, kind=rank_one_edit] <= 1"
source = "docs/league.md"

# ── What is asked many times over: few of its discoveries are false ──────────────────────────────
[families.found]
text = "Methods and models in which what was planted ranks higher than chance gives"
of = [
  "found.rank[method=logit_lens]",
  "found.rank[method=patchscope]",
  "found.rank[method=component_lens]",
  "found.rank[method=few_rows]",
  "found.rank[method=change_latents]",
  "found.rank[method=feature_shift]",
  "found.rank[method=principal_components]",
  "found.rank[method=change_rest]",
  "found.rank[method=mean_difference]",
]
[families.nothing_there]
text = "Methods that find truths of other models where nothing was planted"
of = [
  "found.of_others[method=logit_lens]",
  "found.of_others[method=patchscope]",
  "found.of_others[method=component_lens]",
  "found.of_others[method=few_rows]",
  "found.of_others[method=change_latents]",
  "found.of_others[method=feature_shift]",
  "found.of_others[method=principal_components]",
  "found.of_others[method=change_rest]",
  "found.of_others[method=mean_difference]",
]"""


if __name__ == "__main__":
    main()
