"""A strategy carried out: from a backbone with its weights to a trained network."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchvision
from torch import Tensor

from tasks.augment.policy import Policy, seed_for
from tasks.backbone.features import Rows, cached_rows
from tasks.backbone.network import Backbone, TransferNet
from tasks.backbone.rows import View
from tasks.backbone.split import CannotSplit, Rest, Trunk, split
from tasks.backbone.weights import build_backbone, build_network
from tasks.contracts.images import PIXELS_VERSION
from tasks.contracts.model_records import Attempt, BackboneRef
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import say
from tasks.train.checkpoint import SECONDS_BETWEEN, Checkpoint, Position
from tasks.train.data import ImageBatches, RowBatches, Samples
from tasks.train.forward import suits_bfloat16, validate, worst_group_accuracy
from tasks.train.loop import Fitted, Learner, Recipe, fit
from tasks.train.model import Head, fresh_net
from tasks.train.ranks import current
from tasks.train.start import Start
from tasks.train.strategies import (
    FeatureExtraction,
    FineTuning,
    Part,
    Scratch,
    Strategy,
    fingerprint,
    parts_of,
    require_unmoved,
    set_state,
    whole,
)

RESULTS = 7  # the version of the stage's results; no checkpoint of another one is gone on from
IN_MEMORY_BYTES = 2**30  # of rows; more are read from the cache batch by batch
_STEPS_BETWEEN_ENDS = 10  # of weight interpolation


@dataclass(frozen=True)
class Task:
    """What is to be learned, from which images, and with what: all but the strategy."""

    root: Path
    cache: Path
    checkpoints: Path
    backbone: BackboneRef
    head: Head
    train: Samples
    val: Samples
    pixels: Pixels
    policy: Policy
    recipe: Recipe
    workers: int = 1
    views: int = 0
    seconds_between: float = SECONDS_BETWEEN  # checkpoints
    watch: Callable[[str, Position], None] | None = None  # told what is trained ("probe": a head) and where it stands
    start: Start | None = None  # a version whose weights are started from instead of the backbone's

    @property
    def keeps_views(self) -> bool:
        """Whether what frozen stages make of an image is worth keeping: it will be seen again."""
        return bool(self.views) or not self.policy.transforms


@dataclass(frozen=True)
class Transferred:
    """A trained network, how its training went, and how much of the way from probed to tuned weights it is."""

    net: TransferNet
    fitted: Fitted
    on_val: Attempt
    frozen_sha256: str
    towards_tuned: float = 1.0


def transfer(task: Task, strategy: Strategy) -> Transferred:
    """Train by `strategy`; a killed run goes on from its checkpoints.

    Raises what `fit` raises, BrokenArtifact (weights), BadUsage (more frozen stages than there are) and GraftError
    where something frozen moved.
    """
    net = _network(task, strategy)
    parts = parts_of(net, strategy, task.backbone.source, task.recipe.epochs)
    set_state(parts, 0)
    before = fingerprint(parts)
    if isinstance(strategy, FeatureExtraction):
        fitted = train_head(task, net, head_batches(task, net))
    else:
        probed = _probed(task, net) if isinstance(strategy, FineTuning) and strategy.probe_first else {}
        fitted = _tune(task, net, strategy, parts)
    kept = fitted.history[fitted.best_epoch - 1]
    on_val = Attempt(strategy.name, kept.val_accuracy, kept.val_loss, task.start.version if task.start else "")
    found = Transferred(net, fitted, on_val, before)
    if isinstance(strategy, FineTuning) and strategy.interpolate:
        found = _interpolated(task, found, probed)
    require_unmoved(before, fingerprint(parts))
    set_state(parts, task.recipe.epochs)  # for the count of what was frozen to the end
    net.eval()
    return found


def _network(task: Task, strategy: Strategy) -> TransferNet:
    backbone = (
        build_network(task.backbone, task.recipe.seed)
        if isinstance(strategy, Scratch)
        else build_backbone(task.backbone, task.root)
    )
    net = fresh_net(backbone, task.head, task.recipe.seed)
    if task.start:
        task.start.fill(net)
    return net


def head_batches(task: Task, net: TransferNet) -> tuple[RowBatches, RowBatches]:
    """Features of the backbone as it is, for training and for validation of a head."""
    return _rows(task, net.backbone, task.train), _rows(task, net.backbone, task.val)


def train_head(task: Task, net: TransferNet, batches: tuple[RowBatches, RowBatches]) -> Fitted:
    """Train the head alone, in place, on what `head_batches` gave."""
    train, val = batches
    say(f"head: {len(task.train):,} images' features, {task.head.classes} classes")
    learner = Learner(net.head, tuple(whole("head", net.head)))
    return fit(learner, train, val, _unmixed(task.recipe), _checkpoint(task, "probe", {}))


def _probed(task: Task, net: TransferNet) -> dict[str, Tensor]:
    """The weights with a head that has learned on frozen features."""
    train_head(task, net, head_batches(task, net))
    return {name: value.cpu().clone() for name, value in net.state_dict().items()}


def _tune(task: Task, net: TransferNet, strategy: Strategy, parts: list[Part]) -> Fitted:
    say(f"{strategy.name}: {task.backbone.name}, {len(task.train):,} images, {task.head.classes} classes")
    checkpoint = _checkpoint(task, strategy.name, asdict(strategy))
    frozen = strategy.frozen_stages if isinstance(strategy, FineTuning) else 0
    if frozen and task.keeps_views and (cut := _cut(task, net, frozen)):
        trunk, rest = cut
        if task.recipe.mixup or task.recipe.cutmix:
            say("mixup and cutmix are of images; from stored activations training goes on without them")
        train, val = (_rows(task, trunk, samples) for samples in (task.train, task.val))
        return fit(Learner(rest, tuple(parts)), train, val, _unmixed(task.recipe), checkpoint)
    images, val_images = _images(task, task.train, task.policy), _images(task, task.val, None)
    return fit(Learner(net, tuple(parts)), images, val_images, task.recipe, checkpoint)


def _images(task: Task, samples: Samples, policy: Policy | None) -> ImageBatches:
    return ImageBatches(samples, task.pixels, task.backbone, policy, task.workers, task.recipe.device)


def _cut(task: Task, net: TransferNet, stages: int) -> tuple[Trunk, Rest] | None:
    """The network in two behind its frozen stages; None, and said, where it has no such place."""
    net.to(task.recipe.device)
    try:
        return split(net, stages, suits_bfloat16(net, task.recipe.device))
    except CannotSplit as error:
        say(str(error))
        return None


def _rows(task: Task, source: Backbone | Trunk, samples: Samples) -> RowBatches:
    """What `source` gives: of val one row an image, of train one for each stored view of it."""
    pixels = Rows(task.pixels, samples.rows)
    views = _views(task) if samples is task.train else (None,)
    found = [cached_rows(source, task.backbone, pixels, samples.sha256, task.cache, view) for view in views]
    bytes_in_all = sum(len(rows) * rows.shape[1] * 4 for rows in found)
    return RowBatches(samples, tuple(rows[:] if bytes_in_all <= IN_MEMORY_BYTES else rows for rows in found))


def _views(task: Task) -> tuple[View | None, ...]:
    """The stored views of training images; the image as it is where none are wanted, or nothing changes it."""
    if not task.views or not task.policy.transforms:
        return (None,)
    digest = hashlib.sha256(repr((task.policy.transforms, task.policy.side_px, cv2.__version__)).encode()).hexdigest()
    seed = task.recipe.seed
    return tuple(
        View(digest, task.policy, lambda sha256, number=number: seed_for(seed, number, sha256), number)  # type: ignore[misc]
        for number in range(task.views)
    )


def _unmixed(recipe: Recipe) -> Recipe:
    """Mixup and cutmix are of images, not of what a frozen network made of them."""
    return replace(recipe, mixup=0.0, cutmix=0.0)


def _interpolated(task: Task, tuned: Transferred, probed: dict[str, Tensor]) -> Transferred:
    """The weights between `probed` and `tuned` that do best on val, by accuracy and then by loss.

    Under group DRO first by the accuracy of the worst group: that is what was trained for.
    """
    net, device = tuned.net, task.recipe.device
    val = _images(task, task.val, None)
    end = {name: value.clone() for name, value in net.state_dict().items()}
    starts = {name: probed[name].to(device) for name, value in end.items() if value.is_floating_point()}
    # what is frozen is left alone: even the mean of two equal zeros may differ in its sign
    moved = {name: (start, end[name]) for name, start in starts.items() if not torch.equal(start, end[name])}

    def attempt(share: float) -> tuple[Attempt, float]:
        net.load_state_dict(end | {name: torch.lerp(old, new, share) for name, (old, new) in moved.items()})
        loss, accuracy = validate(net, val, device)
        worst = worst_group_accuracy(net, val, device) if task.recipe.group_dro else 0.0
        return replace(tuned.on_val, val_accuracy=accuracy, val_loss=loss), worst

    def order(share: float) -> tuple[float, tuple[float, float]]:
        found, worst = attempt(share)
        return worst, rank(found)

    shares = [step / _STEPS_BETWEEN_ENDS for step in range(_STEPS_BETWEEN_ENDS + 1)]
    best = max(shares, key=order)
    judged = "the worst group of val" if task.recipe.group_dro else "val"
    say(f"weights {best:.0%} of the way from probed to tuned are the best on {judged}")
    return replace(tuned, on_val=attempt(best)[0], towards_tuned=best)


def rank(attempt: Attempt) -> tuple[float, float]:
    """What is compared between attempts: the accuracy on val, and the loss where that is equal."""
    return attempt.val_accuracy, -attempt.val_loss


def _checkpoint(task: Task, name: str, strategy: dict[str, Any]) -> Checkpoint:
    """The key holds everything that decides the result; what the network starts from by `backbone` and `start`."""
    digest = hashlib.sha256()
    for samples in (task.train, task.val):
        digest.update("".join(samples.sha256).encode())
        for values in (samples.targets, samples.weights, samples.groups):
            digest.update(np.ascontiguousarray(values).tobytes())
    key = {
        "results": [RESULTS, PIXELS_VERSION, torchvision.__version__, cv2.__version__],
        "processes": current().size,
        "strategy": [name, strategy],
        "backbone": asdict(task.backbone),
        "start": [task.start.sha256, *task.start.classes] if task.start else [],
        "head": asdict(task.head),
        "recipe": {**asdict(task.recipe), "device": task.recipe.device.type},
        "policy": [list(task.policy.transforms), task.policy.side_px, task.views],
        "threads": torch.get_num_threads(),
        "samples": digest.hexdigest(),
    }
    watch = partial(task.watch, name) if task.watch else None
    return Checkpoint(task.checkpoints / f"{name}.safetensors", key, task.seconds_between, watch)
