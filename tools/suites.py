"""The workloads of `ansorc-bench ops`: Ansor's operators and subgraphs, and the layers of networks."""

from __future__ import annotations

from ansorc.tools.workloads import AttentionScores, BatchMatmul, Dense, MatrixNorm, Workload
from ansorc.tools.workloads_convolution import Capsules, Convolution
from ansorc.tools.workloads_memory import Chain, Join, Rows, Transposition, Window
from ansorc.tools.workloads_places import Classes, Lookup, Reduction, Reflected

_SQUARES = ((224, 3, 64, 7, 2, 3), (56, 64, 64, 1, 1, 0), (14, 256, 256, 3, 1, 1), (7, 512, 512, 3, 1, 1))
"""Of C2D, and by other names of DIL and C3D: extent, channels, filters, kernel, stride, padding."""

PAPER: tuple[Workload, ...] = (
    *(
        Convolution("C1D", (h,), c, f, k, s, p)
        for h, c, f, k, s, p in (
            (256, 64, 128, 3, 2, 1), (128, 128, 256, 1, 2, 0), (64, 256, 256, 5, 1, 2), (32, 512, 512, 3, 1, 1),
        )
    ),
    *(Convolution("C2D", (h, h), c, f, k, s, p) for h, c, f, k, s, p in _SQUARES),
    *(Convolution("C3D", (16, h, h), c, f, k, s, p) for h, c, f, k, s, p in _SQUARES),
    *(
        BatchMatmul("GMM", n, m, k)
        for n, m, k in ((128, 128, 128), (512, 32, 512), (512, 512, 512), (1024, 1024, 1024))
    ),
    *(
        Convolution("GRP", (h, h), c, f, k, s, p, groups=4)
        for h, c, f, k, s, p in ((56, 64, 128, 3, 2, 1), *_SQUARES[1:])
    ),
    *(Convolution("DIL", (h, h), c, f, k, s, p, dilation=2) for h, c, f, k, s, p in _SQUARES),
    *(
        Convolution("DEP", (h, h), c, c, k, s, p, groups=c)
        for h, c, k, s, p in ((112, 32, 3, 1, 1), (112, 64, 3, 2, 1), (14, 512, 3, 2, 1), (7, 1024, 3, 1, 1))
    ),
    *(
        Convolution("T2D", (h, h), c, f, 4, 2, 1, transposed=True)
        for h, c, f in ((4, 512, 256), (8, 256, 128), (16, 128, 64), (32, 64, 3))
    ),
    *(
        Capsules((h, h), c, f, k, s, p)
        for h, c, f, k, s, p in (
            (16, 32, 32, 3, 2, 1), (8, 32, 32, 3, 1, 1), (16, 8, 16, 3, 2, 1), (8, 16, 16, 3, 1, 1),
        )
    ),
    *(MatrixNorm(n, m) for n, m in ((256, 256), (512, 512), (1024, 1024), (4096, 1024))),
    *(
        Convolution("ConvLayer", (h, h), c, f, k, s, p, bias=True, activation="relu")
        for h, c, f, k, s, p in (
            (224, 3, 64, 7, 2, 3), (56, 64, 128, 3, 2, 1), (28, 128, 256, 1, 2, 0), (7, 512, 512, 3, 1, 1),
        )
    ),
    *(
        AttentionScores(length, heads, size)
        for length, heads, size in ((128, 12, 64), (128, 16, 64), (64, 12, 128), (128, 12, 128))
    ),
)  # fmt: skip
"""OSDI'20, appendix C, with the artifact's first GRP and second ConvLayer, which the paper misprints.

Batch normalisation of ConvLayer is in the weights and the bias, for every engine.
"""


def _conv(h: int, channels: int, filters: int, kernel: int, stride: int, activation: str = "") -> Convolution:
    padding = kernel // 2
    return Convolution("Conv", (h, h), channels, filters, kernel, stride, padding, bias=True, activation=activation)


def _depthwise(h: int, channels: int, stride: int) -> Convolution:
    same = channels
    return Convolution("Depthwise", (h, h), same, same, 3, stride, 1, groups=same, bias=True, activation="relu6")


def _conv3d(depth: int, h: int, channels: int, filters: int, kernel: int, stride: int, act: str = "") -> Convolution:
    spatial, padding = (depth, h, h), kernel // 2
    return Convolution("Conv3d", spatial, channels, filters, kernel, stride, padding, bias=True, activation=act)


