"""`python -m benchmarks.retrain [--images N] [--px N] [--share S]`: a run after new images came, beside a whole one.

Both are unattended runs, so both make their snapshot and their worktree: the first on all of the old images, the
second after a share of new ones came. CPU seconds of this process and of those it started, part by part. Features of a
ResNet-18 are extracted, without a control that is trained from random weights (`train.control`); everything else is as
by default. The weights are random ones in a local file: they know nothing, and cost what others cost.
"""

import argparse
import os
import resource
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

CLASSES = 5
WEIGHTS = "models/backbones/own.safetensors"
SETTINGS = (
    f"select.candidates=[{{network: resnet18, weights: {WEIGHTS}}}]",
    "train.strategy=feature_extraction",
    "train.control=false",
)
PARTS = (
    "ingest",
    "quality",
    "bias",
    "augment",
    "select",
    "train",
    "evaluate",
    "register",
    "snapshot, worktree, version",
)

Parts = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrain", description=__doc__)
    parser.add_argument("--images", type=int, default=20_000, metavar="N", help="old images; default: 20000")
    parser.add_argument("--px", type=int, default=224, metavar="N", help="their side; default: 224")
    parser.add_argument("--share", type=float, default=0.05, metavar="S", help="new images, of the old; default: 0.05")
    asked = parser.parse_args()
    os.environ |= {"GRAFT_QUIET": "1", "GRAFT_OFFLINE": "1"}
    from tasks.contracts.environment import prepare_environment

    prepare_environment()
    with TemporaryDirectory() as folder:
        whole, again, changed = measure(Path(folder), asked.images, asked.px, asked.share)
    print(f"{asked.images:,} images of {asked.px} px, then {changed}; CPU seconds")
    print(table(whole, again))
    return 0


def measure(folder: Path, images: int, px: int, share: float) -> tuple[Parts, Parts, str]:
    """Costs of the parts of the whole run and of the second one, and what came between, in words."""
    import torch  # loaded before the clock starts, as in a worker that runs on
    from safetensors.torch import save_file
    from torchvision.models import resnet18

    from flows.workspaces import git, init
    from tasks.contracts.params_file import override

    draw(folder / "old", images, px, seed=1)
    ws = init(folder / "flowers", folder / "old")
    override(ws.params, [*SETTINGS, f"quality.prepared_px={px}"])
    torch.manual_seed(0)
    ws.backbones.mkdir(parents=True, exist_ok=True)
    save_file(resnet18().state_dict(), ws.root / WEIGHTS)
    git(
        ws, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "--quiet", "--all", "--message=bench"
    )
    whole, _ = timed_run(ws)
    draw(ws.raw, round(share * images), px, seed=2)
    again, run = timed_run(ws)
    if run.version != "model@2":
        raise AssertionError(f"the second run ended otherwise: {run}")
    return whole, again, f"{run.change['added']:,} more"


def timed_run(ws: Any) -> tuple[Parts, Any]:
    from flows.stages import STAGES, bring_up_to_date, note
    from flows.unattended import retrain_once
    from tasks.contracts.run_records import Trigger

    spent: Parts = defaultdict(float)

    def start(worktree: Any, until: str) -> list[Any]:
        found = []
        for name in STAGES[: STAGES.index(until) + 1]:
            with clocked(spent, name):
                found.append(bring_up_to_date(worktree, name))
            note(worktree, found[-1])
        return found

    began = cpu_seconds()
    run = retrain_once(ws, Trigger("bench"), start)
    spent[PARTS[-1]] = cpu_seconds() - began - sum(spent.values())
    return spent, run


@contextmanager
def clocked(spent: Parts, part: str) -> Iterator[None]:
    began = cpu_seconds()
    yield
    spent[part] += cpu_seconds() - began


def cpu_seconds() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def table(whole: Parts, again: Parts) -> str:
    lines = [f"{'':<34}{'all':>9}{'new':>9}{'share':>8}"]
    rows = [(part, whole[part], again[part]) for part in PARTS]
    for name, one, other in (*rows, ("together", sum(whole.values()), sum(again.values()))):
        lines.append(f"{name:<34}{one:>9.1f}{other:>9.1f}{other / one if one > 0.05 else float('nan'):>8.0%}")
    return "\n".join(lines)


def draw(folder: Path, images: int, px: int, seed: int) -> None:
    """Pictures of gratings, a direction for each class, as JPEG files in class folders."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:px, :px] / px
    for number in range(images):
        label = number % CLASSES
        angle, phase, waves = np.pi * label / CLASSES + rng.normal(0, 0.1), rng.uniform(0, 6.3), rng.uniform(4, 12)
        wave = np.sin(waves * 6.3 * (x * np.cos(angle) + y * np.sin(angle)) + phase)
        blobs = np.asarray(Image.fromarray(rng.uniform(0, 90, (6, 6, 3)).astype(np.uint8)).resize((px, px)))
        picture = 90 + 50 * wave[..., None] + blobs + rng.normal(0, 10, (px, px, 3))
        place = folder / f"class{label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(place / f"{seed}_{number:06}.jpg", quality=90)


if __name__ == "__main__":
    sys.exit(main())
