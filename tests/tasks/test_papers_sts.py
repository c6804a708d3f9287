"""The STS tasks really execute: on tiny random models of their architectures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config, LlamaConfig, Qwen2Config

import harness
from fakes import published
from harness.cli.main import main
from harness.errors import DataError
from harness.results.read import Results
from harness.task.data import read_data

TASKS = Path(__file__).parents[2] / "tasks"
PAPERS = TASKS / "papers" / "sts"
QUESTIONS = TASKS / "organism" / "data" / "questions"
DOMAINS = sorted(file.name.removesuffix("_test.jsonl") for file in QUESTIONS.glob("*_test.jsonl"))
WIDTH = 32
CONFIGS: dict[str, Any] = {"qwen": Qwen2Config, "llama": LlamaConfig, "gemma": Gemma2Config}


def tiny(kind: str, folder: Path, layers: int, seed: int = 0) -> None:
    """A model of the family, with the organism's chat tokenizer."""
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(TASKS / "organism" / "chat")
    config = CONFIGS[kind](
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, intermediate_size=64,
        max_position_embeddings=2048, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "embed" not in name:
                parameter.mul_(4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def rotated(folder: Path, layer: int, threshold: float = 0.01) -> None:
    """A JumpReLU SAE in SAELens' form: both directions of every axis of a random rotation."""
    folder.mkdir(parents=True)
    rotation = torch.linalg.qr(torch.randn(WIDTH, WIDTH))[0]
    both = torch.cat([rotation, -rotation], dim=1)
    weights = {
        "W_enc": both.contiguous(), "W_dec": both.T.contiguous(),
        "b_enc": torch.zeros(2 * WIDTH), "b_dec": torch.zeros(WIDTH),
        "threshold": torch.full((2 * WIDTH,), threshold),
    }  # fmt: skip
    save_file(weights, folder / "sae_weights.safetensors")
    config = {
        "architecture": "jumprelu", "d_in": WIDTH, "d_sae": 2 * WIDTH, "dtype": "float32",
        "device": "cpu", "apply_b_dec_to_input": False, "normalize_activations": "none",
        "reshape_activations": "none", "metadata": {"hook_name": f"blocks.{layer}.hook_resid_post"},
    }  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))


def write_data(folder: Path) -> None:
    """LIMO and MMLU-Pro as their repositories hold them, with the organism's questions."""

    def rows(split: str, each: int) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for domain in DOMAINS
            for line in (QUESTIONS / f"{domain}_{split}.jsonl").read_text().splitlines()[:each]
        ]

    published.limo(folder / "LIMO", rows("test", 3))
    published.coding_problems(folder / "code", rows("test", 3))
    published.mens_mental_health(folder / "health", rows("test", 3))
    published.math_lighteval(folder / "math", rows("test", 3))
    published.mmlu_pro(folder / "MMLU-Pro", rows("test", 2), rows("validation", 5))
    web = (TASKS / "organism" / "data" / "web.jsonl").read_text().splitlines()[:8]
    published.pile_10k(folder / "pile-10k", [json.loads(line)["text"] for line in web])


DATA = """
[data]
limo_examples = {{ hub = "{folder}/LIMO" }}
limo = {{ hub = "{folder}/LIMO", limit = 24 }}
mmlu_pro_examples = {{ hub = "{folder}/MMLU-Pro" }}
mmlu_pro = {{ hub = "{folder}/MMLU-Pro", limit = {questions} }}
web = {{ hub = "{folder}/pile-10k", limit = 8 }}
[preflight]
fvu_max = 0.9
[analyses.forecast]
ranks = [0, 10]
[analyses.notebook]
ranks = [0, 10]
[analyses.smaller_shifts]
ranks = [10, 20]
[analyses.window]
dimensions = 10
sweep = {{ first = [0, 10, 20] }}
"""


