"""`python -m benchmarks.mitigation [--seeds N] [--kinds KIND ...]`: what acting on a bias gains, and what it costs.

Half of the classes of a real image set get a trait that nothing in them has: 95 % of their images, and 5 % of the
others', in train, val and test alike. A network is trained as it is and by the means that `bias.mitigate` stands for.
Both are judged on these test images, where the trait helps, and where it was to help: on the same images with the trait
given out anew, for `association` on the worst cell of class and value. In percentage points, 95 % t intervals.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pandas as pd
import torch
from scipy import stats

from benchmarks.panel import PROBLEMS, SIDE_PX, Pool, Problem, drawn
from benchmarks.strategies import task_of
from tasks.bias.mitigation import Shortcut, against_shortcuts, reweighed
from tasks.bias.overlay import GRID
from tasks.contracts.environment import prepare_environment
from tasks.contracts.params import TrainParams
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import QUIET, progress
from tasks.contracts.records import Mitigation
from tasks.evaluate.mitigation import Trial, compared
from tasks.train.predictor import predict
from tasks.train.settings import strategies_of
from tasks.train.transfer import transfer

KINDS = ("overlay", "tone", "compression", "border", "association")
SETS = ("digits", "surfaces")
EACH = 50
GOES_WITH = 0.95
_RESAMPLES = 200  # of an interval within a run, which is not shown


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mitigation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--backbone", default="embedded/formula_resnet18")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    asked = parser.parse_args()
    prepare_environment()
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as pool:
        jobs = [
            pool.submit(_run, name, kind, seed, asked.backbone)
            for kind in asked.kinds
            for name in SETS
            for seed in range(asked.seeds)
        ]
        rows = [job.result() for job in progress(as_completed(jobs), len(jobs), "mitigation", "runs")]
    table = pd.DataFrame(rows).set_index(["kind", "set", "seed"]).sort_index()
    print(table.groupby(level=[0, 1]).agg(_told).to_string())
    print(f"seeds 0 to {asked.seeds - 1}; gains of each seed:")
    print(table["gain there"].unstack().to_string(float_format="{:+.1f}".format))
    return 0


def _run(name: str, kind: str, seed: int, backbone: str) -> dict[str, object]:
    os.environ[QUIET] = "1"
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    problem = PROBLEMS[name]()
    pools = [_planted(pool, kind, rng) for pool in (*drawn(problem, EACH, seed), problem.test)]
    (train, _), (val, _), (test, bears) = pools
    planted = Problem(name, problem.classes, train, test)
    site = pd.Series(pools[0][1])
    (mitigation,) = (
        (Mitigation("association", "site", "reweighing", ()),)
        if kind == "association"
        else against_shortcuts([Shortcut(kind, "planted", (GRID - 1, GRID - 1) if kind == "overlay" else None)])
    )
    strategy = strategies_of(TrainParams())[0]
    with TemporaryDirectory() as folder:
        task = task_of(planted, (train, val), seed, (backbone, Path(folder)))
        before = transfer(task, strategy)
        policy = replace(task.policy, transforms=(*mitigation.transforms, *task.policy.transforms))
        samples = task.train
        if mitigation.means == "reweighing":
            weights = reweighed(pd.Series(train.targets.astype(str)), site)
            samples = replace(samples, weights=weights.astype(np.float32))
        anew = replace(task, policy=policy, train=samples, checkpoints=Path(folder) / "anew")
        after = transfer(anew, strategy)
        models = (partial(predict, one.net, task.backbone) for one in (before, after))
        rows = pd.DataFrame({"meta_site": bears})
        trial = Trial(*models, pd.DataFrame({"meta_site": site}), rows, test.pixels, test.targets, _RESAMPLES, rng)
        section, _ = compared(trial, [vars(mitigation)])
    in_all, there = section.statistics[:3], section.statistics[3:]
    values = [100 * (one.value or 0.0) for one in (*in_all, *there)]
    titles = ("before", "after", "cost", "there before", "there after", "gain there")
    return {"set": name, "kind": kind, "seed": seed, **dict(zip(titles, values, strict=True))}


def _planted(pool: Pool, kind: str, rng: np.random.Generator) -> tuple[Pool, np.ndarray]:
    """The pool with the trait, and which of its images bear it."""
    goes = pool.targets % 2 == 0
    bears = np.where(rng.random(len(pool)) < GOES_WITH, goes, ~goes)
    pixels = np.stack([_marked(image, kind, bool(one)) for image, one in zip(pool.pixels, bears, strict=True)])
    return Pool(pixels, pool.targets), bears


def _marked(image: Pixels, kind: str, bears: bool) -> Pixels:
    out = image.copy()
    if kind == "overlay" and bears:
        corner = out[-SIDE_PX // GRID :, -SIDE_PX // GRID :]
        corner[:] = 255
        corner[1:-1, 1:-1] = (200, 30, 30)
    elif kind == "border" and bears:
        out[:3], out[-3:], out[:, :3], out[:, -3:] = 90, 90, 90, 90
    elif kind == "compression":
        packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, 12 if bears else 90])[1]
        out = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    elif kind in ("tone", "association") and bears:  # of a camera at one site
        out[..., 0] = cv2.add(out[..., 0], 35)
        out[..., 2] = cv2.subtract(out[..., 2], 25)
    return out


def _told(values: pd.Series) -> str:
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{values.mean():.1f} ±{half:.1f}"


if __name__ == "__main__":
    sys.exit(main())
