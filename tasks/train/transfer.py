"""A strategy carried out: from a backbone with its weights to a trained network."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tasks.augment.policy import Policy
from tasks.backbone.features import Rows, cached_features
from tasks.backbone.network import TransferNet
from tasks.backbone.weights import build_backbone, build_network
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import say
from tasks.contracts.records import Attempt, BackboneRef
from tasks.train.checkpoint import SECONDS_BETWEEN, Checkpoint, Position
from tasks.train.data import ImageBatches, RowBatches, Samples
from tasks.train.forward import validate
from tasks.train.loop import Fitted, Learner, Recipe, fit
from tasks.train.model import Head, fresh_net
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
    found = Transferred(net, fitted, Attempt(strategy.name, kept.val_accuracy, kept.val_loss), before)
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
    return fresh_net(backbone, task.head, task.recipe.seed)


def head_batches(task: Task, net: TransferNet) -> tuple[RowBatches, RowBatches]:
    """Features of the backbone as it is, for training and for validation of a head."""
    return _features(task, net, task.train), _features(task, net, task.val)


def train_head(task: Task, net: TransferNet, batches: tuple[RowBatches, RowBatches]) -> Fitted:
    """Train the head alone, in place, on what `head_batches` gave."""
    train, val = batches
    learner = Learner(net.head, tuple(whole("head", net.head)))
    recipe = replace(task.recipe, mixup=0.0, cutmix=0.0)  # of images, not of features
    say(f"head: {len(task.train):,} images' features, {task.head.classes} classes")
    return fit(learner, train, val, recipe, _checkpoint(task, "probe", {}))


def _probed(task: Task, net: TransferNet) -> dict[str, Tensor]:
    """The weights with a head that has learned on frozen features."""
    train_head(task, net, head_batches(task, net))
    return {name: value.cpu().clone() for name, value in net.state_dict().items()}


def _tune(task: Task, net: TransferNet, strategy: Strategy, parts: list[Part]) -> Fitted:
    say(f"{strategy.name}: {task.backbone.name}, {len(task.train):,} images, {task.head.classes} classes")
    train = ImageBatches(task.train, task.pixels, task.backbone, task.policy, task.workers)
    val = ImageBatches(task.val, task.pixels, task.backbone, None, task.workers)
    checkpoint = _checkpoint(task, strategy.name, asdict(strategy))
    return fit(Learner(net, tuple(parts)), train, val, task.recipe, checkpoint)


def _features(task: Task, net: TransferNet, samples: Samples) -> RowBatches:
    rows = cached_features(net.backbone, task.backbone, Rows(task.pixels, samples.rows), samples.sha256, task.cache)
    return RowBatches(samples, (rows,))


def _interpolated(task: Task, tuned: Transferred, probed: dict[str, Tensor]) -> Transferred:
    """The weights between `probed` and `tuned` that do best on val, by accuracy and then by loss."""
    net, device = tuned.net, task.recipe.device
    val = ImageBatches(task.val, task.pixels, task.backbone, None, task.workers)
    end = {name: value.clone() for name, value in net.state_dict().items()}
    floating = {name: (probed[name].to(device), value) for name, value in end.items() if value.is_floating_point()}

    def attempt(share: float) -> Attempt:
        net.load_state_dict(end | {name: torch.lerp(old, new, share) for name, (old, new) in floating.items()})
        loss, accuracy = validate(net, val, device)
        return Attempt(tuned.on_val.strategy, accuracy, loss)

    shares = [step / _STEPS_BETWEEN_ENDS for step in range(_STEPS_BETWEEN_ENDS + 1)]
    best = max(shares, key=lambda share: rank(attempt(share)))
    say(f"weights {best:.0%} of the way from probed to tuned are the best on val")
    return replace(tuned, on_val=attempt(best), towards_tuned=best)


def rank(attempt: Attempt) -> tuple[float, float]:
    """What is compared between attempts: the accuracy on val, and the loss where that is equal."""
    return attempt.val_accuracy, -attempt.val_loss


def _checkpoint(task: Task, name: str, strategy: dict[str, Any]) -> Checkpoint:
    """The key holds everything that decides the result but what the network starts from, which `backbone` names."""
    digest = hashlib.sha256()
    for samples in (task.train, task.val):
        digest.update("".join(samples.sha256).encode())
        for values in (samples.targets, samples.weights, samples.groups):
            digest.update(np.ascontiguousarray(values).tobytes())
    key = {
        "strategy": [name, strategy],
        "backbone": asdict(task.backbone),
        "head": asdict(task.head),
        "recipe": {**asdict(task.recipe), "device": str(task.recipe.device)},
        "policy": [list(task.policy.transforms), task.policy.side_px],
        "threads": torch.get_num_threads(),
        "samples": digest.hexdigest(),
    }
    watch = partial(task.watch, name) if task.watch else None
    return Checkpoint(task.checkpoints / f"{name}.safetensors", key, task.seconds_between, watch)
