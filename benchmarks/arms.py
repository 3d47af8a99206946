"""The arms of the backbone panel: ways to solve an image set, each by its test accuracy for every size and seed.

Raw pixels, random features and scratch do not depend on weights, and are not computed again for new ones.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks import glyphs, views
from benchmarks.ledger import Key, Ledger, Score
from benchmarks.panel import PROBLEMS, SIDE_PX, Problem, drawn, part, places
from benchmarks.strategies import task_of, test_accuracy
from tasks.backbone.catalog import Entry
from tasks.backbone.features import compute_features
from tasks.backbone.network import Backbone
from tasks.backbone.scores import Floats, ridge_predict, settle_batch_norm, thumbnails
from tasks.backbone.weights import build_network, open_entry
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.params import TrainParams
from tasks.contracts.progress import QUIET
from tasks.train.settings import recipe_of, strategies_of
from tasks.train.strategies import FeatureExtraction, Scratch, Strategy
from tasks.train.transfer import RESULTS, rank, transfer

PANEL: dict[str, Callable[[], Problem]] = PROBLEMS | {
    "letters": glyphs.letters,
    "signs": glyphs.signs,
    "typefaces": glyphs.typefaces,
    "flaws": views.flaws,
    "depth": views.depth,
    "stain": views.stain,
}
EACH = (10, 50)  # training images of a class
SCRATCH_RATES = (7e-4, 2e-3, 6e-3)
TUNING_SEEDS = {10: 3, 50: 1}  # so many try every rate of scratch; what is best on their val images is for all seeds
_TESTED = 400  # images at most
_CLASSES = {"photographs": 16, "digits": 10}  # six or fewer elsewhere; for the order of work only
_COST = {"scratch": 2.0, "fine_tuned": 1.0}


@dataclass(frozen=True)
class Job:
    """An arm of one set, and of one size of it where a network learns, for so many seeds."""

    arm: str
    problem: str
    sizes: tuple[int, ...]
    entry: Entry
    seeds: int
    ledger: Path

    @property
    def cost(self) -> float:
        """How long it takes beside the others, roughly."""
        return _COST.get(self.arm, 0.1) * sum(self.sizes) * _CLASSES.get(self.problem, 6)


@dataclass(frozen=True)
class Cell:
    """One score of a table."""

    backbone: str
    problem: str
    each: int
    seed: int
    arm: str
    score: Score


def run(job: Job) -> list[Cell]:
    """The cells of `job`, read from the ledger or computed and added to it."""
    os.environ[QUIET] = "1"
    torch.set_num_threads(1)
    found = ARMS[job.arm](job, Ledger(job.ledger))
    return [Cell(job.entry.name, key.problem, key.each, key.seed, key.arm, score) for key, score in found]


Found = Iterator[tuple[Key, Score]]


def _raw(job: Job, ledger: Ledger) -> Found:
    problem = _problem(job.problem)
    return _probed(job, ledger, "", lambda _seed: (thumbnails(problem.train.pixels), thumbnails(problem.test.pixels)))


def _random(job: Job, ledger: Ledger) -> Found:
    problem, (_, ref) = _problem(job.problem), _opened(job.entry)

    def features(seed: int) -> tuple[Floats, Floats]:
        network = build_network(ref, seed)
        settle_batch_norm(network, ref, problem.train.pixels)
        return compute_features(network, ref, problem.train.pixels), compute_features(network, ref, problem.test.pixels)

    return _probed(job, ledger, _layout(ref), features)


def _frozen(job: Job, ledger: Ledger) -> Found:
    problem, (network, ref) = _problem(job.problem), _opened(job.entry)

    @cache
    def features() -> tuple[Floats, Floats]:
        return compute_features(network, ref, problem.train.pixels), compute_features(network, ref, problem.test.pixels)

    return _probed(job, ledger, f"{_layout(ref)} {ref.weights_sha256[:16]}", lambda _seed: features())


def _probed(job: Job, ledger: Ledger, start: str, features: Callable[[int], tuple[Floats, Floats]]) -> Found:
    """A ridge classifier, its ridge chosen on the training images, on features of all images and of the test's."""
    problem = _problem(job.problem)
    for seed in range(job.seeds):
        keys = [_key(job, each, seed, job.arm, start) for each in job.sizes]
        missing = [key for key in keys if not ledger.get(key)]
        train, test = features(seed) if missing else (np.empty(0), np.empty(0))
        for key in missing:
            chosen, _ = places(problem, key.each, seed)
            with threadpool_limits(1, "blas"):  # the other core has a job of its own
                called = ridge_predict(train[chosen], problem.train.targets[chosen], test)
            ledger.add(key, Score(100 * float((called == problem.test.targets).mean())))
        yield from ((key, score) for key in keys if (score := ledger.get(key)))


