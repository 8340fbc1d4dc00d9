"""The search: legal points, determinism, what is chosen, and how trials are shared among tasks."""

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path

import pytest
from search_fakes import Inventor, invented_seconds, tasks

from ansorc.compiler.errors import InvalidOptionError
from ansorc.compiler.records.database import Records
from ansorc.compiler.search.crossover import cross
from ansorc.compiler.search.evolution import Evolution, evolve
from ansorc.compiler.search.final_ranking import CONTENDERS, FINALISTS
from ansorc.compiler.search.mutate import mutate
from ansorc.compiler.search.policy import POLICIES, SearchSettings
from ansorc.compiler.search.sample import default_points, sample_points
from ansorc.compiler.search.scheduler import (
    Goal,
    Progress,
    Scheduler,
    required_latency,
    speedup,
    total_latency,
)
from ansorc.compiler.search.task import Point, SearchTask
from ansorc.compiler.search.tuner import Budget, Event, Settings, Tuned, tune
from ansorc.compiler.sketch.candidate import Candidate
from ansorc.tools.workloads import AttentionScores, BatchMatmul, Dense
from ansorc.tools.workloads_convolution import Convolution

SMALL = Evolution(population=64, generations=2)


@pytest.fixture(scope="module")
def several() -> list[SearchTask]:
    return tasks(
        Convolution("C2D", (14, 14), 32, 64, 3, 1, 1, bias=True, activation="relu"),
        Dense("D", 97, 64, 96),
        AttentionScores(64, 2, 32),
        Convolution("DEP", (14, 14), 32, 32, 3, 2, 1, groups=32),
    )


@pytest.fixture(scope="module")
def product() -> SearchTask:
    return tasks(BatchMatmul("GMM", 128, 128, 128))[0]


def _legal(task: SearchTask, point: Point) -> bool:
    space = task.spaces[point.space]
    return space.illegal(task.candidate(point)) is None


def test_children_of_legal_points_are_legal(several: list[SearchTask]) -> None:
    generator = random.Random(1)
    for task in several:
        parents = sample_points(task, 20, generator)
        assert len(set(parents)) == len(parents)
        children: set[Point] = set()
        for parent in parents:
            mutant, child = mutate(task, parent, generator), cross(task, parent, generator.choice(parents), generator)
            children |= {p for p in (mutant, child) if p is not None}
            assert mutant != parent
        assert all(_legal(task, p) for p in children)
        assert len(children - set(parents)) > len(parents) // 2


def test_a_mutation_can_change_the_algorithm(several: list[SearchTask]) -> None:
    task, generator = several[0], random.Random(0)
    assert {s.kind.name for s in task.spaces} == {"register-tile", "winograd"}
    (point,) = sample_points(task, 1, generator)
    assert {p.space for _ in range(400) if (p := mutate(task, point, generator)) is not None} == {0, 1}


def test_points_are_candidates(several: list[SearchTask]) -> None:
    for task in several:
        for point in [*default_points(task), *sample_points(task, 5, random.Random(0))]:
            assert task.point(task.candidate(point)) == point


def test_evolution_beats_sampling(product: SearchTask) -> None:
    def seconds(point: Point) -> float:
        return invented_seconds(product.candidate(point))

    evolved, sampled = 0.0, 0.0
    for seed in range(8):
        generator = random.Random(seed)
        first = sample_points(product, 64, generator)
        found = evolve(product, first, lambda ps: [seconds(p) for p in ps], 8, generator, Evolution(64, 8))
        assert found == sorted(found, key=seconds)
        again = evolve(product, first, lambda ps: [seconds(p) for p in ps], 8, generator, SMALL, measured=found)
        assert not set(again) & set(found)
        evolved += seconds(found[0])
        sampled += min(map(seconds, sample_points(product, 64 * 9, generator)))
    assert evolved < sampled


