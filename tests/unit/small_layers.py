"""Layers of the memory suite, small enough for every engine's test."""

from ansorc.tools.workloads import Workload
from ansorc.tools.workloads_memory import CHAINS, Chain, Join, Rows, Transposition, Window
from ansorc.tools.workloads_places import Classes, Lookup, Reduction, Reflected

MEMORY: tuple[Workload, ...] = (
    *(Chain(operators, (3, 5)) for operators in CHAINS),
    Rows("Softmax", 3, 7),
    Rows("LayerNormalization", 3, 7),
    Transposition((3, 4, 5), (2, 0, 1)),
    Window("MaxPool", 7, 3, 3, 2, 1),
    Window("AveragePool", 5, 3, 3, 1, 1),
    Window("Resize", 4, 3),
    Join(3, (4, 5)),
    Lookup(2, 7, 5, 9),
    Reflected(3, 6, 2),
    Classes(4, 5),
    Reduction("ReduceMean", (6, 3, 5), 2),
    Reduction("ReduceMax", (6, 9), 1),
)