def run(
    folder: Path, paper: str, saes: dict[str, int], more: str = "", data: str = DATA
) -> Results:
    """The paper's task with everything that would be downloaded replaced by what is tiny."""
    write_data(folder)
    for name, layer in saes.items():
        rotated(folder / name, layer)
    models = [name for name in ("base", "tuned", "judge") if (folder / name).exists()]
    without = f'extends = "{PAPERS / paper}.toml"\nmodels = false\nsaes = false\n'
    (folder / "without.toml").write_text(without)
    lines = ['extends = "without.toml"']
    lines += [f'[models.{name}]\npath = "{name}"' for name in models]
    lines += [
        f'[saes.{name}]\nformat = "saelens"\npath = "{name}"\nmodel = "base"\n'
        f'site = "resid_post.{layer}"'
        for name, layer in saes.items()
    ]
    told = data.format(folder=folder, questions=2 * len(DOMAINS))
    (folder / "task.toml").write_text("\n".join(lines) + told + more)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "prepared")
        assert main(["eval", str(folder / "task.toml"), "--out", str(folder / "run")]) == 0
    return harness.load_results(folder / "run")


def domains(results: Results, id: str, analysis: str) -> dict[str, float | None]:
    return {
        str(r.axes["domain"]): r.value
        for r in results.records
        if r.id == id and r.axes.get("analysis") == analysis
    }


FORECAST, AFTERWARDS = ("limo", "mmlu_pro"), ("tuning", "mmlu_pro_tuned")
"""The statistics of a forecast, and those of what it is held against."""


def shallow(layer: int, *statistics: str) -> str:
    """Raw activations of a block that few come before."""
    return "\n[statistics]\n" + "".join(
        f'{name} = {{ raw = "resid_post.{layer}" }}\n' for name in statistics
    )


@pytest.mark.slow
def test_llama_and_its_one_sae(tmp_path: Path) -> None:
    tiny("llama", tmp_path / "base", 4)
    more = shallow(2, *FORECAST)
    results = run(tmp_path, "llama-3-8b-instruct", {"sae_25": 2}, more)
    for id in ("sts.act@1", "sts.icl@1"):
        found = domains(results, id, "forecast")
        assert sorted(found) == DOMAINS
        assert all(value is not None and value > 0 for value in found.values())
    shares = domains(results, "mixture.share@1", "mixture")
    assert sum(value or 0 for value in shares.values()) == pytest.approx(1)


@pytest.mark.slow
def test_gemma_and_its_five_sparsities(tmp_path: Path) -> None:
    tiny("gemma", tmp_path / "base", 4)
    saes = {f"l0_{n}": 2 for n in (13, 22, 37, 63, 109)}
    results = run(tmp_path, "gemma-2-9b-instruct", saes, shallow(2, *FORECAST))
    swept = {
        (r.axes["sae"], r.axes["domain"])
        for r in results.records
        if r.id == "sts.icl@1" and r.axes.get("analysis") == "forecast"
    }
    assert swept == {(sae, domain) for sae in saes for domain in DOMAINS}


MEASURED = f"""
[analyses.afterwards]
ranks = [0, 10]
[analyses.over_n]
sweep = {{ dimensions = [5, 10, 30] }}
[evaluators.mmlu_pro]
tasks = ["organism"]
include_path = "{QUESTIONS}"
limit = 1
num_fewshot = 1
max_new_tokens = 2
"""


@pytest.mark.slow
def test_qwen_and_what_its_tuning_did(tmp_path: Path) -> None:
    for seed, name in enumerate(("base", "tuned")):
        tiny("qwen", tmp_path / name, 4, seed)
    more = MEASURED + shallow(2, *FORECAST, *AFTERWARDS)
    results = run(tmp_path, "qwen2.5-7b-instruct-measured", {"late": 2}, more)
    for analysis in ("forecast", "afterwards"):
        assert sorted(domains(results, "sts.act@1", analysis)) == DOMAINS
    overlaps = [r for r in results.records if r.id == "shift.overlap@1"]
    assert {r.axes["space"] for r in overlaps} == {"latents", "raw"}
    curve = {r.axes["dimensions"] for r in overlaps if r.axes["analysis"] == "over_n"}
    assert curve == {5, 10, 30}
    windows = [r for r in results.records if r.axes.get("analysis") == "transfer_window"]
    assert {r.axes["first"] for r in windows if "first" in r.axes} == {0, 10, 20}
    asked = [r for r in results.records if r.id == "accuracy@1" and "domain" in r.axes]
    assert {(r.axes["experiment"], r.axes["domain"]) for r in asked} == {
        (experiment, domain) for experiment in ("before", "after") for domain in DOMAINS
    }
    # Random models know nothing, before and after: there is nothing to correlate with.
    [record] = [
        r
        for r in results.records
        if r.id == "sts.correlation.pearson@1"
        and r.axes["analysis"] == "transfer"
        and (r.axes["forecast"], r.axes["domains"]) == ("sts.act", "all")
    ]
    assert record.undefined == "the measured change is 0 in all 9 domains"