def _tune(
    task_list: list[SearchTask], measurer: Inventor, trials: int, path: Path | None = None, **settings: object
) -> Tuned:
    search = SearchSettings(SMALL, batch=8, **settings)  # pyright: ignore[reportArgumentType]
    known = Settings("machine", 2, seed=3, search=search)
    if path is None:
        return tune(task_list, measurer, known, Budget(trials))
    with Records(path) as records:
        return tune(task_list, measurer, known, Budget(trials), records)


def test_the_shortest_time_allows_one_batch(product: SearchTask) -> None:
    known = Settings("machine", 2, seed=3, search=SearchSettings(SMALL, batch=8))
    assert tune([product], Inventor(), known, Budget(seconds=1.0)).trials == 8


@pytest.mark.parametrize("before", [0.0, 57.0, 3600.0])
def test_what_went_before_counts(product: SearchTask, before: float) -> None:
    known = Settings("machine", 2, seed=3, search=SearchSettings(SMALL, batch=8))
    events: list[Event] = []
    budget = Budget(trials=16, seconds=60.0, began=time.perf_counter() - before)
    assert tune([product], Inventor(), known, budget, watch=events.append).trials == (16 if before == 0.0 else 8)
    assert all(before <= event.seconds < before + 60 for event in events)


def test_the_budget_is_kept_and_no_candidate_comes_twice(several: list[SearchTask]) -> None:
    inventor = Inventor()
    tuned = _tune(several, inventor, 50)
    assert tuned.trials == len(inventor.asked) == len(set(inventor.asked)) == 50
    assert set(tuned.best) == {t.name for t in several}
    assert [p.trials for p in tuned.progress] == [sum(n == t.name for n, _ in inventor.asked) for t in several]
    for task in several:
        fastest = min(invented_seconds(c) for n, c in inventor.asked if n == task.name)
        assert tuned.seconds[task.name] == fastest


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_policy_finds_something(several: list[SearchTask], policy: str) -> None:
    inventor = Inventor()
    tuned = _tune(several, inventor, 96, policy=policy)
    assert len(set(inventor.asked)) == len(inventor.asked) == 96
    for task in several:
        assert tuned.seconds[task.name] <= invented_seconds(task.candidate(default_points(task)[0]))
    assert any(tuned.seconds[t.name] < invented_seconds(t.candidate(default_points(t)[0])) for t in several)


def test_a_limited_space_varies_tiles_and_chunks_alone(several: list[SearchTask]) -> None:
    inventor = Inventor()
    _tune(several[:1], inventor, 48, policy="limited-space")
    (task,) = several[:1]
    default = default_points(task)[0]
    asked = [p for _, c in inventor.asked if (p := task.point(c)) is not None][len(task.spaces) :]
    space = task.spaces[default.space]
    assert len(asked) > 20
    for point in asked:
        assert point.space == default.space
        changed = {
            d.role for d, new, old in zip(space.decisions, point.values, default.values, strict=True) if new != old
        }
        assert changed <= {"tile", "parallel", "unroll", "location"}


def test_the_model_learns_what_the_search_measured(product: SearchTask) -> None:
    first, later = Inventor(), Inventor()
    _tune([product], first, 40)
    _tune([product], later, 160)
    assert later.asked[:32] == first.asked[:32]
    times = [invented_seconds(c) for _, c in later.asked]
    assert sum(times[80:]) < sum(times[:80])


@pytest.mark.parametrize("fate", ["wrong answer", "crash", "run timeout", "compile error"])
def test_what_failed_is_never_chosen(product: SearchTask, fate: str) -> None:
    inventor = Inventor(broken=fate)
    tuned = _tune([product], inventor, 30)
    failed = {c for k, (_, c) in enumerate(inventor.asked, 1) if k % 3 == 0}
    assert tuned.best[product.name] not in failed


@pytest.mark.parametrize("trials", [30, 150])  # of so many, more look fast than are measured once more
def test_what_looked_fast_by_luck_is_not_chosen(product: SearchTask, tmp_path: Path, trials: int) -> None:
    inventor = Inventor(lucky=True)
    tuned = _tune([product], inventor, trials, tmp_path / "r.db")
    assert len(set(inventor.confirmed)) > FINALISTS
    assert tuned.best[product.name] in inventor.confirmed
    assert tuned.seconds[product.name] == min(map(invented_seconds, inventor.confirmed))
    with Records(tmp_path / "r.db") as records:
        best = records.best(product.name, "machine", threads=2)
    assert best is not None
    assert best.candidate == tuned.best[product.name]