def _fine_tuned(job: Job, ledger: Ledger) -> Found:
    """The default strategy; and a head on frozen features, which `auto` may choose."""
    _, ref = _opened(job.entry)
    start = f"{_layout(ref)} {ref.weights_sha256[:16]}"
    arms: dict[str, Strategy] = {"fine_tuned": strategies_of(TrainParams())[0], "head": FeatureExtraction()}
    for seed in range(job.seeds):
        for arm, strategy in arms.items():
            yield _learned(job, ledger, _key(job, job.sizes[0], seed, arm, start), strategy)


def _scratch(job: Job, ledger: Ledger) -> Found:
    """The same network from random weights at the learning rate that is best on val."""
    _, ref = _opened(job.entry)

    def learned(seed: int, rate: float) -> tuple[Key, Score]:
        key = _key(job, job.sizes[0], seed, job.arm, _layout(ref))
        return _learned(job, ledger, replace(key, rate=rate), Scratch())

    def on_val(rate: float) -> tuple[float, ...]:
        vals = [learned(seed, rate)[1].val for seed in range(min(job.seeds, TUNING_SEEDS[job.sizes[0]]))]
        return tuple(np.mean(vals, axis=0))

    best = max(SCRATCH_RATES, key=on_val)
    return (learned(seed, best) for seed in range(job.seeds))


def _learned(job: Job, ledger: Ledger, key: Key, strategy: Strategy) -> tuple[Key, Score]:
    if found := ledger.get(key):
        return key, found
    problem = _problem(job.problem)
    with TemporaryDirectory() as folder:
        task = task_of(problem, drawn(problem, key.each, key.seed), key.seed, (job.entry.name, Path(folder)))
        params = TrainParams()
        recipe = replace(recipe_of(params, key.seed), learning_rate=key.rate or params.learning_rate)
        trained = transfer(replace(task, recipe=recipe), strategy)
        accuracy = test_accuracy(trained.net, task, problem.test)
    return key, ledger.add(key, Score(accuracy, rank(trained.on_val)))


def _key(job: Job, each: int, seed: int, arm: str, start: str) -> Key:
    """A network's learning depends on the recipe as well."""
    learns = arm in ("fine_tuned", "head", "scratch")
    code = f"{torch.__version__} {RESULTS} {TrainParams().model_dump_json()}" if learns else torch.__version__
    recipe = hashlib.sha256(code.encode()).hexdigest()[:8]
    return Key(job.problem, _digest(job.problem), each, seed, arm, f"{start} {recipe}")


def _layout(ref: BackboneRef) -> str:
    """The network without its weights."""
    look = hashlib.sha256(repr((ref.input_px, ref.mean, ref.std)).encode()).hexdigest()
    return f"{ref.network} {look[:8]}"


@cache
def _problem(name: str) -> Problem:
    """The set, of its test images so many that a panel does not take long."""
    problem = PANEL[name]()
    tested = np.random.default_rng(0).permutation(len(problem.test))[:_TESTED]
    return replace(problem, test=part(problem.test, np.sort(tested)))


@cache
def _digest(name: str) -> str:
    problem = _problem(name)
    digest = hashlib.sha256()
    for values in (problem.train, problem.test):
        digest.update(np.ascontiguousarray(values.pixels).tobytes() + values.targets.tobytes())
    return digest.hexdigest()[:12]


@cache
def _opened(entry: Entry) -> tuple[Backbone, BackboneRef]:
    return open_entry(entry, SIDE_PX)


ARMS: dict[str, Callable[[Job, Ledger], Found]] = {
    "raw": _raw,
    "random": _random,
    "frozen": _frozen,
    "fine_tuned": _fine_tuned,
    "scratch": _scratch,
}
