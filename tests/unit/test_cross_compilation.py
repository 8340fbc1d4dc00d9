"""A library for AArch64, made here: its form always, its numbers where an emulator is installed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from ansorc.tools.networks.seeded import load_network, network_path

ROOT = Path(__file__).parents[2]
SYSROOT = Path("/usr/aarch64-linux-gnu")  # Debian's libc6-arm64-cross
CLASSES = 5


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arm") / "mobilenet.onnx"
    onnx.save(load_network(network_path("mobilenet_v2_b1")), path)
    return path


@pytest.fixture(scope="module")
def library(network: Path) -> Path:
    path = network.with_name("libmobilenet.so")
    compile_for(network, path, "aarch64-linux-gnu", "so")
    return path


def compile_for(network: Path, output: Path, target: str, stage: str) -> None:
    arguments = ["--target", target, "--emit", stage, "-o", str(output)]
    subprocess.run([sys.executable, "-m", "ansorc", str(network), *arguments], check=True, capture_output=True)


def test_it_is_a_library_for_aarch64(library: Path) -> None:
    head = subprocess.run(["readelf", "-h", library], capture_output=True, text=True, check=True).stdout
    assert "AArch64" in head
    assert "DYN" in head


@pytest.mark.parametrize(("target", "registers"), [("neoverse-n1", "v"), ("neoverse-v1", "z"), ("a64fx", "z")])
def test_kernels_use_vectors(network: Path, tmp_path: Path, target: str, registers: str) -> None:
    """NEON's registers are v0 to v31, SVE's z0 to z31."""
    compile_for(network, tmp_path / "arm.s", target, "asm")
    found = re.findall(r"\tfm(?:la|ad)\t([vz])\d", (tmp_path / "arm.s").read_text())
    assert found.count(registers) > 100
    assert found.count(registers) > 0.9 * len(found)


def test_it_computes_the_same_under_an_emulator(network: Path, library: Path, tmp_path: Path) -> None:
    emulator = shutil.which("qemu-aarch64")
    if emulator is None or not SYSROOT.exists():
        pytest.skip("needs qemu-aarch64 and the C library of AArch64 (Debian: qemu-user, libc6-arm64-cross)")
    program = tmp_path / "classify"
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-gnu.2.17"]
    macros = [f'-DMODEL_HEADER="{library.with_suffix(".h")}"', "-DMODEL_RUN=mobilenet_run"]
    source = ROOT / "examples" / "c" / "classify.c"
    subprocess.run(
        [*zig, "-O1", *macros, source, library, f"-Wl,-rpath,{library.parent}", "-o", program],
        check=True, capture_output=True,
    )  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    (tmp_path / "image.ppm").write_bytes(b"P6\n224 224\n255\n" + pixels.tobytes())
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    chw = ((pixels / np.float32(255) - mean) / deviation).transpose(2, 0, 1)[None].astype(np.float32)
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    expected = np.asarray(session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(chw)})[0])[0]
    command = [emulator, "-L", str(SYSROOT), str(program), str(tmp_path / "image.ppm")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == CLASSES
    for line, best in zip(lines, np.argsort(-expected), strict=False):
        _, _, number, _, score = line.split()
        assert int(number.rstrip(",")) == best
        assert abs(float(score) - expected[best]) < 1e-4 * abs(expected).max()
