"""`ansorc model.onnx -o lib.so`: the compiler's command line."""

from __future__ import annotations

import tempfile
from importlib import metadata
from pathlib import Path

import click

from ansorc import __version__
from ansorc.compiler.driver import compile_to_file
from ansorc.compiler.errors import InvalidOptionError
from ansorc.compiler.knobs import read_knobs
from ansorc.compiler.options import FUSE_CHAINS, Options
from ansorc.compiler.output import check_writable
from ansorc.compiler.summary import Summary
from ansorc.compiler.target import parse_target, usable_cores
from ansorc.tools.command_line import run
from ansorc.tools.progress import ProgressLine

SUFFIXES = {
    "linalg": ".linalg.mlir",
    "affine": ".affine.mlir",
    "scheduled": ".scheduled.mlir",
    "bufferized": ".bufferized.mlir",
    "llvm-mlir": ".llvm.mlir",
    "llvm": ".ll",
    "asm": ".s",
    "object": ".o",
    "so": ".so",
}
BINARY = ("object", "so")


def parse_shapes(texts: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Read "input=1x3x224x224"; a name may itself contain "=" or ":"."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, equals, sizes = text.rpartition("=")
        parts = sizes.split("x") if sizes else []
        if not equals or not name or not all(part.isdecimal() for part in parts):
            raise InvalidOptionError("--shape", text, "NAME=SIZExSIZE, as in input=1x3x224x224")
        shape = tuple(int(part) for part in parts)
        if shapes.setdefault(name, shape) != shape:
            raise InvalidOptionError("--shape", text, f"one shape for each input; {name} has two")
    return shapes


def _versions() -> str:
    mlir, llvmlite = (metadata.version(p) for p in ("xtc-mlir-python-bindings", "llvmlite"))
    return f"ansorc {__version__} (MLIR bindings {mlir}, llvmlite {llvmlite})"


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        click.echo(_versions())
        context.exit()


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
@click.argument("model")
@click.option("-o", "--output", help="File to write [default: the model's name]; - is stdout.")
@click.option("--target", default="native", show_default=True, help="CPU name or triple.")
@click.option("--threads", type=int, help="Default threads of the library [default: all cores].")
@click.option("--shape", multiple=True, metavar="NAME=SIZES", help="Shape of an input; repeatable.")
@click.option("--emit", type=click.Choice(list(SUFFIXES)), default="so", show_default=True)
@click.option("--dump-dir", type=click.Path(path_type=Path), help="Write every stage in there.")
@click.option("--jobs", type=int, help="Processes that compile [default: all cores].")
@click.option(
    "--fuse-chains",
    type=click.Choice(FUSE_CHAINS),
    default="auto",
    help="Make one task of attention and other chains of products [default: auto, where it gains].",
)
@click.option("--trials", type=int, default=0, help="Search schedules first: try so many candidates in all.")
@click.option("--seconds", type=float, help="Search schedules first, for so long.")
@click.option(
    "--records",
    metavar="FILE",
    help="File of trials: used, and added to by a search; `none`: neither that, nor what is shipped.",
)
@click.option(
    "--cost-model",
    metavar="FILE",
    help="What `ansorc-tune train` wrote, or `shipped`: starts a search, and chooses untuned schedules; or `none`.",
)
@click.option("--seed", type=int, default=0, help="Of a search.")
@click.option("--exact", is_flag=True, help="Leave out algorithms that round more (Winograd's, Strassen's).")
@click.option("--cold", is_flag=True, help="Search schedules for calls that find nothing in the caches.")
@click.option("--cluster", metavar="ADDRESS", help="Search on a Dask cluster: tcp://HOST:PORT, or local:N.")
@click.option("--no-cache", is_flag=True, help="Compile every task again.")
@click.option("-v", "--verbose", is_flag=True, help="Say more; show tracebacks.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version)
def command(
    model: str,
    output: str | None,
    target: str,
    threads: int | None,
    shape: tuple[str, ...],
    emit: str,
    dump_dir: Path | None,
    jobs: int | None,
    fuse_chains: str,
    trials: int,
    seconds: float | None,
    records: str | None,
    cost_model: str | None,
    seed: int,
    exact: bool,
    cold: bool,
    cluster: str | None,
    no_cache: bool,
    verbose: bool,
) -> None:
    """Compile MODEL, an ONNX file or the text of any stage, into a native library.

    \b
    ansorc model.onnx -o model.so                   model.so and model.h for this machine
    ansorc model.onnx --shape input=1x3x224x224     sizes for symbolic dimensions
    ansorc model.onnx --target aarch64-linux-gnu    for another machine
    ansorc model.onnx --emit scheduled -o -         read a stage
    ansorc model.onnx --seconds 300                 search for the fastest schedules first
    ansorc model.onnx --records FILE                use the best schedules that were found
    ansorc model.scheduled.mlir -o model.so         go on from a stage, perhaps edited
    """
    knobs = read_knobs()
    with ProgressLine(verbose) as progress:
        options = Options(
            target=parse_target(target),
            threads=threads,
            shapes=parse_shapes(shape),
            fuse_chains=fuse_chains,
            trials=trials,
            seconds=seconds,
            records=records,
            cost_model=cost_model,
            seed=seed,
            exact=exact,
            cold=cold,
            cluster=cluster,
            use_cache=not no_cache,
            jobs=usable_cores() if jobs is None and knobs.jobs is None else (jobs or knobs.jobs or 0),
            dump_dir=dump_dir or knobs.dump_dir,
            verbose=verbose,
            progress=progress.show,
        )
        if output == "-":
            summary = _to_standard_output(model, options, emit)
        else:
            path = Path(output) if output else Path(Path(model).name.split(".")[0] + SUFFIXES[emit])
            check_writable(path)
            summary = compile_to_file(model, options, path, emit)
    click.echo(str(summary), err=True)


def _to_standard_output(model: str, options: Options, emit: str) -> Summary:
    if emit in BINARY:
        raise InvalidOptionError("--output", "-", f"a file: stage {emit} is not text")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"stage{SUFFIXES[emit]}"
        summary = compile_to_file(model, options, path, emit)
        click.echo(path.read_text(), nl=False)
    return summary


def main() -> None:
    """Run the command."""
    run(command, "ansorc")


if __name__ == "__main__":
    main()
