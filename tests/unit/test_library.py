"""A real network from its file to a library, as a user meets it."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import ansorc
from ansorc.runtime.errors import LoadFailedError, WrongInputError
from ansorc.tools.networks.seeded import load_network, network_path

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-4
TEXT_STAGES = {
    "linalg": ".mlir",
    "affine": ".mlir",
    "scheduled": ".mlir",
    "bufferized": ".mlir",
    "llvm-mlir": ".mlir",
    "llvm": ".ll",
    "asm": ".s",
    "object": ".o",
}
SYSTEM_LIBRARIES = ("libc.so", "libm.so", "libpthread.so", "ld-linux")


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `ansorc`."""
    return subprocess.run(
        [sys.executable, "-m", "ansorc", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mobilenet_v2 as an ONNX file."""
    path = tmp_path_factory.mktemp("network") / "mobilenet.onnx"
    onnx.save(load_network(network_path("mobilenet_v2_b1")), path)
    return path


@pytest.fixture(scope="session")
def library(network: Path) -> Path:
    """The library and its header, made by the command line."""
    path = network.with_suffix(".so")
    done = command(network, "-o", path)
    assert done.returncode == 0, done.stderr
    assert "tasks" in done.stderr
    assert "lower bound" in done.stderr
    return path


@pytest.fixture(scope="session")
def inputs() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    return {"input": generator.standard_normal((1, 3, 224, 224)).astype(np.float32)}


@pytest.fixture(scope="session")
def reference(network: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, dict(inputs))[0])


def error(result: np.ndarray, expected: np.ndarray) -> float:
    return float(abs(result - expected).max() / abs(expected).max())


def only(model: ansorc.CompiledModel, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return next(iter(model.run(inputs).values()))


def test_numbers_agree_with_onnxruntime(library: Path, inputs: dict[str, np.ndarray], reference: np.ndarray) -> None:
    assert error(only(ansorc.load(library), inputs), reference) < TOLERANCE


def test_loading_needs_numpy_alone(library: Path) -> None:
    program = (
        "import sys, ansorc; m = ansorc.load(sys.argv[1]); import numpy as np;"
        "m.run({t.name: np.zeros(t.shape, t.dtype) for t in m.inputs});"
        "bad = {'mlir', 'llvmlite', 'onnx', 'click'} & {name.split('.')[0] for name in sys.modules};"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", program, str(library)], check=True)


def test_bits_do_not_depend_on_threads(library: Path, inputs: dict[str, np.ndarray]) -> None:
    model = ansorc.load(library)
    results: list[np.ndarray] = []
    for threads in (1, 2, 3, 8):
        model.set_threads(threads)
        assert model.threads == threads
        results += [only(model, inputs), only(model, inputs)]
    model.set_threads(0)
    assert all(np.array_equal(results[0], r) for r in results)


def test_the_environment_sets_the_threads(library: Path) -> None:
    program = "import sys, ansorc; print(ansorc.load(sys.argv[1]).threads)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(library)],
        env={**os.environ, "ANSORC_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "3"


def test_building_twice_gives_the_same_bytes(network: Path, library: Path, tmp_path: Path) -> None:
    again = tmp_path / library.name
    assert command(network, "-o", again, "--no-cache").returncode == 0
    assert again.read_bytes() == library.read_bytes()
    assert again.with_suffix(".h").read_bytes() == library.with_suffix(".h").read_bytes()


@pytest.mark.parametrize("stage", TEXT_STAGES)
def test_every_stage_can_be_fed_back(
    stage: str, network: Path, library: Path, inputs: dict[str, np.ndarray], tmp_path: Path
) -> None:
    text, back = tmp_path / f"stage{TEXT_STAGES[stage]}", tmp_path / "back.so"
    done = command(network, "--emit", stage, "-o", text)
    assert done.returncode == 0, done.stderr
    done = command(text, "-o", back)
    assert done.returncode == 0, done.stderr
    result, expected = only(ansorc.load(back), inputs), only(ansorc.load(library), inputs)
    if stage == "affine":  # other loops, another order of sums
        assert error(result, expected) < 1e-5
    else:
        assert np.array_equal(result, expected)


def test_only_documented_symbols_and_system_libraries(library: Path) -> None:
    dynamic = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    needed = [line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "NEEDED" in line]
    assert needed
    assert all(name.startswith(SYSTEM_LIBRARIES) for name in needed)
    table = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in table.splitlines()}
    header = library.with_suffix(".h").read_text()
    assert {"ansorc_run", "ansorc_create", "mobilenet_run"} <= names
    assert all(f"{name}(" in header for name in names)


@pytest.mark.parametrize("language", ["c99", "c++11"])
def test_the_header_is_c_and_cpp(language: str, library: Path, tmp_path: Path) -> None:
    compiler = shutil.which("cc" if language == "c99" else "c++")
    if compiler is None:
        pytest.skip("no compiler")
    source = tmp_path / ("use.c" if language == "c99" else "use.cpp")
    source.write_text(f'#include "{library.with_suffix(".h")}"\nint main(void) {{ return ansorc_num_inputs(); }}\n')
    flags = ["-Wall", "-Wextra", "-Werror", "-pedantic", f"-std={language}", "-fsyntax-only"]
    subprocess.run([compiler, *flags, source], check=True)


def test_the_c_example_classifies_an_image(library: Path, tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no compiler")
    program, image = tmp_path / "classify", tmp_path / "image.ppm"
    macros = [f'-DMODEL_HEADER="{library.with_suffix(".h")}"', "-DMODEL_RUN=mobilenet_run"]
    warnings = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    source = ROOT / "examples" / "c" / "classify.c"
    subprocess.run(
        [compiler, *warnings, *macros, source, library, f"-Wl,-rpath,{library.parent}", "-o", program], check=True
    )
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    image.write_bytes(b"P6\n60 40\n255\n" + pixels.tobytes())
    lines = subprocess.run([program, image], capture_output=True, text=True, check=True).stdout.splitlines()
    rows, columns = np.arange(224) * 40 // 224, np.arange(224) * 60 // 224
    scaled = pixels[rows][:, columns].astype(np.float32) / np.float32(255)
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    chw = np.ascontiguousarray(((scaled - mean) / deviation).transpose(2, 0, 1))[None].astype(np.float32)
    scores = only(ansorc.load(library), {"input": chw})[0]
    assert [int(line.split()[2].rstrip(",")) for line in lines] == np.argsort(-scores)[:5].tolist()
    assert subprocess.run([program, tmp_path / "none"], capture_output=True, check=False).returncode == 1


def test_wrong_inputs_say_what_was_expected(library: Path, inputs: dict[str, np.ndarray]) -> None:
    model = ansorc.load(library)
    array = inputs["input"]
    for wrong in ({}, {"inputs": array}, {"input": array.astype(np.float64)}, {"input": array[..., :200]}):
        with pytest.raises(WrongInputError, match=r"expected .*input"):
            model.run(wrong)


def test_strided_inputs_and_fresh_outputs(library: Path, inputs: dict[str, np.ndarray]) -> None:
    model = ansorc.load(library)
    wide = np.zeros((1, 3, 224, 448), np.float32)
    wide[..., ::2] = inputs["input"]
    view = wide[..., ::2]
    view.flags.writeable = False
    before = wide.copy()
    first, second = only(model, {"input": view}), only(model, inputs)
    assert np.array_equal(first, second)
    assert np.array_equal(wide, before)
    assert not np.shares_memory(first, second)
    assert first.ctypes.data % 64 == second.ctypes.data % 64 == 0


def test_save_and_benchmark(library: Path, inputs: dict[str, np.ndarray], tmp_path: Path) -> None:
    model = ansorc.load(library)
    copy = tmp_path / "copy.so"
    model.save(copy)
    assert copy.with_suffix(".h").read_text() == library.with_suffix(".h").read_text()
    assert np.array_equal(only(ansorc.load(copy), inputs), only(model, inputs))
    times = model.benchmark(seconds=0.1, least=3)
    assert 0 < times.min_ms <= times.median_ms <= times.p90_ms
    with pytest.raises(LoadFailedError):
        ansorc.load(library.with_suffix(".h"))
    with pytest.raises(LoadFailedError):
        ansorc.load(tmp_path / "none.so")


def test_runs_allocate_nothing(library: Path) -> None:
    """glibc's count of allocated bytes stays as it is while instances run (one thread: the pool sleeps)."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("no mallinfo2")

    class Info(ctypes.Structure):
        _fields_ = tuple(
            (name, ctypes.c_size_t)
            for name in ["arena", "ord", "smb", "hblks", "hblkhd", "us", "fsm", "uord", "ford", "keep"]
        )

    libc.mallinfo2.restype = Info
    code = ctypes.CDLL(str(library))
    model = ctypes.c_void_p()
    assert code.ansorc_create(ctypes.byref(model)) == 0
    x, y = np.zeros((1, 3, 224, 224), np.float32), np.empty((1, 1000), np.float32)
    ins, outs = (ctypes.c_void_p * 1)(x.ctypes.data), (ctypes.c_void_p * 1)(y.ctypes.data)
    run = code.ansorc_run

    def allocated() -> int:
        info = libc.mallinfo2()
        return int(info.uord) + int(info.hblkhd)

    for _ in range(3):
        assert run(model, ins, outs) == 0
    before = allocated()
    for _ in range(50):
        run(model, ins, outs)
    # Python's own objects may come and go; a leak of a run would count fifty times.
    assert abs(allocated() - before) < 50 * 16
    code.ansorc_destroy(model)


def test_without_a_c_compiler(
    network: Path, inputs: dict[str, np.ndarray], reference: np.ndarray, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = command(network, "-o", tmp_path / "zig.so", PATH=str(empty), CC="")
    assert done.returncode == 0, done.stderr
    assert error(only(ansorc.load(tmp_path / "zig.so"), inputs), reference) < TOLERANCE


def test_dump_dir_has_every_stage(network: Path, tmp_path: Path) -> None:
    done = command(network, "--records", "none", "--dump-dir", tmp_path / "dump", "-o", tmp_path / "m.so")
    assert done.returncode == 0, done.stderr
    names = {p.name for p in (tmp_path / "dump").iterdir()}
    assert {f"mobilenet.{s}.mlir" for s in ("linalg", "affine", "scheduled", "bufferized", "llvm-mlir")} <= names
    scripts = [p for p in (tmp_path / "dump").glob("*.transform.mlir") if "ansorc.lanes" in p.read_text()]
    assert len(scripts) > 20
    # Each task stands alone beside its script, which makes the same kernel again.
    task = scripts[0].with_name(scripts[0].name.replace(".transform.mlir", ".mlir"))
    opt = [sys.executable, "-m", "ansorc.tools.opt", str(task)]
    stages = (f"ansorc-schedule{{script={scripts[0]}}}", "ansorc-schedule")
    first, second = (
        subprocess.run([*opt, f"--pipeline={s}"], capture_output=True, text=True, check=True).stdout for s in stages
    )
    assert first == second
