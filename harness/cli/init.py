"""`harness init`: writes a task to start from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.registry import Registry
    from harness.task.draft.asked import Asked
    from harness.task.draft.draft import Draft


@click.command("init")
@click.argument(
    "name",
    metavar="[FILE]",
    type=click.Path(dir_okay=False),
    default="task.toml",
    required=False,
)
@click.option("--base", help="The model before: a folder, a GGUF file or a hub id.")
@click.option("--tuned", help="The model after; it may be an adapter.")
@click.option("--adapter", help="An adapter of the base, in the place of --tuned.")
@click.option("--data", help="A file with text; for `refusal`, prompts that are refused.")
@click.option("--against", help="For `refusal`: a file with like prompts that are answered.")
@click.option("--column", help="The column of the files that holds the text.")
@click.option("--sae", "saes", multiple=True, metavar="SAE[@SITE]", help="An SAE of the base.")
@click.option(
    "--question",
    type=click.Choice(["drift", "refusal"]),
    help="`drift`: what changed (as in harness diff); `refusal`: what makes it refuse.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.pass_obj
def command(
    disabled: Sequence[str],
    name: str,
    base: str | None,
    tuned: str | None,
    adapter: str | None,
    data: str | None,
    against: str | None,
    column: str | None,
    saes: tuple[str, ...],
    question: str | None,
    force: bool,
) -> None:
    """Write a task with comments into FILE (task.toml), from options or a few questions.

    Without --base, on a terminal, it asks. What is written is checked first: `harness eval FILE`
    runs it.
    """
    target = Path(name)
    if target.exists() and not force:
        raise UsageError(f"{name}: is there already. Name another file, or add --force.")
    from harness.registry import discover
    from harness.settings.apply import personal
    from harness.task.draft.asked import Asked

    asked = Asked(base or "", tuned, adapter, data, column, saes)
    if base is None:
        if not sys.stdin.isatty():
            raise UsageError(
                "--base is missing, and there is no terminal to ask on. Write: harness init "
                "--base MODEL --tuned MODEL, or --adapter DIR in the place of --tuned."
            )
        asked, question, against = _questions(asked, question, against)
    personal()  # it may keep the hub from being asked
    registry = discover(disabled)
    draft = _DRAFTS[question or "drift"](registry, asked, against)
    _write(draft, registry, target)


def _questions(
    asked: Asked, question: str | None, against: str | None
) -> tuple[Asked, str, str | None]:
    """What a person answers, where an option did not say it already."""
    question = question or click.prompt(
        "What do you want to know?\n  drift    what changed between two models\n"
        "  refusal  what makes the tuned model refuse\nQuestion",
        type=click.Choice(["drift", "refusal"]),
        default="drift",
        show_choices=False,
    )
    base = click.prompt("The model before (folder, GGUF file or hub id)")
    tuned, adapter = asked.tuned, asked.adapter
    if tuned is None and adapter is None:
        tuned = click.prompt("The model after, or its adapter")
    data, what = asked.data, "Prompts that it refuses (a file)"
    if question == "refusal":
        data = data or click.prompt(what)
        against = against or click.prompt("Like prompts that it answers (a file)")
    elif data is None:
        data = click.prompt("A file with text, or nothing for neutral passages", default="") or None
    saes = asked.saes
    if not saes:
        given = click.prompt("SAEs (folder or release), or nothing to look for them", default="")
        saes = (given,) if given else ()
    return (
        replace(asked, base=base, tuned=tuned, adapter=adapter, data=data, saes=saes),
        str(question),
        against,
    )


def _drift(registry: Registry, asked: Asked, against: str | None) -> Draft:
    from harness.task.draft.draft import drafted, found

    if against is not None:
        raise UsageError("--against: is for --question refusal. Leave it out, or ask that.")
    return drafted(found(registry, asked))


def _refusal(registry: Registry, asked: Asked, against: str | None) -> Draft:
    from harness.task.draft.draft import drafted_refusal, found
    from harness.task.draft.refusal import MOST
    from harness.task.draft.text import prompts

    if asked.data is None or against is None:
        raise UsageError(
            "--question refusal: needs --data FILE, prompts that are refused, and --against FILE, "
            "like prompts that are answered."
        )
    refused = prompts(asked.data, asked.column, "--data", MOST)
    answered = prompts(against, asked.column, "--against", MOST)
    return drafted_refusal(replace(found(registry, asked), text=refused), answered)


_DRAFTS: Mapping[str, Callable[[Registry, Asked, str | None], Draft]] = {
    "drift": _drift,
    "refusal": _refusal,
}


def _write(draft: Draft, registry: Registry, target: Path) -> None:
    """Writes a draft that is a task without problems, and says what it found."""
    from harness.machine import machine_errors
    from harness.store.files import write_text
    from harness.task.draft.names import in_full
    from harness.task.file import source_of
    from harness.task.resolve import resolve
    from harness.text import for_terminal, shown_path

    draft = replace(draft, toml=in_full(draft.toml, registry))
    resolve(source_of(draft.toml, target), registry)
    with machine_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, draft.toml)
    for note in draft.notes:
        click.echo(f"note: {for_terminal(note, 600)}", err=True)
    shown = shown_path(target)
    click.echo(f"{shown}: written. Run it: harness eval {shown}")
