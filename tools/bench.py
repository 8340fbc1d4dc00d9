"""`ansorc-bench`: measure what the compiler makes beside its peers, in one run, on the same data."""

from __future__ import annotations

import click

from ansorc.tools.bench_networks import networks
from ansorc.tools.bench_ops import ops
from ansorc.tools.bench_peak import peak


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Measure compiled models and kernels beside other engines."""


for _subcommand in (networks, ops, peak):
    command.add_command(_subcommand)


def main() -> None:
    """Run the command."""
    command.main(prog_name="ansorc-bench")


if __name__ == "__main__":
    main()
