"""The one training loop. Everything random in it is a function of (seed, epoch, step), so that a run that was killed
goes on from its checkpoint to the same bytes as one that was not.
"""

import copy
import math
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.backbone.network import memory_format
from tasks.backbone.threads import fitting_threads
from tasks.contracts.errors import BadData
from tasks.contracts.model_records import Epoch
from tasks.contracts.progress import meter, say
from tasks.train.checkpoint import Checkpoint, Position, Run
from tasks.train.clock import Clock, time_line
from tasks.train.data import Batch, Batches, Samples, Sampling, order_of, split_evenly
from tasks.train.forward import validate
from tasks.train.gradients import Pieces, Statistics, backward, fewer, require_shares
from tasks.train.objective import next_group_weights, sample_weights
from tasks.train.ranks import current
from tasks.train.schedules import Schedule, rate_at
from tasks.train.strategies import Part, parameter_groups, set_state

Chosen = NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """How long, how fast and against what overfitting; one `seed` decides order, augmentation, mixing and dropout.

    `mixup` and `cutmix` are the parameters of their Beta distributions, `ema` the decay of the moving average of the
    weights, `clip_norm` the most that the gradient's norm may be, `group_dro` the step of the groups' weights; 0 is
    off. `at_once` images go through the network at a time, 0 for the whole batch; gradients add up to the same batch.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    patience: int
    seed: int
    device: torch.device
    schedule: Schedule = "cosine"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    ema: float = 0.0
    clip_norm: float = 0.0
    sampling: Sampling = "shuffled"
    group_dro: float = 0.0
    at_once: int = 0


@dataclass(frozen=True)
class Learner:
    """A network and its parts from stem to head; what is trained is `module`, in place."""

    module: nn.Module
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Fitted:
    """What came out: the epoch whose weights the module now has, and every epoch's figures."""

    best_epoch: int
    history: tuple[Epoch, ...]


def fit(learner: Learner, train: Batches, val: Batches, recipe: Recipe, checkpoint: Checkpoint | None = None) -> Fitted:
    """Train in place on `train`; the module ends in evaluation mode with the weights of least loss on `val`.

    With `ema` these are averaged weights. With `checkpoint` it goes on where an earlier run was interrupted.
    Raises BadData where the loss is no number, BadEnvironment where not even two images fit into memory, BadUsage
    where a batch has no two images for each process.
    """
    require_shares(len(train.samples), recipe.batch_size, current().size)
    run, clock = _start(learner, recipe, int(train.samples.groups.max()) + 1), Clock()
    anchors = [[p.detach().clone() for p in group["params"]] for group in run.optimizer.param_groups if group["pull"]]
    if checkpoint:
        checkpoint.restore(run)
    images, steps = len(train.samples), -(-len(train.samples) // recipe.batch_size)
    with (
        fitting_threads(run.module, (recipe.batch_size, *train.shape)),
        _own_randomness(recipe.device),
        meter(
            recipe.epochs * images,
            "training",
            done=run.position.epoch * images + run.position.seen,
            note=lambda: _note(run, recipe.device),
        ) as advance,
        _kept_where_it_fails(run, checkpoint, clock),
    ):
        while not _is_over(run.position, recipe):
            set_state(learner.parts, run.position.epoch)
            for batch in _batches(run.position, train, recipe, clock):
                with clock.of("train"):
                    done = run.position.epoch * steps + run.position.step
                    _step(run, batch, recipe, rate_at(done, recipe.epochs * steps, recipe.schedule), train.samples)
                    _pull(run, anchors)
                    _follow(run, recipe, done)
                advance(len(batch[0]))
                if checkpoint:
                    checkpoint.write_if_due(run, clock)
            with clock.of("validate"):
                _close_epoch(run, val, recipe)
            if checkpoint:
                checkpoint.write_if_due(run, clock)
        if checkpoint:
            checkpoint.write(run, clock)
            current().wait()  # the others may need what the first one wrote
    say(time_line(clock, train.clock))
    return _finish(run)


def _start(learner: Learner, recipe: Recipe, groups: int) -> Run:
    module = learner.module
    module.to(recipe.device).to(memory_format=memory_format(recipe.device)).eval()
    set_state(learner.parts, 0)
    optimizer = torch.optim.AdamW(
        [dict(group) for group in parameter_groups(learner.parts, recipe.weight_decay)],
        lr=recipe.learning_rate,
        fused=True,
    )
    average = copy.deepcopy(module).requires_grad_(False) if recipe.ema else None
    shares = (1 / groups,) * groups if recipe.group_dro else ()
    return Run(module, average, optimizer, {}, Position(at_once=recipe.at_once, group_weights=shares))


def _is_over(position: Position, recipe: Recipe) -> bool:
    waited = position.epoch - 1 - position.best
    return position.epoch >= recipe.epochs or waited >= recipe.patience


def _batches(position: Position, train: Batches, recipe: Recipe, clock: Clock) -> Iterator[tuple[Chosen, Batch]]:
    """The batches of the epoch that are still to come, whole as positions and this process's share of them as data.

    Waiting for them is counted.
    """
    order = order_of(train.samples, recipe.sampling, recipe.seed, position.epoch)
    parts = split_evenly(order, recipe.batch_size)[position.step :]
    batches = train.epoch([current().part(part) for part in parts], recipe.seed, position.epoch)
    for part in parts:
        with clock.of("wait"):
            batch = next(batches)
        yield part, batch


def _step(run: Run, batch: tuple[Chosen, Batch], recipe: Recipe, rate: float, samples: Samples) -> None:
    """One step of the optimiser, at `rate` of the peak; where memory runs out, with fewer images at a time.

    Raises BadData, with the state as it was before, where the loss or its gradient is no number.
    """
    (chosen, share), position = batch, run.position
    weights, norms = sample_weights(samples, chosen, position.group_weights), Statistics(run.module)
    while (sample_losses := backward(run.module, share, weights, _pieces(run.position, recipe), norms)) is None:
        run.position = replace(run.position, at_once=fewer(run.position.at_once or len(share.targets)))
        say(f"out of memory: {run.position.at_once} images at a time from here on, batches as large as before")
    loss = float((sample_losses * weights).sum())
    moving = [p for p in run.module.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in moving if p.grad is not None])
    if not math.isfinite(loss) or not math.isfinite(norm):
        norms.restore()
        raise BadData(
            f"the training loss is no number at epoch {position.epoch + 1}, batch {position.step + 1} "
            f"({samples.named(chosen)}); lower train.learning_rate (now {recipe.learning_rate:g})"
        )
    if recipe.clip_norm:
        nn.utils.clip_grads_with_norm_(moving, recipe.clip_norm, norm)
    for group in run.optimizer.param_groups:
        group["lr"] = recipe.learning_rate * group["rate"] * rate
    run.optimizer.step()
    run.position = replace(
        run.position,
        step=position.step + 1,
        loss=position.loss + loss * len(chosen),
        seen=position.seen + len(chosen),
        group_weights=next_group_weights(
            position.group_weights, samples.groups[chosen], sample_losses, recipe.group_dro
        ),
    )