FEWER = (
    MEASURED.replace("sweep = { dimensions = [5, 10, 30] }", "sweep = { dimensions = [5] }")
    + """
[analyses]
notebook = false
smaller_shifts = false
transfer_window = false
window = false
mixture = false
"""
)
"""Without what only the file that they extend is about."""


SPARSITY = """
[analyses.by_sparsity]
x = {{ id = "l0", where = {{ site = "resid_post.{layer}" }} }}
"""


@pytest.mark.slow
def test_gemma_and_what_its_tuning_did(tmp_path: Path) -> None:
    """C.7: the correlation at each sparsity."""
    for seed, name in enumerate(("base", "tuned")):
        tiny("gemma", tmp_path / name, 4, seed)
    saes = {f"l0_{n}": 2 for n in (13, 22, 37, 63, 109)}
    more = FEWER + shallow(2, *FORECAST, *AFTERWARDS) + SPARSITY.format(layer=2)
    results = run(tmp_path, "gemma-2-9b-instruct-measured", saes, more, FEWER_DATA)
    told = [r for r in results.records if r.id == "sts.correlation.pearson@1"]
    own = [r for r in told if r.axes["analysis"] == "transfer" and r.axes["forecast"] == "sts.act"]
    assert {r.axes["sae"] for r in own if "sae" in r.axes} == set(saes)
    points = results.tables["by_sparsity.points"]
    assert {row["sae"]: row["x"] > 0 for row in points} == dict.fromkeys(saes, True)


@pytest.mark.parametrize("file", sorted(PAPERS.glob("*.toml")), ids=lambda file: file.stem)
def test_raw_activations_are_of_a_block_that_saes_are_of(file: Path) -> None:
    """Of the deepest one; the tests that run the tasks look at another block."""
    spec = harness.load(file).spec
    (site, *_) = sorted((str(sae.site) for sae in spec.saes.values()), reverse=True)
    raw = {(one.model_extra or {}).get("raw", site) for one in spec.statistics.values()}
    assert raw == ({site} if spec.statistics else set())


def test_the_sparsities_are_those_of_the_block_that_the_saes_are_of() -> None:
    """The test that runs the task looks at another block."""
    spec = harness.load(PAPERS / "gemma-2-9b-instruct-measured.toml").spec
    (where,) = {sae.site for sae in spec.saes.values()}
    assert (spec.analyses["by_sparsity"].model_extra or {})["x"]["where"] == {"site": where}


# ── Other data in the place of LIMO: Table 1 and section 6 ───────────────────────────────────────

INSTEAD = """
[data]
{key}_examples = {{{{ hub = "{{folder}}/{key}" }}}}
{key} = {{{{ hub = "{{folder}}/{key}", limit = 20 }}}}
mmlu_pro_examples = {{{{ hub = "{{folder}}/MMLU-Pro" }}}}
mmlu_pro = {{{{ hub = "{{folder}}/MMLU-Pro", limit = {{questions}} }}}}
web = {{{{ hub = "{{folder}}/pile-10k", limit = 8 }}}}
[preflight]
fvu_max = 0.9
[analyses.forecast]
ranks = [0, 10]
"""


@pytest.mark.slow
@pytest.mark.parametrize("key", ["code", "health", "rl"])
def test_other_training_data(key: str, tmp_path: Path) -> None:
    for seed, name in enumerate(("base", "tuned")):
        tiny("qwen", tmp_path / name, 4, seed)
    of = "math" if key == "rl" else key
    more = FEWER + shallow(2, of, "mmlu_pro", *AFTERWARDS)
    results = run(tmp_path, f"qwen2.5-7b-instruct-{key}", {"late": 2}, more, INSTEAD.format(key=of))
    for analysis in ("forecast", "afterwards"):
        assert sorted(domains(results, "sts.icl@1", analysis)) == DOMAINS
    overlap = results.value("shift.overlap", analysis="forecast", shift=of, space="latents")
    assert overlap is not None
    pairs = {r.axes.get("data") for r in results.records if r.axes.get("pair") in (of, "tuning")}
    assert pairs <= {of, None}
    claims = {claim.name: claim.status for claim in results.claims}
    assert claims["concentrated"] != "unmeasured"


