"""Fine-tuning from the cached activations where the frozen stages end, beside computing these stages in each epoch."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.networks import SIDE_PX, pictures, recipe, trial
from benchmarks.pictures import samples_of
from benchmarks.timing import SECONDS, Ratio, compare, take_turns
from tasks.backbone.features import Rows, cached_rows
from tasks.backbone.split import split
from tasks.contracts.prepared import Pixels
from tasks.train.data import ImageBatches, RowBatches, Samples
from tasks.train.forward import suits_bfloat16
from tasks.train.loop import Fitted, Learner, fit
from tasks.train.strategies import FineTuning

TRAIN, VAL, EPOCHS, ROUNDS = 240, 60, 20, 2
CLOSE = 2e-2  # between the losses of both ways: a batch of another size may take other last bits


def ratios() -> list[Ratio]:
    return [_ratio(stages) for stages in (3, 4)]


def _ratio(stages: int) -> Ratio:
    pixels = pictures(TRAIN + VAL)
    splits = samples_of(pixels, 0, TRAIN), samples_of(pixels, TRAIN, TRAIN + VAL)
    with TemporaryDirectory() as folder:
        found: dict[str, Fitted] = {}
        costs = take_turns(
            {
                "cached": lambda number: found.update(ours=_cached(stages, pixels, splits, Path(folder, str(number)))),
                "anew": lambda _number: found.update(reference=_anew(stages, pixels, splits)),
            },
            ROUNDS,
        )
    losses = [[epoch.train_loss for epoch in found[who].history] for who in ("ours", "reference")]
    if not np.allclose(losses[0], losses[1], rtol=CLOSE):
        raise AssertionError(f"the two ways train to other losses: {losses}")
    task = f"{stages} of 5 stages frozen, cache empty at first, {EPOCHS} epochs of {TRAIN} images of {SIDE_PX} px"
    meaning = f"share of the cost without a cache; {task}; lower is better"
    return compare(f"fine-tuning behind {stages} frozen stages", SECONDS, costs["cached"], costs["anew"], meaning)


def _cached(stages: int, pixels: Pixels, splits: tuple[Samples, Samples], cache: Path) -> Fitted:
    of = trial(FineTuning(stages))
    learner, plan = of.whole(EPOCHS), recipe(EPOCHS)
    trunk, rest = split(of.net, stages, suits_bfloat16(of.net, plan.device))
    train, val = (
        RowBatches(one, (cached_rows(trunk, of.ref, Rows(pixels, one.rows), one.sha256, cache),)) for one in splits
    )
    return fit(Learner(rest, learner.parts), train, val, plan)


def _anew(stages: int, pixels: Pixels, splits: tuple[Samples, Samples]) -> Fitted:
    of = trial(FineTuning(stages))
    train, val = (ImageBatches(samples, pixels, of.ref) for samples in splits)
    return fit(of.whole(EPOCHS), train, val, recipe(EPOCHS))