def test_a_kernel_that_was_lucky_twice_is_measured_again(product: SearchTask, tmp_path: Path) -> None:
    inventor = Inventor(lucky=True, twice=True)
    tuned = _tune([product], inventor, 150, tmp_path / "r.db")
    often = {c for c, times in Counter(inventor.confirmed).items() if times > 1}
    assert tuned.best[product.name] in often
    assert tuned.seconds[product.name] == min(map(invented_seconds, often))


def test_a_resumed_search_goes_on_as_if_nothing_had_happened(several: list[SearchTask], tmp_path: Path) -> None:
    whole, first, second = Inventor(), Inventor(interrupt_after=40), Inventor()
    expected = _tune(several, whole, 72, tmp_path / "whole.db")
    stopped = _tune(several, first, 72, tmp_path / "parts.db")
    assert stopped.interrupted
    assert stopped.best
    resumed = _tune(several, second, 72, tmp_path / "parts.db")
    assert [*first.asked, *second.asked] == whole.asked
    assert resumed.best == expected.best
    assert resumed.seconds == expected.seconds
    idle = Inventor()
    _tune(several, idle, 72, tmp_path / "parts.db")
    assert idle.asked == []


def test_another_search_starts_from_what_is_known(product: SearchTask, tmp_path: Path) -> None:
    first, second = Inventor(), Inventor()
    found = _tune([product], first, 40, tmp_path / "r.db")
    with Records(tmp_path / "r.db") as records:
        known = Settings("machine", 2, seed=4, search=SearchSettings(SMALL, batch=8))
        tuned = tune([product], second, known, Budget(16), records)
    assert not set(first.asked) & set(second.asked)
    assert tuned.seconds[product.name] <= found.seconds[product.name]


def test_a_task_without_more_candidates_ends(tmp_path: Path) -> None:
    (task,) = tasks(Dense("D", 2, 4, 4, bias=False))
    count = sum(space.count() for space in task.spaces)
    inventor = Inventor()
    tuned = _tune([task], inventor, 10_000)
    assert len(inventor.asked) <= count
    assert tuned.progress[0].dead == "all its candidates are measured"


def _progress(task: SearchTask, *curve: float, dead: str = "") -> Progress:
    return Progress(task, list(curve), 8 * len(curve), dead)


def _scheduler(*progress: Progress, strategy: str = "gradient", weights: tuple[float, ...] = ()) -> Scheduler:
    objective = total_latency(weights or (1.0,) * len(progress))
    return Scheduler(progress, objective, random.Random(0), strategy, epsilon=0.0)


def test_every_task_has_its_first_batch_first(several: list[SearchTask]) -> None:
    a, b, c, _ = several
    assert _scheduler(_progress(a, 1.0), _progress(b), _progress(c)).choose() == 1
    assert _scheduler(_progress(a, 1.0), _progress(b, dead="broken"), _progress(c)).choose() == 2
    assert _scheduler(_progress(a, dead="x")).choose() is None


def test_the_gradient_goes_where_most_is_won(several: list[SearchTask]) -> None:
    a, b = several[0], several[2]
    falling, still = _progress(a, 8.0, 4.0, 2.0, 1.0), _progress(b, 1.0, 1.0, 1.0, 1.0)
    assert _scheduler(falling, still).choose() == 0
    assert _scheduler(still, falling).choose() == 1
    assert _scheduler(still, falling, strategy="round-robin").choose() == 0
    assert _scheduler(_progress(a, 1.0, 1.0), _progress(b, 1.0, 1.0), weights=(1.0, 10.0)).choose() == 1
    assert _scheduler(_progress(a, 1.0, 1.0), _progress(b, inf)).choose() == 1