RESNET50: tuple[Workload, ...] = (
    _conv(224, 3, 64, 7, 2, "relu"),
    _conv(56, 64, 64, 1, 1, "relu"), _conv(56, 64, 64, 3, 1, "relu"), _conv(56, 64, 256, 1, 1),
    _conv(56, 256, 64, 1, 1, "relu"), _conv(56, 256, 128, 1, 1, "relu"), _conv(56, 128, 128, 3, 2, "relu"),
    _conv(28, 128, 512, 1, 1), _conv(56, 256, 512, 1, 2),
    _conv(28, 512, 128, 1, 1, "relu"), _conv(28, 128, 128, 3, 1, "relu"),
    _conv(28, 512, 256, 1, 1, "relu"), _conv(28, 256, 256, 3, 2, "relu"),
    _conv(14, 256, 1024, 1, 1), _conv(28, 512, 1024, 1, 2),
    _conv(14, 1024, 256, 1, 1, "relu"), _conv(14, 256, 256, 3, 1, "relu"),
    _conv(14, 1024, 512, 1, 1, "relu"), _conv(14, 512, 512, 3, 2, "relu"),
    _conv(7, 512, 2048, 1, 1), _conv(14, 1024, 2048, 1, 2),
    _conv(7, 2048, 512, 1, 1, "relu"), _conv(7, 512, 512, 3, 1, "relu"),
    Dense("Gemm", 1, 2048, 1000),
)  # fmt: skip
"""Residual additions, which follow the layers without an activation, are left out, here and below."""

RESNET18: tuple[Workload, ...] = (
    _conv(224, 3, 64, 7, 2, "relu"),
    _conv(56, 64, 64, 3, 1, "relu"), _conv(56, 64, 64, 1, 1), _conv(56, 64, 128, 3, 2, "relu"),
    _conv(56, 64, 128, 1, 2), _conv(28, 128, 128, 3, 1, "relu"), _conv(28, 128, 256, 3, 2, "relu"),
    _conv(28, 128, 256, 1, 2), _conv(14, 256, 256, 3, 1, "relu"), _conv(14, 256, 512, 3, 2, "relu"),
    _conv(14, 256, 512, 1, 2), _conv(7, 512, 512, 3, 1, "relu"),
)  # fmt: skip

MOBILENET_V2: tuple[Workload, ...] = (
    _conv(224, 3, 32, 3, 2, "relu6"),
    _depthwise(112, 32, 1), _conv(112, 32, 16, 1, 1), _conv(112, 16, 96, 1, 1, "relu6"),
    _depthwise(112, 96, 2), _conv(56, 96, 24, 1, 1), _conv(56, 24, 144, 1, 1, "relu6"),
    _depthwise(56, 144, 1), _conv(56, 144, 24, 1, 1), _depthwise(56, 144, 2), _conv(28, 144, 32, 1, 1),
    _conv(28, 32, 192, 1, 1, "relu6"), _depthwise(28, 192, 1), _conv(28, 192, 32, 1, 1),
    _depthwise(28, 192, 2), _conv(14, 192, 64, 1, 1), _conv(14, 64, 384, 1, 1, "relu6"),
    _depthwise(14, 384, 1), _conv(14, 384, 64, 1, 1), _conv(14, 384, 96, 1, 1),
    _conv(14, 96, 576, 1, 1, "relu6"), _depthwise(14, 576, 1), _conv(14, 576, 96, 1, 1),
    _depthwise(14, 576, 2), _conv(7, 576, 160, 1, 1), _conv(7, 160, 960, 1, 1, "relu6"),
    _depthwise(7, 960, 1), _conv(7, 960, 160, 1, 1), _conv(7, 960, 320, 1, 1),
    _conv(7, 320, 1280, 1, 1, "relu6"), Dense("Gemm", 1, 1280, 1000),
)  # fmt: skip

BERT: tuple[Workload, ...] = (
    Dense("MatMul", 128, 768, 768),
    Dense("MatMul", 128, 768, 3072, activation="gelu"),
    Dense("MatMul", 128, 3072, 768),
    BatchMatmul("BatchMatMul", 128, 128, 64, count=12),
    BatchMatmul("BatchMatMul", 128, 64, 128, count=12),
    Dense("Gemm", 1, 768, 768, activation="tanh"),
)

