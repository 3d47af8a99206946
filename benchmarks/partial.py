"""Fine-tuning from the cached activations where the frozen stages end, beside computing these stages in each epoch."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.networks import SIDE_PX, Learner, learner, pictures, recipe
from benchmarks.pictures import samples_of
from benchmarks.timing import SECONDS, Ratio, compare, take_turns
from tasks.backbone.features import cached_rows
from tasks.backbone.network import to_input
from tasks.backbone.split import split
from tasks.backbone.threads import fitting_threads
from tasks.contracts.prepared import Pixels
from tasks.train.data import Samples, split_evenly
from tasks.train.strategies import FineTuning

IMAGES, EPOCHS, ROUNDS = 240, 10, 3
CLOSE = 1e-3  # between the losses of both ways: a batch of another size may take other last bits


def ratios() -> list[Ratio]:
    return [_ratio(stages) for stages in (3, 4)]


def _ratio(stages: int) -> Ratio:
    pixels = pictures(IMAGES)
    samples = samples_of(pixels, 0, IMAGES)
    with TemporaryDirectory() as folder:
        found: dict[str, list[float]] = {}
        costs = take_turns(
            {
                "cached": lambda number: found.update(ours=_cached(stages, pixels, samples, Path(folder, str(number)))),
                "anew": lambda _number: found.update(reference=_anew(stages, pixels, samples)),
            },
            ROUNDS,
        )
    if not np.allclose(found["ours"], found["reference"], rtol=CLOSE):
        raise AssertionError(f"the two ways train to other losses: {found}")
    task = f"{stages} of 5 stages frozen, cache empty at first, {EPOCHS} epochs of {IMAGES} images of {SIDE_PX} px"
    meaning = f"share of the cost without a cache; {task}; lower is better"
    return compare(f"fine-tuning behind {stages} frozen stages", SECONDS, costs["cached"], costs["anew"], meaning)


def _cached(stages: int, pixels: Pixels, samples: Samples, cache: Path) -> list[float]:
    of = learner(FineTuning(stages))
    of.ready()
    trunk, rest = split(of.net, stages, autocast=False)
    rows = cached_rows(trunk, of.ref, pixels, samples.sha256, cache)
    return _losses(of, rest, lambda chosen: torch.from_numpy(rows[chosen]), (trunk.width,), samples)


def _anew(stages: int, pixels: Pixels, samples: Samples) -> list[float]:
    of = learner(FineTuning(stages))
    ref = of.ref

    def batch(chosen: np.ndarray) -> Tensor:
        return to_input(torch.from_numpy(pixels[chosen]), ref.input_px, ref.mean, ref.std)

    return _losses(of, of.net, batch, (3, ref.input_px, ref.input_px), samples)


def _losses(
    of: Learner, module: nn.Module, batch: Callable[[np.ndarray], Tensor], shape: tuple[int, ...], samples: Samples
) -> list[float]:
    """The loss of every epoch."""
    groups = of.ready()
    plan = recipe(EPOCHS)
    torch.manual_seed(plan.seed)
    optimizer = torch.optim.AdamW([dict(group) for group in groups], lr=plan.learning_rate / 10)
    with fitting_threads(module, (plan.batch_size, *shape)):
        return [
            float(np.mean(list(_epoch(module, optimizer, batch, samples, (plan.batch_size, epoch)))))
            for epoch in range(EPOCHS)
        ]


def _epoch(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Callable[[np.ndarray], Tensor],
    samples: Samples,
    plan: tuple[int, int],
) -> Iterator[float]:
    size, epoch = plan
    targets = torch.from_numpy(samples.targets)
    for chosen in split_evenly(np.random.default_rng(epoch).permutation(len(samples)), size):
        loss = nn.functional.cross_entropy(module(batch(chosen)), targets[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        yield loss.item()
