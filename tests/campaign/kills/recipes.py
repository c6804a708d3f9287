"""The shipped tasks on small limits: a few seconds each, with all that they do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.task.file import task_folders

_OTHERS = ("topics", "pirate", "planted_rank_one", "topics_20", "topics_50", "topics_100",
           "topics_160")  # fmt: skip
_DOMAINS = ("biology", "history", "law", "math")


@dataclass(frozen=True)
class Recipe:
    """A task that is made small, and what is to be changed in it."""

    name: str
    changes: str

    def write(self, folder: Path) -> Path:
        """Writes the task into a folder, and what it needs; returns its file."""
        shipped = task_folders()[0]
        folder.mkdir(parents=True, exist_ok=True)
        if self.name == "transfer":
            _small_questions(shipped / "organism" / "data", folder)
        file = folder / f"{self.name}.toml"
        file.write_text(f'extends = "{shipped / self.name}.toml"\n{self.changes}', "utf-8")
        return file


def _without(table: str, names: Iterable[str]) -> str:
    return "".join(f"{table}.{name} = false\n" for name in names)


def _small_questions(data: Path, folder: Path) -> None:
    """Two questions of each of four domains, and lm-eval's tasks for these."""
    rows = [json.loads(line) for line in (data / "domains.jsonl").read_text("utf-8").splitlines()]
    kept = []
    for domain in _DOMAINS:
        own = [row for row in rows if row["category"] == domain]
        kept += [row for row in own if row["split"] == "validation"]
        kept += [row for row in own if row["split"] == "test"][:2]
    text = "".join(f"{json.dumps(row)}\n" for row in kept)
    (folder / "domains.jsonl").write_text(text, "utf-8")
    shutil.copytree(data / "questions", folder / "questions", dirs_exist_ok=True)
    group = folder / "questions" / "_organism.yaml"
    lines = group.read_text("utf-8").splitlines(keepends=True)
    asked = {f"  - organism_{domain}\n" for domain in _DOMAINS}
    group.write_text("".join(one for one in lines if not one.startswith("  - organism_")
                             or one in asked), "utf-8")  # fmt: skip


REFUSAL = Recipe(
    "refusal",
    """
batch = { shard = 60, activations = 3, generation = 8 }
data.harmful_train.limit = 6
data.harmless_train.limit = 6
data.harmful_test.limit = 5
data.harmless_test.limit = 5
data.web.limit = 6
directions.chat_features.sweep.k = [32, 64]
directions.base_features.sweep.k = [64]
directions.random.draws = 1
directions.random_features.draws = 1
experiments.bypass.generation.max_new_tokens = 6
experiments.induce.generation.max_new_tokens = 6
""",
)
DRIFT = Recipe(
    "drift",
    """
batch = { shard = 100, activations = 3 }
data.web.limit = 6
data.conversations.limit = 4
""",
)
MECHANISM = Recipe(
    "mechanism",
    f"""
batch = {{ shard = 60, activations = 2, generation = 8 }}
data.web.limit = 4
data.harmful_train.limit = 4
data.harmless_test.limit = 4
{_without("models", _OTHERS)}
{_without("views", _OTHERS)}
{_without("pairs", _OTHERS)}
saes.mid_1024 = false
saes.mid_4096 = false
{_without("metrics", (f"cosine_{name}" for name in _OTHERS if name != "planted_rank_one"))}
metrics.fvu_topics = false
metrics.fvu_pirate = false
directions.pcs.components = 2
directions.pcs.sweep.pair = ["safety", "sums"]
directions.pcs.sweep.site = ["resid_post.2", "resid_post.4"]
directions.planted_pcs.sweep.pair = ["planted_features"]
directions.steps_pcs = false
directions.random.draws = 1
statistics.steps = false
statistics.widths = false
labels.truth_1024 = false
labels.truth_4096 = false
analyses.kinds_1024 = false
analyses.kinds_4096 = false
statistics.alignment.saes = ["early", "mid"]
statistics.alignment.sweep.pair = ["safety", "sums"]
statistics.alignment.sweep.site = ["resid_post.2", "resid_post.4"]
statistics.flips.ranks = [1]
statistics.flips.saes = ["early", "mid"]
statistics.flips.sweep.pair = ["safety", "sums"]
statistics.flips.sweep.site = ["resid_post.2", "resid_post.4"]
statistics.planted_alignment.sweep.pair = ["planted_features"]
statistics.planted_flips.sweep.pair = ["planted_features"]
analyses.layers.against = ["sums"]
analyses.checkpoints = false
analyses.trajectory = false
experiments.inject.generation.max_new_tokens = 5
""",
)
TRANSFER = Recipe(
    "transfer",
    """
batch = { shard = 400, activations = 4 }
data.training.limit = 6
data.web.limit = 6
data.domains.file = "domains.jsonl"
data.domain_examples.file = "domains.jsonl"
directions.matched.draws = 1
evaluators.questions.include_path = "questions"
evaluators.questions.limit = 2
evaluators.questions.num_fewshot = 1
evaluators.questions.max_new_tokens = 12
analyses.transfer.extremes = 1
""",
)
RECIPES = (REFUSAL, DRIFT, MECHANISM, TRANSFER)