def test_objectives_of_several_networks() -> None:
    networks, seconds = ((1.0, 2.0), (0.0, 3.0)), (2.0, 5.0)
    assert total_latency(*networks)(seconds) == 12 + 15
    assert required_latency(networks, (20.0, 10.0))(seconds) == 20 + 15
    assert speedup(networks)(seconds) == pytest.approx(-1 / (12 * 15) ** 0.5)
    for name, required in (("fastest", ()), ("required", (1.0,)), ("latency", (1.0, 1.0))):
        with pytest.raises(InvalidOptionError, match=r"objective|required"):
            Goal(({}, {}), name, required)


def test_a_goal_knows_what_each_network_calls(several: list[SearchTask]) -> None:
    a, b = several[0], several[2]
    goal = Goal(({a.name: 2}, {a.name: 1, b.name: 3}), "required", (5.0, 1.0))
    assert goal.objective([a, b])((1.0, 2.0)) == 5 + 7


def test_a_search_ends_when_little_is_promised(several: list[SearchTask]) -> None:
    a, b = several[0], several[2]
    assert _scheduler(_progress(a, 1.0), _progress(b)).promise() == inf
    early = _scheduler(_progress(a, 8.0, 4.0), _progress(b, 1.0, 1.0)).promise()
    late = _scheduler(_progress(a, *[4.0] * 40), _progress(b, *[1.0] * 40)).promise()
    assert early > 0.1 > late > 0
    assert _scheduler(_progress(a, 1.0, dead="x")).promise() == 0.0


def test_nothing_is_won_beyond_what_is_required(several: list[SearchTask]) -> None:
    fast, slow = _progress(several[0], 1.0, 0.9), _progress(several[2], 1.0, 0.99)
    objective = required_latency(((1.0, 0.0), (0.0, 1.0)), (5.0, 0.1))
    scheduler = Scheduler((fast, slow), objective, random.Random(0), epsilon=0.0)
    assert scheduler.gradient(0) == 0.0
    assert scheduler.choose() == 1


def test_settings_are_checked() -> None:
    for wrong in ({"batch": 0}, {"eps_greedy": 2.0}, {"policy": "best"}):
        with pytest.raises(InvalidOptionError, match=next(iter(wrong))):
            SearchSettings(**wrong)  # pyright: ignore[reportArgumentType]
    for wrong in ({"population": 0}, {"mutation_probability": -1.0}):
        with pytest.raises(InvalidOptionError, match=next(iter(wrong))):
            Evolution(**wrong)  # pyright: ignore[reportArgumentType]


def test_candidates_keep_their_order(product: SearchTask) -> None:
    drawn = [product.candidate(p) for p in sample_points(product, 30, random.Random(5))]
    assert all(isinstance(c, Candidate) for c in drawn)
    assert [product.candidate(p) for p in sample_points(product, 30, random.Random(5))] == drawn


def test_what_is_fastest_inside_the_network_wins(several: list[SearchTask], tmp_path: Path) -> None:
    asked: dict[str, Sequence[Candidate]] = {}

    def inside(choices: Mapping[str, Sequence[Candidate]]) -> Mapping[str, Mapping[Candidate, float]]:
        asked.update(choices)
        return {n: {c: 9.0 + (c is not cs[-1]) for c in cs} for n, cs in choices.items() if n != several[1].name}

    known = Settings("machine", 2, seed=3, search=SearchSettings(SMALL, batch=8))
    with Records(tmp_path / "r.db") as records:
        alone = _tune(several, Inventor(), 72)
        tuned = tune(several, Inventor(), known, Budget(72), records, inside=inside)
        for task in several:
            contenders = asked[task.name]
            assert contenders[0] == alone.best[task.name]
            assert 2 <= len(contenders) <= CONTENDERS + 1
            (default,) = (task.candidate(p) for p in default_points(task)[:1])
            assert default in contenders
            winner = contenders[0] if task is several[1] else contenders[-1]
            assert tuned.best[task.name] == winner
            assert tuned.seconds[task.name] == pytest.approx(alone.seconds[task.name])
            best = records.best(task.name, "machine", threads=2)
            assert best is not None
            assert best.candidate == winner
