"""The command line. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import __version__
from harness.errors import (
    GateFailed,
    HarnessError,
    InvalidRun,
    PluginError,
    Problem,
    TaskError,
    UsageError,
)

if TYPE_CHECKING:
    from harness.contract import Results
    from harness.registry import Owned, Registry
    from harness.task.task import Task

INTERRUPTED = 130
OUR_BUG = 70


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, package_name="sae-harness")
@click.option(
    "-p",
    "plugins",
    multiple=True,
    metavar="no:NAME",
    help="Turn a plugin off, also a built-in one. May be repeated.",
)
@click.pass_context
def cli(context: click.Context, plugins: tuple[str, ...]) -> None:
    """What did fine-tuning change inside a model, and does it cause the behaviour you see?

    Compares a model before and after fine-tuning through sparse autoencoders of the base model,
    intervenes on what it finds, and scores the result. An experiment is one TOML file.

    Exit codes: 0 done · 1 a gate failed · 2 wrong usage, task, data or plugin · 3 the run is
    invalid · 4 the machine failed us, a rerun continues · 70 our own bug · 130 interrupted.
    """
    bad = [text for text in plugins if not text.startswith("no:")]
    if bad:
        raise click.BadParameter(
            f"{bad[0]!r}: write no:NAME, such as no:harness_metrics.", param_hint="-p"
        )
    context.obj = [text.removeprefix("no:") for text in plugins]


_SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the task, such as models.base.path=gpt2.",
)


@cli.command("eval")
@click.argument("tasks", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The run's folder; with several tasks, the folder of their folders.",
)
@_SET
@click.option("--limit", type=click.IntRange(1), help="At most so many rows of every data set.")
@click.option("--device", help="Where all models run, such as cuda:0.")
@click.option("--dtype", help="What all models compute in, such as bfloat16.")
@click.option("--fresh", is_flag=True, help="Start over instead of continuing an earlier run.")
@click.option(
    "--trust-remote-code",
    is_flag=True,
    help="Allow models for which the task asks for it to run code of their own.",
)
@click.pass_obj
def eval_(
    disabled: Sequence[str],
    tasks: tuple[str, ...],
    out: Path | None,
    overrides: tuple[str, ...],
    limit: int | None,
    device: str | None,
    dtype: str | None,
    fresh: bool,
    trust_remote_code: bool,
) -> None:
    """Run experiments; the same command again continues one that was cut off."""
    registry = _registry(disabled)
    more = {"device": device, "dtype": dtype}
    resolved = [_task(registry, name, overrides, limit, more) for name in tasks]
    names = [task.spec.name for task in resolved]
    if len(set(names)) < len(names):
        raise UsageError(f"two tasks are called {max(names, key=names.count)}: run them apart.")

    from rich.console import Console

    from harness.planning.planner import plan
    from harness.report.terminal import show
    from harness.running.folder import default_folder
    from harness.running.progress import terminal_progress
    from harness.running.provenance import command_line
    from harness.running.runner import run

    failed = 0
    for task in resolved:
        folder = (
            out
            if out and len(resolved) == 1
            else (out / task.spec.name if out else default_folder(task))
        )
        results = run(
            plan(task),
            registry,
            folder,
            fresh=fresh,
            remote_code=trust_remote_code,
            command=command_line(),
            progress=terminal_progress(sys.stderr),
        )
        show(results, Console())
        click.echo(f"Results: {folder / 'results.json'}")
        failed += _gates(results)
    if failed:
        raise GateFailed(f"gates: {failed} failed.")


@cli.command()
@click.argument("tasks", nargs=-1, required=True)
@_SET
@click.pass_obj
def check(disabled: Sequence[str], tasks: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """Say everything that is wrong with tasks, without reading a weight."""
    registry = _registry(disabled)
    problems: list[Problem] = []
    for name in tasks:
        try:
            task = _task(registry, name, overrides)
        except TaskError as error:
            problems += error.problems
        else:
            click.echo(f"{name}: {_summary(task)}")
    if problems:
        raise TaskError(problems)


@cli.command("plan")
@click.argument("name", metavar="TASK")
@_SET
@click.option("--limit", type=click.IntRange(1), help="At most so many rows of every data set.")
@click.option("--device", metavar="NAME", help="Say it for one machine, such as H100 or CPU.")
@click.pass_obj
def plan_(
    disabled: Sequence[str],
    name: str,
    overrides: tuple[str, ...],
    limit: int | None,
    device: str | None,
) -> None:
    """Say what a task will cost: passes, tokens, FLOPs, memory, downloads, time.

    From configuration files, headers, `expect` and local data alone; no weight is read.
    """
    from harness.planning.cost.devices import DEVICES, find_device

    wanted = [find_device(device)] if device else list(DEVICES.values())
    task = _task(_registry(disabled), name, overrides, limit)

    from rich.console import Console

    from harness.planning.cost.cost import cost
    from harness.planning.cost.earlier import earlier_completions
    from harness.planning.cost.lengths import Prompts
    from harness.planning.cost.terminal import show_cost
    from harness.planning.planner import plan
    from harness.running.folder import default_folder

    planned, prompts = plan(task), Prompts(task)
    earlier = earlier_completions(default_folder(task))
    costs = {one.name: cost(planned, one.name, earlier=earlier, prompts=prompts) for one in wanted}
    show_cost(task, costs, Console(), wanted[0] if device else None)


@cli.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@click.option("--only", default="", metavar="PREFIX", help="Compare ids that begin with PREFIX.")
@click.option("--allow-invalid", is_flag=True, help="Compare also runs that are invalid.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def compare(runs: tuple[str, ...], only: str, allow_invalid: bool, as_json: bool) -> None:
    """Compare runs, each with the first: paired where they share prompts.

    Numbers under one name that were computed with other versions or options are refused.
    """
    from rich.console import Console

    from harness.comparison import terminal as comparison_report
    from harness.comparison.comparison import compare_folders

    found = compare_folders(runs, only=only, allow_invalid=allow_invalid)
    if as_json:
        click.echo(comparison_report.as_json(found))
    else:
        comparison_report.show_comparison(found, Console(), every=bool(only))


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.pass_obj
def report(disabled: Sequence[str], run: Path) -> None:
    """Show the tables of an earlier run again, and write its report.html anew."""
    from rich.console import Console

    from harness.machine import machine_errors
    from harness.report import write_report
    from harness.report.terminal import show
    from harness.results.read import load_results

    show(load_results(run), Console())
    with machine_errors(run):
        click.echo(f"Report: {write_report(run, _registry(disabled))}")


@cli.command()
@click.argument("words", nargs=-1, metavar="[[check] NAME]")
@click.pass_obj
def plugins(disabled: Sequence[str], words: tuple[str, ...]) -> None:
    """List the plugins and what they provide, or show or check one of them.

    NAME is a component (l0, or harness_metrics/l0), whose options are shown, a plugin or a kind.
    With `check`, the laws of the component, or of everything in the plugin, are tried.
    """
    from harness.authoring.listing import components, list_plugins, show

    registry = _registry(disabled)
    match words:
        case ():
            click.echo(list_plugins(registry))
        case ("check", name):
            _check_plugin(components(registry, name))
        case (name,) if name != "check":
            click.echo(show(registry, name))
        case _:
            raise UsageError("write harness plugins [NAME], or harness plugins check NAME.")


def _check_plugin(components: Sequence[Owned]) -> None:
    """Tries the laws of components, a line for each; PluginError where one is broken."""
    from itertools import groupby

    from harness.authoring.conformance.check import check

    failed = 0
    for owned, verdicts in groupby(check(components), key=lambda verdict: verdict.owned):
        click.echo(f"{owned}  ({owned.component.kind.replace('_', ' ')})")
        for verdict in verdicts:
            click.echo(str(verdict))
            failed += verdict.outcome == "FAILED"
    if failed:
        raise PluginError(f"{failed} law{'s' * (failed > 1)} broken. What FAILED says what to do.")


@cli.command()
@click.argument("kind")
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    show_default=True,
    help="The folder that gets the new one.",
)
@click.pass_obj
def new(disabled: Sequence[str], kind: str, name: str, out: Path) -> None:
    """Write a package with a plugin that works: `harness new metric surprise`.

    KIND is backend, sae-format, metric, statistic, direction, intervention, evaluator, labels,
    analysis or section. The folder harness-NAME is installable, and has tests and an example.
    """
    from harness.authoring.new.create import create
    from harness.machine import machine_errors

    with machine_errors(out):
        click.echo(create(kind, name, out, _registry(disabled)))


@cli.command()
def tasks() -> None:
    """List the built-in tasks; run one by its name: harness eval refusal."""
    import tomllib

    from harness.task.file import builtin_tasks

    found = builtin_tasks()
    for name, file in found.items():
        title = tomllib.loads(file.read_text(encoding="utf-8")).get("title", "")
        click.echo(f"{name:<50} {title}")


@cli.command()
@click.pass_obj
def schema(disabled: Sequence[str]) -> None:
    """Print the JSON Schema of task files, for editors."""
    import json

    from harness.task.schema import task_schema

    click.echo(json.dumps(task_schema(_registry(disabled)), indent=2))


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the outcome as JUnit XML, too.",
)
def gate(run: Path, junit: Path | None) -> None:
    """Hold the numbers of a run against the gates of its task; ends with 1 where one fails."""
    from harness.gates import check_results
    from harness.gates.junit import junit as as_xml
    from harness.machine import machine_errors
    from harness.results.read import load_results
    from harness.store.files import write_text

    results = load_results(run)
    if results.problems:
        raise InvalidRun(f"{run}: the run is invalid, its numbers prove nothing.")
    found = check_results(results)
    if not found:
        raise UsageError(f'{run}: its task has no gates. Write [gates.NAME] assert = "…".')
    if junit is not None:
        with machine_errors(junit.parent):
            write_text(junit, as_xml(str(results.task.get("name", "")), found))
    if failed := _gates(results):
        raise GateFailed(f"gates: {failed} failed.")


def _gates(results: Results) -> int:
    """Shows the gates of a run and returns how many failed."""
    from harness.gates import check_results
    from harness.gates.terminal import lines

    found = check_results(results)
    for line in lines(found) if found else ():
        click.echo(line)
    return sum(not one.passed for one in found)


def _registry(disabled: Sequence[str]) -> Registry:
    from harness.registry import discover

    return discover(disabled)


def _task(
    registry: Registry,
    name: str,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    models: dict[str, Any] | None = None,
) -> Task:
    from harness.task.file import find_task, read_source
    from harness.task.resolve import resolve

    file = find_task(name)
    source = read_source(file, overrides)
    more = _everywhere(source.values, limit, models or {})
    return resolve(read_source(file, [*overrides, *more]) if more else source, registry)


def _everywhere(values: Any, limit: int | None, models: dict[str, Any]) -> list[str]:
    """Overrides for every data set and every model of a task."""
    found = []
    data, entries = values.get("data"), values.get("models")
    if limit is not None and isinstance(data, dict):
        found += [f'data."{name}".at_most={limit}' for name in data]
    for key, value in models.items():
        if value is not None and isinstance(entries, dict):
            found += [f'models."{name}".{key}="{value}"' for name in entries]
    return found


def _summary(task: Task) -> str:
    from harness.planning.planner import plan

    planned = plan(task)
    arms = sum(len(work.arms) for work in planned.generations)
    passes = f"{len(planned.passes)} pass{'es' * (len(planned.passes) != 1)} over activations"
    return f"is fine: {passes}, {arms} arms of completions."


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `harness`; returns the exit code."""
    try:
        cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="harness",
            standalone_mode=False,
        )
    except click.exceptions.Abort as abort:
        # Click takes the end of a file for the reader's wish to stop.
        if isinstance(abort.__cause__, EOFError):
            return _bug(abort.__cause__)
        return _stop("interrupted. Run the same command again to continue.", INTERRUPTED)
    except KeyboardInterrupt:
        return _stop("interrupted. Run the same command again to continue.", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as done:
        return done.exit_code
    except HarnessError as error:
        return _stop(str(error), error.exit_code)
    except BrokenPipeError:
        return 0
    except SystemExit as done:
        # Click's own answer to a reader that closed the pipe; nothing failed.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        return 0 if done.code == 1 else int(done.code or 0)
    except Exception as error:
        return _bug(error)
    return 0


def _bug(error: BaseException) -> int:
    import traceback

    traceback.print_exception(error)
    return _stop(
        "this is a bug of ours. Please report the lines above with the output of "
        "`harness --version` and your task file.",
        OUR_BUG,
    )


def _stop(message: str, code: int) -> int:
    from harness.text import for_terminal

    for line in message.splitlines():
        click.echo(f"harness: {for_terminal(line, 2000)}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
