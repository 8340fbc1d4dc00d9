"""Networks by name: those of the paper's evaluation at batches 1 and 16, and the ImageNet graphs of the onnx package.

Weights are drawn from their names: the files are small, and times are those of trained networks of the same shape. A
network becomes an ONNX file in the cache when it is first asked for.
"""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
from pathlib import Path

import click

from ansorc.compiler.knobs import read_knobs
from ansorc.compiler.output import whole_file

FOLDER = Path(__file__).parent
SUFFIX = ".light.onnx"
IMAGENET_PREFIX = "imagenet_"
IMAGENET = (
    *("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50"),
    *("shufflenet", "squeezenet", "vgg19", "zfnet512"),
)
ALIASES = {"bert": "bert_base", "mobilenet": "mobilenet_v2", "resnet3d": "resnet3d18"}


class UnknownNetworkError(click.UsageError):
    """No network has this name, or not at this batch size."""

    def __init__(self, text: str, batch: int) -> None:
        known = known_names()
        batches = [n for n in seeded_names() if n.rpartition("_b")[0] == _plain(text)]
        if batches:
            super().__init__(f"{text} is not there at batch {batch}, but as {', '.join(batches)}")
            return
        near = difflib.get_close_matches(text, known, n=3, cutoff=0.4) or known
        super().__init__(f"{text} is neither a file nor a network; near: {', '.join(near)}")


class NetworkFile(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]
    """A file, or the name of a network, such as resnet-50, mobilenet_v2_b16 or imagenet_vgg19."""

    name = "model"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the file."""
        return network_file(value)


def seeded_names() -> list[str]:
    """Return the names of the paper's networks, with their batch sizes."""
    return sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}"))


def network_file(text: str, batch: int | None = None) -> Path:
    """Return a file that is there, or that of a network; raises UnknownNetworkError."""
    if Path(text).is_file():
        if batch is not None:
            raise click.UsageError(f"{text} is a file: its batch size is in it")
        return Path(text)
    found = re.fullmatch(r"(.+)_b(\d+)", text) if batch is None else None
    name, size = (_plain(found[1]), int(found[2])) if found else (_plain(text), batch or 1)
    imagenet = name.startswith(IMAGENET_PREFIX)
    key = name if imagenet else f"{name}_b{size}"
    if not (imagenet and size == 1) and key not in seeded_names():
        raise UnknownNetworkError(found[1] if found else text, size)
    path = read_knobs().cache_dir / "networks" / f"{key}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        click.echo(f"making {path}", err=True)
        with whole_file(path) as temporary:
            # In another process: whoever measures memory, or loads libraries alone, has no onnx.
            module = "ansorc.tools.networks." + ("imagenet" if imagenet else "seeded")
            command = [sys.executable, "-m", module, key.removeprefix(IMAGENET_PREFIX), str(temporary)]
            subprocess.run(command, check=True)
    return path


def known_names() -> list[str]:
    """Return the names without batch sizes."""
    return sorted({*(n.rpartition("_b")[0] for n in seeded_names()), *(IMAGENET_PREFIX + n for n in IMAGENET)})


def _plain(text: str) -> str:
    """Return the known name that a text is but for hyphens and underscores; "" where there is none."""
    squeezed = {re.sub(r"[-_]", "", n): n for n in known_names()}
    wanted = ALIASES.get(text.lower(), text.lower())
    return squeezed.get(re.sub(r"[-_]", "", wanted), "")
