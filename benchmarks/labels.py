"""`python -m benchmarks.labels`: label errors planted in two data sets whose labels are right, and what graft says.

Beside the precision and recall that the check reaches stand those that it states without knowing the truth. `alone` is
confident learning without graft's noise model, on the same predictions. A line is the mean of SEEDS fixed seeds.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.contracts.environment import prepare_environment

prepare_environment()

import numpy as np  # noqa: E402 - the environment comes first
import pandas as pd  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from PIL import Image  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

from tasks.contracts.images import Undecodable, decode  # noqa: E402
from tasks.contracts.progress import QUIET  # noqa: E402
from tasks.contracts.records import Statistic  # noqa: E402
from tasks.ingest.demo import make_demo  # noqa: E402
from tasks.quality.label_errors import LabelCheck, embed, find_label_errors  # noqa: E402
from tasks.quality.label_noise import doubts  # noqa: E402

SIDE_PX = 64
SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)
SEEDS = 3
HEAD = ("data", "errors", "share", "suspects", "precision", "stated", "recall", "stated", "noise stated", "alone")
UNCLEAN = ("wrong_label", "duplicate_across_classes", "duplicate", "dark", "text", "truncated")

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Data:
    """Frozen features (n, d) and right labels (n,), 0 to k - 1."""

    name: str
    features: Features
    labels: Labels


@dataclass(frozen=True)
class Trial:
    """One run: the check, which rows it suspects, which are wrong, and which confident learning alone flags."""

    check: LabelCheck
    suspect: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    alone: NDArray[np.bool_]


def main() -> int:
    os.environ[QUIET] = "1"
    rows: list[tuple[str, ...]] = [HEAD]
    for data in (digits(), demo()):
        confused = _confusion(data)
        rows.append(_line(data, "none", 0.0, [_trial(data, data.labels, 0)]))
        for kind, confusion in (("uniform", None), ("confusable", confused)):
            for share in SHARES:
                planted = [plant(data.labels, share, confusion, seed) for seed in range(SEEDS)]
                trials = [_trial(data, labels, seed) for seed, labels in enumerate(planted)]
                rows.append(_line(data, kind, share, trials))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def digits() -> Data:
    """scikit-learn's 1,797 handwritten digits, enlarged."""
    bunch = load_digits()
    pixels = [Image.fromarray((image * 255 / 16).astype(np.uint8)) for image in bunch.images]
    stack = np.stack([np.asarray(one.resize((SIDE_PX, SIDE_PX)).convert("RGB")) for one in pixels])
    return _embedded("digits", stack, bunch.target.astype(np.int64))


def demo() -> Data:
    """The demo's crops of photographs, but for the flaws planted in it."""
    with TemporaryDirectory() as folder:
        make_demo(Path(folder), seed=0)
        table = pd.read_csv(Path(folder, "metadata.csv"))
        kept = []
        for row in table[~table["planted"].isin(UNCLEAN)].itertuples():
            try:
                kept.append((decode(Path(folder, str(row.path)).read_bytes(), SIDE_PX).pixels, str(row.path)))
            except Undecodable:
                continue
    labels = pd.factorize(np.array([path.split("/")[0] for _, path in kept]), sort=True)[0]
    return _embedded("demo", np.stack([pixels for pixels, _ in kept]), labels.astype(np.int64))


def plant(labels: Labels, share: float, confusion: NDArray[np.float64] | None, seed: int) -> Labels:
    """`labels` with a share of them changed: to any other class, or at the rates of `confusion` (k, k)."""
    rng, classes = np.random.default_rng([seed, 77]), int(labels.max()) + 1
    changed = labels.copy()
    for row in rng.choice(len(labels), round(share * len(labels)), replace=False):
        rates = np.ones(classes) if confusion is None else confusion[labels[row]].copy()
        rates[labels[row]] = 0
        changed[row] = rng.choice(classes, p=rates / rates.sum())
    return changed


def _embedded(name: str, pixels: NDArray[np.uint8], labels: Labels) -> Data:
    with TemporaryDirectory() as cache:
        return Data(name, embed(pixels, [f"{row:064x}" for row in range(len(pixels))], Path(cache)), labels)


def _confusion(data: Data) -> NDArray[np.float64]:
    """Out-of-fold confusions of the right labels; a class never confused gives all others alike."""
    called = doubts(data.features, data.labels, _alone(data), 99).called
    table = pd.crosstab(data.labels, called).reindex(columns=range(int(data.labels.max()) + 1), fill_value=0)
    return table.to_numpy(float) + 1e-9


def _alone(data: Data) -> NDArray[np.str_]:
    return np.arange(len(data.labels)).astype(str)


def _trial(data: Data, labels: Labels, seed: int) -> Trial:
    check = find_label_errors(data.features, [str(label) for label in labels], range(len(labels)), seed)
    suspect = np.zeros(len(labels), bool)
    suspect[[one.row for one in check.suspects]] = True
    alone = doubts(data.features, labels, _alone(data), seed).confident
    return Trial(check, suspect, labels != data.labels, alone)


def _line(data: Data, kind: str, share: float, trials: list[Trial]) -> tuple[str, ...]:
    flagged = [trial for trial in trials if trial.suspect.any()]
    recall = trials[0].check.recalls[0 if kind == "uniform" else 1].name
    stated = [one for trial in trials for one in trial.check.recalls if one.name == recall]
    return (
        data.name,
        kind,
        f"{share:.0%}",
        f"{np.mean([trial.suspect.sum() for trial in trials]):.0f} of {trials[0].wrong.sum()}",
        _percent([trial.wrong[trial.suspect].mean() for trial in flagged]),
        _stated([trial.check.precision for trial in flagged]),
        _percent([trial.suspect[trial.wrong].mean() for trial in trials if trial.wrong.any()]),
        _stated(stated),
        _stated([trial.check.noise for trial in trials]),
        " / ".join(
            _percent(values)
            for values in (
                [trial.wrong[trial.alone].mean() for trial in trials if trial.alone.any()],
                [trial.alone[trial.wrong].mean() for trial in trials if trial.wrong.any()],
            )
        ),
    )


def _percent(values: list[float]) -> str:
    return f"{np.mean(values):.0%}" if values else "-"


def _stated(statistics: list[Statistic]) -> str:
    known = [(one.value, one.low, one.high) for one in statistics if one.value is not None]
    if not known:
        return "not measurable"
    value, low, high = np.array(known, float).mean(axis=0)
    unknown = len(statistics) - len(known)
    return f"{value:.0%} ({low:.0%} to {high:.0%})" + (f", {unknown} x not" if unknown else "")


if __name__ == "__main__":
    sys.exit(main())
