"""Networks by name, and what is measured of them by it."""

import json
from pathlib import Path

import click
import onnx
import pytest
from click.testing import CliRunner

from ansorc.tools import bench_memory, bench_networks, networks
from ansorc.tools.networks import known_names, network_file, seeded_names


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "batch", "name"),
    [
        ("dcgan", None, "dcgan_b1"),
        ("DCGAN", 16, "dcgan_b16"),
        ("dcgan_b16", None, "dcgan_b16"),
        ("bert-tiny", None, "bert_tiny_b1"),
        ("imagenet-squeezenet", None, "imagenet_squeezenet"),
    ],
)
def test_a_name_becomes_a_file_once(text: str, batch: int | None, name: str) -> None:
    path = network_file(text, batch)
    assert path.stem == name
    (first, *_) = onnx.load(path).graph.input
    assert first.type.tensor_type.shape.dim[0].dim_value == (16 if name.endswith("_b16") else 1)
    made = path.stat().st_mtime_ns
    assert network_file(text, batch).stat().st_mtime_ns == made


def test_all_names_are_known() -> None:
    assert {"resnet50", "mobilenet_v2", "bert_base", "dcgan", "resnet3d18", "imagenet_vgg19"} <= set(known_names())
    for text, name in (("resnet-50", "resnet50"), ("mobilenet-v2", "mobilenet_v2"), ("resnet3d-18", "resnet3d18")):
        assert networks._plain(text) == name  # pyright: ignore[reportPrivateUsage]
    assert all(n.endswith(("_b1", "_b16")) for n in seeded_names())


@pytest.mark.parametrize(
    ("text", "batch", "said"),
    [
        ("resnet-51", None, "neither a file nor a network; near: .*resnet50"),
        ("dcgan", 7, "dcgan is not there at batch 7, but as dcgan_b1, dcgan_b16"),
        ("imagenet_vgg19", 16, "neither a file nor a network|not there"),
    ],
)
def test_what_is_not_there(text: str, batch: int | None, said: str) -> None:
    with pytest.raises(click.UsageError, match=said):
        network_file(text, batch)


def test_a_file_has_its_batch(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.touch()
    assert network_file(str(path)) == path
    with pytest.raises(click.UsageError, match="its batch size is in it"):
        network_file(str(path), 4)


def test_networks_are_measured_by_name() -> None:
    done = CliRunner().invoke(bench_networks.networks, [])
    assert done.exit_code == 2
    assert "no MODELS, and no --network" in done.output
    done = CliRunner().invoke(bench_networks.networks, ["--network", "dcgun"])
    assert "near: dcgan" in done.output


def test_memory_beside_onnxruntime() -> None:
    done = CliRunner().invoke(bench_memory.memory, ["bert-tiny", "--peer", "onnxruntime", "--json"])
    assert done.exit_code == 0, done.output
    ours, peer = json.loads(done.output.splitlines()[-1])["engines"]
    assert (ours["engine"], peer["engine"]) == ("ansorc", "onnxruntime")
    for m in (ours, peer):
        assert 0 < m["loaded"] <= m["peak"] < 400
        assert m["before"] > 10
