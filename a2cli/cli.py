"""The `a2` command: one Typer app; every error becomes one line and an exit code here.

Importing this module imports no torch, diffusers, transformers, cv2 or datasets: the commands
import the engine when they run.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Annotated

import typer

from a2cli import __version__
from a2cli.commands import augment_mask, backbones, dataset, doctor, edit, export, train
from a2cli.commands.eval import app as eval_app
from a2cli.errors import A2Error
from a2cli.files import show_name

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

app = typer.Typer(
    name="a2",
    help="Replace what is under a mask in a photo by the object of a reference photo.",
    epilog="Set A2_DEBUG=1 for tracebacks. Exit codes: 0 done, 1 unexpected failure, 2 usage or bad input, "
    "3 some items failed, 4 a threshold was missed, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("edit")(edit.edit)
app.command("augment-mask")(augment_mask.augment_mask)
app.add_typer(dataset.app, name="dataset")
app.command("train")(train.train)
app.add_typer(eval_app, name="eval")
app.command("export")(export.export)
app.command("backbones")(backbones.backbones)
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"a2 {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            metavar="",
            help="Print the version and exit.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    pass


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and give its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # a file name that is not UTF-8 is printed as it is
    try:
        code = app(args=argv, prog_name="a2", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our results went away; keep the interpreter from saying so again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except typer.TyperException as error:
        if not error.format_message():  # no arguments: the help is on the screen already
            return error.exit_code
        return _fail(error, f"{error.format_message()} (see {_get_help_command(error)})", error.exit_code)
    except A2Error as error:
        return _fail(error, str(error), error.exit_code)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return _fail(error, f"unexpected failure: {reason} (set A2_DEBUG=1 for the traceback)", 1)


def _fail(error: BaseException, message: str, exit_code: int) -> int:
    """One printable line on stderr; with A2_DEBUG=1 the traceback instead."""
    if os.environ.get("A2_DEBUG") == "1":
        traceback.print_exception(error)
    else:
        line = message.strip().replace("\n", " ")
        print(f"a2: {show_name(line)}", file=sys.stderr)
    return exit_code


def _get_help_command(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'a2'} --help"


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(number, lambda *_: os._exit(EXIT_TERMINATED))  # a second one, at once and without a word
    raise SystemExit(EXIT_TERMINATED)