DCGAN: tuple[Workload, ...] = (
    Dense("Gemm", 1, 100, 16384, bias=False, activation="relu"),
    *(
        Convolution("ConvTranspose", (h, h), c, c // 2, 4, 2, 1, transposed=True, bias=True, activation="relu")
        for h, c in ((4, 1024), (8, 512), (16, 256))
    ),
    Convolution("ConvTranspose", (32, 32), 128, 3, 4, 2, 1, transposed=True, activation="tanh"),
)

RESNET3D18: tuple[Workload, ...] = (
    Convolution("Conv3d", (16, 112, 112), 3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=True, activation="relu"),
    _conv3d(16, 56, 64, 64, 3, 1, "relu"), _conv3d(16, 56, 64, 64, 3, 1),
    _conv3d(16, 56, 64, 128, 3, 2, "relu"), _conv3d(16, 56, 64, 128, 1, 2),
    _conv3d(8, 28, 128, 128, 3, 1, "relu"), _conv3d(8, 28, 128, 128, 3, 1),
    _conv3d(8, 28, 128, 256, 3, 2, "relu"), _conv3d(8, 28, 128, 256, 1, 2),
    _conv3d(4, 14, 256, 256, 3, 1, "relu"), _conv3d(4, 14, 256, 256, 3, 1),
    _conv3d(4, 14, 256, 512, 3, 2, "relu"), _conv3d(4, 14, 256, 512, 1, 2),
    _conv3d(2, 7, 512, 512, 3, 1, "relu"), _conv3d(2, 7, 512, 512, 3, 1),
    Dense("Gemm", 1, 512, 400),
)  # fmt: skip

MEMORY: tuple[Workload, ...] = (
    Chain("add relu", (56, 56, 256)), Chain("add relu", (4096, 4096)),
    Chain("mul add tanh", (1024, 1024)), Chain("gelu", (128, 3072)), Chain("gelu", (4096, 3072)),
    Chain("exp", (4096, 4096)), Chain("softplus", (112, 112, 64)), Chain("sigmoid mul", (56, 56, 240)),
    Rows("Softmax", 12 * 128, 128), Rows("Softmax", 12 * 197, 197), Rows("Softmax", 1, 1000),
    Rows("Softmax", 1024, 4096),
    Rows("LayerNormalization", 128, 768), Rows("LayerNormalization", 197, 768),
    Rows("LayerNormalization", 4096, 1024),
    Transposition((56, 56, 256), (2, 0, 1)), Transposition((256, 56, 56), (1, 2, 0)),
    Transposition((128, 12, 64), (1, 0, 2)), Transposition((128, 12, 64), (1, 2, 0)),
    Transposition((97, 333), (1, 0)), Transposition((4096, 4096), (1, 0)),
    Window("MaxPool", 112, 64, 3, 2, 1), Window("AveragePool", 35, 192, 3, 1, 1), Window("AveragePool", 7, 2048, 7),
    Window("MaxPool", 20, 256, 13, 1, 6), Window("Resize", 28, 256), Window("Resize", 112, 32),
    Lookup(1, 30522, 768, 128), Lookup(64, 512, 64, 256), Reflected(32, 128, 3), Classes(21, 256),
    Reduction("ReduceMean", (512, 28, 28), 2), Reduction("ReduceMax", (4096, 1000), 1),
    Join(28 * 28, (256, 256)), Join(56 * 56, (96, 24)),
    Dense("Gemv", 1, 4096, 4096), Dense("Gemv", 1, 8192, 4096), Dense("Gemv", 1, 768, 30522),
    BatchMatmul("Odd", 197, 197, 64, count=12), BatchMatmul("Odd", 197, 64, 197, count=12),
    BatchMatmul("Odd", 97, 333, 251), BatchMatmul("Odd", 511, 513, 509), Dense("Odd", 49, 323, 331),
)  # fmt: skip
"""Layers that memory bounds, of real sizes, and products of odd ones."""

SUITES: dict[str, tuple[Workload, ...]] = {
    "paper": PAPER,
    "resnet50": RESNET50,
    "resnet18": RESNET18,
    "mobilenet_v2": MOBILENET_V2,
    "bert": BERT,
    "dcgan": DCGAN,
    "resnet3d18": RESNET3D18,
    "memory": MEMORY,
}