@pytest.mark.parametrize(
    ("key", "column"), [("code", "problem"), ("health", "question"), ("rl", "problem")]
)
def test_a_column_with_another_name_is_one_message(key: str, column: str, tmp_path: Path) -> None:
    """The columns of the health data were not seen."""
    name = "math" if key == "rl" else key
    published.pile_10k(tmp_path / "other", ["a text"] * 3)
    told = {"hub": str(tmp_path / "other"), "limit": 1, "revision": "main"}
    task = harness.load(PAPERS / f"qwen2.5-7b-instruct-{key}.toml", data={name: told})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "prepared")
        with pytest.raises(DataError) as caught:
            list(read_data(name, task.spec.data[name], tmp_path))
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"data.{name}: row ")
    assert f"has no column '{column}'. It has: meta, text" in line


# ── Figures 1b, 4a and 4b, and C.3 ───────────────────────────────────────────────────────────────

ZEROING = """
[data]
limo = {{ hub = "{folder}/LIMO", limit = 24 }}
web = {{ hub = "{folder}/pile-10k", limit = 8 }}
[preflight]
fvu_max = 0.9
[directions]
shifted = {{ sweep = {{ n = [2, 10] }} }}
matched = {{ sweep = {{ n = [2, 10] }}, draws = 1 }}
[evaluators.math]
data_dir = "{folder}/math/data"
limit = 4
max_new_tokens = 3
[claims]
cause = {{ holds = "accuracy[experiment=zeroing, direction=shifted, n=10] <= 1" }}
control = false
"""


@pytest.mark.slow
def test_taking_the_shifted_features_out(tmp_path: Path) -> None:
    for seed, name in enumerate(("base", "tuned")):
        tiny("qwen", tmp_path / name, 4, seed)
    results = run(tmp_path, "qwen2.5-7b-instruct-zeroing", {"late": 2}, data=ZEROING)
    asked = [r for r in results.records if r.id == "accuracy@1"]
    arms = {(r.axes["direction"], r.axes.get("n")) for r in asked}
    assert arms == {("none", None), *((d, n) for d in ("shifted", "matched") for n in (2, 10))}
    assert {r.n for r in asked} == {4}
    moved = [r for r in results.records if r.id == "edit.relative_change@1"]
    assert all((r.value or 0) > 0 for r in moved)


BOXED = [
    ("First $\\boxed{1}$, so $\\boxed{\\frac{1}{\\sqrt{2}}}$.",
     "\\boxed{3}? \\boxed{ \\dfrac{1}{\\sqrt{ 2 }} }", 1),
    ("$\\boxed{\\frac{1}{2}}$", "The answer is \\frac{1}{2}.", 0),
    ("$\\boxed{\\frac{1}{2}}$", "\\boxed{0.5}", 0),
    ("It is\n$\\boxed{12\\%}$", "\\boxed{12}", 1),
    ("It is\n$\\boxed{12\\%}$", "\\boxed{1 2", 0),
    ("$\\boxed{\\left(3, \\frac{\\pi}{2} \\right)}$", "\\boxed{(3,\\frac{\\pi}{2})}", 1),
    ("So $\\boxed{45^\\circ}$", "\\boxed{45}", 1),
    ("No box.", "No box.", 0),
]  # fmt: skip


