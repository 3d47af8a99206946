"""What trained networks give of images: the logits and features that the benchmarks of prediction work on.

Training is the costly part; what a network gave is kept in `.graft/benchmarks/outputs`, and a run goes on from there.
"""

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from benchmarks import strangers
from benchmarks.arms import PANEL
from benchmarks.panel import Pool, Problem, part
from benchmarks.strategies import task_of
from tasks.contracts.files import replacing
from tasks.contracts.params import TrainParams
from tasks.contracts.progress import QUIET
from tasks.ingest.crops import PHOTOGRAPHS
from tasks.train.predictor import Outputs, outputs
from tasks.train.settings import strategies_of
from tasks.train.strategies import FeatureExtraction, Strategy
from tasks.train.transfer import RESULTS, transfer

STRATEGIES: dict[str, Strategy] = {"fine_tuned": strategies_of(TrainParams())[0], "frozen": FeatureExtraction()}
EACH = 40  # training images of a class
SHARES = {"val": 0.25, "promotion": 1 / 6}  # of the training images, as quality.splits has them
_TESTED, _STRANGERS = 600, 200
_FOLDER = Path(".graft/benchmarks/outputs")
_HELD = ("retina", "pagoda", "coffee", "rocket")  # classes that the set of photographs is left without
_OF_SET = {
    "photographs": tuple(one.label for one in PHOTOGRAPHS if one.label not in _HELD),
    "surfaces": ("brick", "grass", "gravel", "moon", "tissue", "galaxies"),
}

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cell:
    """One training: on which set, with which backbone, how, and by which seed."""

    problem: str
    backbone: str
    strategy: str
    seed: int

    @property
    def path(self) -> Path:
        """Where its outputs are kept; another recipe, torch or set of strangers has another place."""
        code = f"{torch.__version__} {RESULTS} {EACH} {TrainParams().model_dump_json()}"
        code += Path(strangers.__file__).read_text(encoding="utf-8")
        recipe = hashlib.sha256(code.encode()).hexdigest()[:8]
        name = f"{self.problem}-{self.backbone.replace('/', '-')}-{self.strategy}-{self.seed}-{recipe}.safetensors"
        return _FOLDER / name


@dataclass(frozen=True)
class Given:
    """Logits, features and targets of the splits train, val, promotion and test; the same of strangers, by kind."""

    splits: dict[str, tuple[Outputs, Ints]]
    strangers: dict[str, Outputs]


def given(cell: Cell) -> Given:
    """What the network of `cell` gives, trained now where it is not known yet."""
    if not cell.path.is_file():
        os.environ[QUIET] = "1"
        torch.set_num_threads(1)
        with replacing(cell.path) as kept:
            save_file(_trained(cell), kept)
    return _read(load_file(cell.path))


def images_of(cell: Cell) -> dict[str, NDArray[np.uint8]]:
    """The pixels behind `given`, by split and by kind of stranger."""
    pools = _split(_whole(cell.problem), cell.seed)
    return {name: pool.pixels for name, pool in pools.items()} | _strangers(cell)


def _trained(cell: Cell) -> dict[str, NDArray[np.generic]]:
    problem = _whole(cell.problem)
    splits = _split(problem, cell.seed)
    with TemporaryDirectory() as folder:
        task = task_of(problem, (splits["train"], splits["val"]), cell.seed, (cell.backbone, Path(folder)))
        net = transfer(task, STRATEGIES[cell.strategy]).net
    found: dict[str, NDArray[np.generic]] = {}
    images = {name: pool.pixels for name, pool in splits.items()} | _strangers(cell)
    for name, pixels in images.items():
        made = outputs(net, task.backbone, pixels)
        found |= {f"{name}/logits": made.logits, f"{name}/features": made.features}
    return found | {f"{name}/targets": pool.targets for name, pool in splits.items()}


def _read(kept: dict[str, NDArray[np.generic]]) -> Given:
    names = dict.fromkeys(name.rpartition("/")[0] for name in kept)
    made = {name: Outputs(kept[f"{name}/logits"], kept[f"{name}/features"]) for name in names}
    splits = {name: (one, kept[f"{name}/targets"]) for name, one in made.items() if f"{name}/targets" in kept}
    return Given(splits, {name: one for name, one in made.items() if name not in splits})


def _whole(name: str) -> Problem:
    """The set with its two parts in one pool: what is calibrated on is of the same kind as what is tested on."""
    problem = PANEL[name]()
    parts = (problem.train, problem.test)
    pool = Pool(np.concatenate([one.pixels for one in parts]), np.concatenate([one.targets for one in parts]))
    if name == "photographs":
        classes = [number for number, one in enumerate(PHOTOGRAPHS) if one.label not in _HELD]
        pool = part(pool, np.flatnonzero(np.isin(pool.targets, classes)))
        pool = replace(pool, targets=np.searchsorted(classes, pool.targets).astype(np.int64))
    return Problem(name, int(pool.targets.max()) + 1, pool, pool)


def _split(problem: Problem, seed: int) -> dict[str, Pool]:
    """Train with EACH of a class, then val, promotion and test at random."""
    rng = np.random.default_rng([seed, 11])
    order = rng.permutation(len(problem.train))
    each = min(EACH, len(order) // problem.classes * 3 // 5)
    targets = problem.train.targets[order]
    rank = np.array([np.count_nonzero(targets[:i] == targets[i]) for i in range(len(order))])
    train, rest = order[rank < each], order[rank >= each]
    sizes = np.cumsum([round(share * len(train)) for share in SHARES.values()])
    val, promotion, test = np.split(rest, sizes)
    chosen = {"train": train, "val": val, "promotion": promotion, "test": test[:_TESTED]}
    return {name: part(problem.train, places) for name, places in chosen.items()}


def _strangers(cell: Cell) -> dict[str, NDArray[np.uint8]]:
    rng = np.random.default_rng([cell.seed, 12])
    other = tuple(one.label for one in PHOTOGRAPHS if one.label not in _OF_SET.get(cell.problem, ()))
    found = {
        "other photographs": strangers.photographs(other, _STRANGERS, rng),
        "noise": strangers.noise(_STRANGERS, rng),
        "clouds": strangers.clouds(_STRANGERS, rng),
        "text pages": strangers.text_pages(_STRANGERS, rng),
    }
    others = (name for name in ("digits", "faces") if name != cell.problem)
    return found | {f"the set {name}": strangers.other_set(name, _STRANGERS, rng) for name in others}