def _pieces(position: Position, recipe: Recipe) -> Pieces:
    return Pieces(
        ranks=current(),
        at_once=position.at_once,
        stream=(recipe.seed, position.epoch, position.step),
        device=recipe.device,
        mixup=recipe.mixup,
        cutmix=recipe.cutmix,
        label_smoothing=recipe.label_smoothing,
    )


@torch.no_grad()
def _follow(run: Run, recipe: Recipe, done: int) -> None:
    """Draw the averaged weights and statistics towards those of now; at first quickly."""
    if run.average is None:
        return
    share = 1 - min(recipe.ema, (1 + done) / (10 + done))
    for slow, fast in zip(run.average.modules(), run.module.modules(), strict=True):
        # what is frozen is left alone: even the average of two equal zeros may differ in its sign
        pairs: list[tuple[Tensor, Tensor]] = [
            (ours, theirs)
            for ours, theirs in zip(slow.parameters(recurse=False), fast.parameters(recurse=False), strict=True)
            if theirs.requires_grad
        ]
        if fast.training:
            pairs += zip(slow.buffers(recurse=False), fast.buffers(recurse=False), strict=True)
        for ours, theirs in pairs:
            ours.lerp_(theirs, share) if ours.is_floating_point() else ours.copy_(theirs)


@torch.no_grad()
def _pull(run: Run, anchors: list[list[Tensor]]) -> None:
    """Draw weights to where they started, by their part's pull times its rate (L2-SP)."""
    pulled = (group for group in run.optimizer.param_groups if group["pull"])
    for group, starts in zip(pulled, anchors, strict=True):
        for parameter, start in zip(group["params"], starts, strict=True):
            if parameter.grad is not None:
                parameter.lerp_(start, min(1.0, group["lr"] * group["pull"]))


def _close_epoch(run: Run, val: Batches, recipe: Recipe) -> None:
    """Validate, and keep the weights where they are the best so far.

    Raises BadData where the loss on val is no number.
    """
    position, judged = run.position, run.average if run.average is not None else run.module
    loss, accuracy = validate(judged, val, recipe.device)
    if not math.isfinite(loss):
        raise BadData(f"the val loss is no number at epoch {position.epoch + 1}; lower train.learning_rate")
    best = position.best if position.history and position.history[position.best].val_loss <= loss else position.epoch
    if best == position.epoch:
        run.best = {name: value.clone() for name, value in judged.state_dict().items()}
    epoch = Epoch(position.epoch + 1, position.loss / position.seen, loss, accuracy)
    run.position = Position(
        epoch=position.epoch + 1,
        history=(*position.history, epoch),
        best=best,
        at_once=position.at_once,
        group_weights=position.group_weights,
    )


def _finish(run: Run) -> Fitted:
    run.module.load_state_dict(run.best)
    run.module.eval()
    chosen = run.position.history[run.position.best]
    say(f"epoch {chosen.epoch} of {len(run.position.history)} is the best on val: accuracy {chosen.val_accuracy:.3f}")
    return Fitted(chosen.epoch, run.position.history)


@contextmanager
def _kept_where_it_fails(run: Run, checkpoint: Checkpoint | None, clock: Clock) -> Iterator[None]:
    """Where the loss is no number, the last good state goes into the checkpoint, and the message says where that is."""
    try:
        yield
    except BadData as error:
        if checkpoint is None:
            raise
        checkpoint.write(run, clock)
        current().wait()
        raise BadData(f"{error}; the state before it is in {checkpoint.path}") from None


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """The caller's random stream is left alone."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _note(run: Run, device: torch.device) -> str:
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _peak_bytes()
    history = run.position.history
    accuracy = f"val accuracy {history[-1].val_accuracy:.3f}, " if history else ""
    return f"{accuracy}{peak / 1e9:.1f} GB"


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