@pytest.mark.parametrize(("solution", "said", "right"), BOXED, ids=range(len(BOXED)))
def test_the_answers_of_mathematics(solution: str, said: str, right: int) -> None:
    """By lm-eval itself: the last box, however it is spaced."""
    from lm_eval.api.metrics import exact_match_hf_evaluate
    from lm_eval.filters.extraction import RegexFilter
    from lm_eval.tasks._yaml_loader import load_yaml
    from lm_eval.utils import apply_template

    told = load_yaml(PAPERS / "math_lighteval" / "math_lighteval.yaml")
    target = apply_template(told["doc_to_target"], {"solution": solution})
    first, _ = told["filter_list"][0]["filter"]
    found = RegexFilter(first["regex_pattern"], first["group_select"]).apply([[said]], [{}])
    ignored = told["metric_list"][0]["regexes_to_ignore"]
    (answers,) = found
    assert exact_match_hf_evaluate(answers, [target], ignored)["exact_match"] == right


FEWER_DATA = """
[data]
limo_examples = {{ hub = "{folder}/LIMO" }}
limo = {{ hub = "{folder}/LIMO", limit = 12 }}
mmlu_pro_examples = {{ hub = "{folder}/MMLU-Pro" }}
mmlu_pro = {{ hub = "{folder}/MMLU-Pro", limit = {questions} }}
web = {{ hub = "{folder}/pile-10k", limit = 4 }}
[preflight]
fvu_max = 0.9
[analyses.forecast]
ranks = [0, 10]
"""
FOUR = {f"layer_{n}": place for place, n in enumerate((11, 15, 19, 23), 9)}
TEN = {f"l0_{n}": 2 for n in (13, 22, 37, 63, 109)} | {
    f"narrow_{n}": 2 for n in (14, 24, 43, 76, 142)
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "paper", "saes", "analysis"),
    [
        ("qwen", "qwen2.5-7b-instruct-layers", FOUR, "by_layer"),
        ("gemma", "gemma-2-9b-instruct-widths", TEN, "by_width"),
    ],
    ids=["layers", "widths"],
)
def test_several_saes_in_one_run(
    kind: str, paper: str, saes: dict[str, int], analysis: str, tmp_path: Path
) -> None:
    for seed, name in enumerate(("base", "tuned")):
        tiny(kind, tmp_path / name, max(saes.values()) + 2, seed)
    more = FEWER + shallow(min(saes.values()), *FORECAST, *AFTERWARDS)
    results = run(tmp_path, paper, saes, more, FEWER_DATA)
    told = [r for r in results.records if r.id == "sts.correlation.pearson@1"]
    own = [r for r in told if r.axes["analysis"] == "transfer" and r.axes["forecast"] == "sts.icl"]
    assert {r.axes["sae"] for r in own} == set(saes)
    points = {row["sae"]: row["x"] for row in results.tables[f"{analysis}.points"]}
    assert points == (saes if analysis == "by_layer" else dict.fromkeys(saes, 2 * WIDTH))


LABELS = """
[data]
limo_examples = {{ hub = "{folder}/LIMO" }}
limo = {{ hub = "{folder}/LIMO", limit = 24 }}
web = {{ hub = "{folder}/pile-10k", limit = 4 }}
pile = {{ hub = "{folder}/pile-10k", skip = 4, limit = 4 }}
[preflight]
fvu_max = 0.9
[statistics]
shift = {{ table = 6, delta = 0.1, minimum = 1 }}
[analyses]
math = {{ sweep = {{ top = [2, 4, 6] }}, max_tokens = 8 }}
code = {{ max_tokens = 8 }}
"""


@pytest.mark.slow
def test_what_kinds_of_features_shifted(tmp_path: Path) -> None:
    tiny("qwen", tmp_path / "base", 4)
    tiny("llama", tmp_path / "judge", 2)
    results = run(tmp_path, "qwen2.5-7b-instruct-labels", {"late": 2}, data=LABELS)
    shares = [r for r in results.records if r.id == "label_share@1"]
    assert sorted(r.axes["top"] for r in shares if r.axes["analysis"] == "math") == [2, 4, 6]
    assert all(r.value == 0 for r in shares)  # a random judge sorts nothing
    rows = results.tables["code.assignments"]
    assert 0 < len(rows) <= 6
    assert {row["cluster"] for row in rows} == {"other"}
    assert results.value("invalid_labels", analysis="code") == 1


@pytest.mark.parametrize("file", sorted(PAPERS.glob("*.toml")), ids=lambda file: file.stem)
def test_the_published_tasks_are_understood_offline(file: Path) -> None:
    assert main(["check", str(file)]) == 0
