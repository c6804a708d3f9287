"""The command line: the group of commands, and what each outcome is as an exit code.

Each command is a module of its name beside this one, imported when the command is run; what is
heavy is imported inside the command.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from harness.cli import completion
from harness.errors import HarnessError, MachineError
from harness.version import __version__

INTERRUPTED = 130
OUR_BUG = 70
_COMMANDS = {
    "cache": "Show what runs have kept for other runs: passes over activations, completions, "
    "verdicts of models that judge, arms of benchmarks, and published labels.",
    "check": "Say everything that is wrong with tasks, without reading a weight.",
    "compare": "Compare runs, each with the first: paired where they share prompts.",
    "diff": "Say what differs between two models: how far, at which depth, in which features.",
    "eval": "Run experiments; the same command again continues one that was cut off.",
    "export": "Write what a run has found in the form of another tool.",
    "gate": "Hold the numbers of a run against the gates of its task; ends with 1 where one fails.",
    "init": "Write a task with comments into FILE (task.toml), from options or a few questions.",
    "new": "Write a package with a plugin that works: `harness new metric surprise`.",
    "plan": "Say what a task will cost: passes, tokens, FLOPs, memory, downloads, time.",
    "plugins": "List the plugins and what they provide, or show or check one of them.",
    "report": "Show the answer of an earlier run again, and write its report.html anew.",
    "runs": "List the runs under a folder (runs/ without one): status, task, claims, headline, "
    "date.",
    "schema": "Print the JSON Schema of task files, for editors.",
    "tasks": "List the built-in tasks, and say where their files are.",
}
"""Each command and the first sentence of its help, so that listing them imports none."""
_BRIEF = ("check", "plugins", "schema", "tasks")
"""The commands that end before it pays to look for garbage."""


class CommandGroup(click.Group):
    """Imports the module of a command when the command is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in the order of `--help`."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, or None."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"harness.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes what each command is, as click does, which imports them all for it."""
        width = formatter.width - 6 - max(map(len, _COMMANDS))
        known = {name: click.Command(name, help=said) for name, said in _COMMANDS.items()}
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, one.get_short_help_str(width)) for name, one in known.items()]
            )


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, package_name="sae-harness")
@click.option(
    "-p",
    "plugins",
    multiple=True,
    metavar="no:NAME",
    shell_complete=completion.turned_off,
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
    if context.invoked_subcommand not in _BRIEF and not gc.isenabled():
        gc.freeze()
        gc.enable()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `harness`; returns the exit code."""
    try:
        cli.main(arguments, prog_name="harness", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt) as stop:
        # Click takes the end of a file for the reader's wish to stop.
        if isinstance(stop.__cause__, EOFError):
            return _report_bug(stop.__cause__)
        return _complain("interrupted. Run the same command again to continue.", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as done:
        return done.exit_code
    except HarnessError as error:
        return _complain(str(error), error.exit_code)
    except BrokenPipeError:
        return 0
    except MemoryError:
        return _complain(
            "out of memory. A run keeps what was finished: set smaller sizes in [batch], or read "
            "less, and run the same command again.",
            MachineError.exit_code,
        )
    except SystemExit as done:
        # Click's own answer to a reader that closed the pipe; nothing failed.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        return 0 if done.code == 1 else int(done.code or 0)
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            return _complain(_too_long(error), 2)
        return _report_bug(error)
    return 0


def _too_long(error: OSError) -> str:
    """Whoever names a file or a folder, and wherever: nothing can be called so."""
    from harness.text import for_terminal

    name = for_terminal(str(error.filename or ""), 60)
    return (
        f"{name}: no file can be called so: the name is too long. Allowed: 255 bytes between two "
        "slashes, 4,095 in all. Give a shorter one."
    )


def _report_bug(error: BaseException) -> int:
    import traceback

    from harness.registry.local_code import blamed

    if said := blamed(error):
        return _complain(said, 2)
    traceback.print_exception(error)
    return _complain(
        "this is a bug of ours. Please report the lines above with the output of "
        "`harness --version` and your task file.",
        OUR_BUG,
    )


def _complain(message: str, code: int) -> int:
    """Prints a message on stderr, line by line; returns the exit code."""
    from harness.text import for_terminal

    for line in message.splitlines():
        click.echo(f"harness: {for_terminal(line, 2000)}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
