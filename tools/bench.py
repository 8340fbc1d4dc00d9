"""`ansorc-bench`: measure what the compiler makes beside its peers, in one run, on the same data."""

from __future__ import annotations

import importlib

import click

from ansorc.tools.command_line import run

SUBCOMMANDS = ("candidates", "latency", "memory", "networks", "ops", "peak", "profile", "search")
"""Each is a function of that name in `bench_NAME.py`."""


class Subcommands(click.Group):
    """Imports a subcommand when it is asked for: `networks` loads libraries before anything of the compiler."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one."""
        if cmd_name not in SUBCOMMANDS:
            return None
        return getattr(importlib.import_module(f"ansorc.tools.bench_{cmd_name}"), cmd_name)


@click.group(cls=Subcommands, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Measure compiled models and kernels beside other engines."""


def main() -> None:
    """Run the command."""
    run(command, "ansorc-bench")


if __name__ == "__main__":
    main()
