"""Gradient-boosted trees over the residual of the analytic models: one model for all tasks (OSDI'20, 5.2).

A model predicts log2(seconds) - log2(estimated cycles). Squared errors are weighted by a candidate's throughput over
its task's best: the search needs to know the good ones apart. Without data it says what the analytic models say.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ansorc.compiler.cost_model.features import NAMES
from ansorc.compiler.errors import UnusableModelError
from ansorc.compiler.options import NO_COST_MODEL, SHIPPED_COST_MODEL, Options
from ansorc.compiler.output import whole_file

Array = NDArray[Any]
FORMAT = 1
ROUNDS, LEAVES, RATE, LEAST_SAMPLES = 150, 24, 0.1, 4
LEAST_ROWS = 24
"""Fewer measured candidates teach nothing."""
MOST_ROWS = 20_000
"""Training takes about a second for so many; of more, the latest are taken."""
LEAST_WEIGHT = 0.05
SHIPPED = Path(__file__).with_name("x86-64.npz")
"""Trained on records of AVX-512 and AVX2 code, all measured on Zen 4; `make cost-model` makes another."""


@dataclass(frozen=True)
class Trees:
    """A trained model: nodes of all trees, one behind the other, in plain arrays."""

    base: float
    starts: Array
    """Number of each tree's root."""
    feature: Array
    threshold: Array
    left: Array
    right: Array
    value: Array
    """Of leaves; inner nodes have 0."""
    leaf: Array

    def predict(self, rows: Array) -> Array:
        """Return log2 of seconds over cycles for each row."""
        result = np.full(len(rows), self.base)
        each = np.arange(len(rows))
        for start in self.starts:
            node = np.full(len(rows), start)
            while True:
                inner = ~self.leaf[node]
                if not inner.any():
                    break
                at = node[inner]
                goes_left = rows[each[inner], self.feature[at]] <= self.threshold[at]
                node[inner] = np.where(goes_left, self.left[at], self.right[at])
            result += self.value[node]
        return result

    @property
    def digest(self) -> str:
        """Name these trees: what a search that starts from them depends on."""
        parts = (self.starts, self.feature, self.threshold, self.left, self.right, self.value)
        return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write the arrays (numpy's npz, without pickle) to a file that appears whole."""
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, format=FORMAT, names=np.array(NAMES), **self.__dict__)

    @staticmethod
    def load(path: Path) -> Trees:
        """Read what `save` wrote; raises UnusableModelError."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                raw = dict(stored)
        except (OSError, ValueError, EOFError) as error:
            raise UnusableModelError(path, str(error)) from error
        if int(raw.pop("format", 0)) != FORMAT or tuple(raw.pop("names", ())) != NAMES:
            raise UnusableModelError(path, "it was trained by another version")
        return Trees(float(raw.pop("base")), **raw)


def choosing_model(options: Options) -> Path | None:
    """Return the model that is to choose schedules where nothing is measured; only one that is asked for does.

    The shipped one knows kernels that run alone, with all they need in caches. In whole networks, whose weights come
    from memory, its choices were no faster than those of the closed-form models, and sometimes slower.
    """
    if options.cost_model in (None, NO_COST_MODEL):
        return None
    return SHIPPED if options.cost_model == SHIPPED_COST_MODEL else Path(str(options.cost_model))


def starting_model(options: Options) -> Path | None:
    """Return the model that a search starts from: the shipped one, where it fits the target, if none is asked for."""
    wide = options.target.arch == "x86_64" and options.target.vector_bits >= 256
    return SHIPPED if options.cost_model is None and wide else choosing_model(options)


def train(rows: Array, residuals: Array, weights: Array, seed: int = 0) -> Trees:
    """Fit trees to `residuals` (log2 of seconds over cycles)."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    varying = np.flatnonzero(rows.max(axis=0) > rows.min(axis=0))  # scikit-learn cannot bin a constant
    trainer = HistGradientBoostingRegressor(
        max_iter=ROUNDS, max_leaf_nodes=LEAVES, learning_rate=RATE, min_samples_leaf=LEAST_SAMPLES,
        early_stopping=False,  # pyright: ignore[reportArgumentType]
        random_state=seed,
    )  # fmt: skip
    # On one core: OpenMP's threads spin, and take minutes instead of a second where anything else runs on theirs.
    with threadpool_limits(1):
        model = trainer.fit(rows[:, varying], residuals, sample_weight=weights)
    trees = [stage[0].nodes for stage in model._predictors]  # pyright: ignore[reportPrivateUsage]
    starts = np.cumsum([0, *(len(t) for t in trees[:-1])])
    nodes = np.concatenate(trees)
    shift = np.repeat(starts, [len(t) for t in trees])
    leaf = nodes["is_leaf"].astype(bool)
    return Trees(
        float(np.ravel(model._baseline_prediction)[0]),  # pyright: ignore[reportPrivateUsage]
        starts, varying[nodes["feature_idx"].astype(np.int32)], nodes["num_threshold"],
        nodes["left"].astype(np.int64) + shift, nodes["right"].astype(np.int64) + shift,
        np.where(leaf, nodes["value"], 0.0), leaf,
    )  # fmt: skip


@dataclass
class CostModel:
    """What has been measured, and the trees that were trained on it last."""

    seed: int = 0
    pretrained: Trees | None = None
    """Trees that were trained before; what is measured now teaches their residual."""
    trees: Trees | None = None
    rows: list[Array] = field(default_factory=list[Array])
    cycles: list[float] = field(default_factory=list[float])
    seconds: list[float] = field(default_factory=list[float])
    tasks: list[str] = field(default_factory=list[str])
    trained: int = 0
    """How many rows the trees have seen."""

    def add(self, task: str, row: Array, cycles: float, seconds: float) -> None:
        """Remember a measured candidate."""
        self.rows.append(row)
        self.cycles.append(cycles)
        self.seconds.append(seconds)
        self.tasks.append(task)

    def update(self) -> None:
        """Train again, if there is a fifth more than last time."""
        if len(self.rows) < LEAST_ROWS or len(self.rows) < 1.2 * self.trained:
            return
        self.trained = len(self.rows)
        rows = np.array(self.rows[-MOST_ROWS:])
        seconds, cycles = np.array(self.seconds[-MOST_ROWS:]), np.array(self.cycles[-MOST_ROWS:])
        names = self.tasks[-MOST_ROWS:]
        best: dict[str, float] = {}
        for name, s in zip(names, seconds, strict=True):
            best[name] = min(s, best.get(name, s))
        weights = np.maximum(np.array([best[n] for n in names]) / seconds, LEAST_WEIGHT)
        residuals = np.log2(seconds / cycles)
        if self.pretrained is not None:
            residuals -= self.pretrained.predict(rows)
        self.trees = train(rows, residuals, weights, self.seed)

    def predict(self, rows: Array, cycles: Array) -> Array:
        """Return predicted seconds; cycles where nothing has been learned."""
        estimated = cycles
        for trees in (self.pretrained, self.trees):
            if trees is not None and len(rows):
                estimated = estimated * np.exp2(trees.predict(rows))
        return estimated
