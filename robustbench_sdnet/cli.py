"""The command `sdnet-bench`: parse, build specs, call, print.

Commands are imported when they are asked for, and import torch when they have work to do, so that help and usage
errors come at once. Every error a user can meet is one line on standard error; SDNET_BENCH_DEBUG=1 adds the traceback.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, NoReturn

import click

from .console.output import warn
from .console.progress import shown_downloads
from .errors import SdnetBenchError, WaitWarning, first_line, unknown
from .interrupts import as_ctrl_c
from .version import VERSION
from .wording import one_line

# name, which is that of its module in `commands` -> first line of its help
COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "train": "Train a model.",
        "corrupt": "Measure accuracy under corruptions, at every given lambda.",
        "attack": "Measure accuracy under adversarial attacks, at every given lambda.",
        "diagnose": "Check whether a model masks gradients.",
        "visualize": "Show what a model keeps of images, layer by layer and lambda by lambda.",
        "study": "Find out in one run whether another lambda makes a model robust.",
        "report": "Write the report of a store.",
        "status": "Show what a store holds and what is unfinished.",
        "quickstart": "Train, corrupt, attack, sweep lambda and report, on a small scale and offline.",
        "zoo": "List, describe, fetch, import, verify and export models.",
        "data": "Download, generate and show data.",
    }
)


# Those that keep what was finished, and go on from there when they are given again.
GOING_ON = frozenset({"corrupt", "attack", "study", "quickstart", "data prepare", "data generate"})


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called, not when help lists it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of a day's work."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, its module imported."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f".commands.{cmd_name}", __package__)
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with the nearest name."""
        # What a shell completes may be anything yet.
        if not ctx.resilient_parsing and args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise unknown("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
    These four commands, as typed, are a complete study:
      sdnet-bench train cifar10 sdnet18
      sdnet-bench corrupt --severity 1-5
      sdnet-bench attack pgd --eps 8/255
      sdnet-bench report to markdown
    """,
)
@click.version_option(VERSION, prog_name="sdnet-bench")
def cli() -> None:
    """Measure how robust image classifiers are: corruptions, attacks, and lambda swept at test time."""
    try:
        os.getcwd()
    except FileNotFoundError:  # with which torch's MKL ends the process
        raise SdnetBenchError(
            "The working folder was deleted: change to one that exists and run again."
        ) from None


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; exit with 0 (done), 1 (the work failed) or 2 (the command line was wrong)."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by 2>&-
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  for as long as we run
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal's encoding lacks is written out
            stream.reconfigure(errors="backslashreplace")
    os.environ["MPLBACKEND"] = "agg"  # figures go to files; matplotlib refuses windows that it knows no more
    came: list[str] = []
    given = sys.argv[1:] if arguments is None else arguments
    asked_help = not {"-h", "--help"}.isdisjoint(given)
    kept = not asked_help and not GOING_ON.isdisjoint((*given[:1], " ".join(given[:2])))
    try:
        with as_ctrl_c(came), _own_warnings(), shown_downloads():
            code = cli.main(args=arguments, prog_name="sdnet-bench", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except SdnetBenchError as error:
        _fail(str(error), error.exit_code, error)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.UsageError as error:
        _fail(_misuse(error), 2, error)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code, error)
    except (KeyboardInterrupt, click.Abort) as error:
        # Python notes an interrupt that came while a library ran a text, and `python -m` then ends by SIGINT whatever
        # the exit code is, unless another text has run since.
        exec("")  # noqa: S102  the text is empty
        by = f" by {came[0]}" if came else ""
        go_on = " What was finished is stored; run the same command again to go on." if kept else ""
        _fail(f"Stopped{by}.{go_on}", 1, error)
    except BrokenPipeError:
        _silence_what_is_shut()
        sys.exit(1)
    except OSError as error:
        full = error.errno == errno.ENOSPC and not error.filename  # what prints has no name
        where = f" ({error.filename})" if error.filename else ""
        where = " for what is printed: free some, or send it elsewhere" if full else where
        wrong = error.errno == errno.ENAMETOOLONG  # a name that was typed, long before any work
        stored = " What was finished is stored." if kept else ""
        _fail(f"{error.strerror or error}{where}.{stored}", 2 if wrong else 1, error)
    except ImportError as error:
        _fail(
            f"A library cannot be loaded: {first_line(error)}. Repair the installation ('pip check' names what does "
            "not fit), or raise the limit of memory (ulimit -v) where a file cannot be mapped.",
            1,
            error,
        )
    except Exception as error:  # noqa: BLE001  the last stop before a traceback, which no user should see
        _fail(
            f"Unexpected {type(error).__name__}: {first_line(error)} "
            "This is a bug: run again with SDNET_BENCH_DEBUG=1 and report what it prints.",
            1,
            error,
        )


@contextmanager
def _own_warnings() -> Iterator[None]:
    """Have what is waited for said in one line, as commands say it, and other warnings as Python says them."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, WaitWarning):
                warn(message)
            else:
                others(message, category, *place, **more)

        warnings.showwarning = show
        yield


def _misuse(error: click.UsageError) -> str:
    """What is wrong with a command line, in sentences, and what to do."""
    text = error.format_message().rstrip()
    found = [text if text.endswith((".", "?", "?)")) else f"{text}."]
    if error.ctx is not None:
        known = {name for param in error.ctx.command.params for name in param.opts}
        # `diagnose` and others take a model without an option.
        if "unexpected extra argument" in text and "--model" in known:
            found.append("A model is given by --model.")
        found.append(f"Try '{error.ctx.command_path} -h'.")
    return " ".join(found)


def _silence_what_is_shut() -> None:
    """Let no stream that takes nothing more fail again when Python ends, which is exit code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _fail(message: str, code: int, error: BaseException) -> NoReturn:
    if os.environ.get("SDNET_BENCH_DEBUG"):
        raise error
    with suppress(OSError):
        click.echo(f"Error: {one_line(message)}", err=True)
    _silence_what_is_shut()
    sys.exit(code)


if __name__ == "__main__":
    main()
