"""How the commands end: a mistake of the user is one message and exit code 1."""

from __future__ import annotations

import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

import click

VERBOSE = ("-v", "--verbose")


def run(command: click.Command, name: str) -> NoReturn:
    """Run a command to the end of the process.

    Where it has an option `--verbose`, tracebacks are shown with that alone; elsewhere those of our own mistakes are.
    """
    signal.signal(signal.SIGTERM, _terminate)  # so that temporary files and workers go too
    quiet = any(VERBOSE[1] in p.opts for p in _all_parameters(command))
    try:
        code = command.main(prog_name=name, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo(f"{name}: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        mistake = _is_of_user(error)
        if any(flag in sys.argv for flag in VERBOSE):
            traceback.print_exc()
        elif mistake:
            click.echo(f"{name}: error: {error}", err=True)
        elif quiet:
            click.echo(f"{name}: internal error: {type(error).__name__}: {error} (-v shows where)", err=True)
        else:
            raise
        sys.exit(1)


def _is_of_user(error: Exception) -> bool:
    # Not imported earlier: some commands load libraries without the compiler.
    from ansorc.compiler.errors import AnsorcError
    from ansorc.frontends.errors import ModelError
    from ansorc.runtime.errors import RuntimeFailure

    return isinstance(error, AnsorcError | ModelError | RuntimeFailure)


def _all_parameters(command: click.Command) -> list[click.Parameter]:
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return [*command.params, *(p for c in below for p in _all_parameters(c))]


def _terminate(_number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)
