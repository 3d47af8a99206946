"""The train stage: the candidate by the chosen strategy, and the same network from scratch as its control."""

from dataclasses import dataclass
from pathlib import Path

import torch

from tasks.augment.policy import load_policy
from tasks.backbone.features import Rows, cached_features
from tasks.backbone.network import TransferNet
from tasks.backbone.weights import backbone_ref, build_backbone, build_network
from tasks.bias.gate import require_open
from tasks.contracts.params import TrainParams
from tasks.contracts.prepared import Pixels, open_checked
from tasks.contracts.progress import say
from tasks.contracts.records import BackboneRef, ModelRecord, read_json
from tasks.contracts.samples import usable
from tasks.contracts.workspace import Workspace
from tasks.train.data import FeatureBatches, ImageBatches, Samples, load_samples
from tasks.train.loop import Fitted, Recipe, choose_device, fit
from tasks.train.model import count_parameters, fresh_net, save_model
from tasks.train.strategies import (
    BACKBONE_RATE,
    FeatureExtraction,
    Scratch,
    Strategy,
    fingerprint,
    freeze,
    frozen_modules,
    make_strategy,
    parameter_groups,
    require_unmoved,
)

VERSION = 1


@dataclass(frozen=True)
class Trained:
    """Accuracy on val of the candidate and of its control, at their best epochs."""

    candidate: float
    scratch: float


@dataclass(frozen=True)
class _Task:
    ws: Workspace
    params: TrainParams
    seed: int
    backbone: BackboneRef
    classes: tuple[str, ...]
    train: Samples
    val: Samples
    pixels: Pixels


def run(ws: Workspace, params: TrainParams, seed: int) -> Trained:
    """Write `models/candidate` and `models/scratch`.

    Raises GateRefused, BadData (an empty split, a loss that is no number), BrokenArtifact (weights).
    """
    require_open(ws.gate)
    checked, pixels = open_checked(ws)
    classes = tuple(sorted(usable(checked, "train")["label"].unique()))
    train, val = (load_samples(checked, ws.weights, split, classes) for split in ("train", "val"))
    backbone = backbone_ref(read_json(ws.selection)["chosen"])
    task = _Task(ws, params, seed, backbone, classes, train, val, pixels)
    candidate = _train(task, make_strategy(params), ws.candidate)
    scratch = _train(task, Scratch(), ws.scratch)
    return Trained(candidate, scratch)


def _train(task: _Task, strategy: Strategy, folder: Path) -> float:
    say(f"{strategy.name}: {task.backbone.name}, {len(task.train):,} images, {len(task.classes)} classes")
    backbone = (
        build_network(task.backbone, task.seed)
        if isinstance(strategy, Scratch)
        else build_backbone(task.backbone, task.ws.root)
    )
    net = fresh_net(backbone, len(task.classes), task.params.dropout, task.seed)
    frozen = frozen_modules(net, strategy)
    net.train()
    freeze(frozen)
    before = fingerprint(frozen)
    fitted = _fit(task, strategy, net)
    require_unmoved(before, fingerprint(frozen))
    frozen_count, trained_count = count_parameters(net)
    record = ModelRecord(
        backbone=task.backbone,
        classes=task.classes,
        strategy=strategy.name,
        frozen_stages=getattr(strategy, "frozen_stages", 0),
        frozen_parameters=frozen_count,
        trained_parameters=trained_count,
        best_epoch=fitted.best_epoch,
        history=fitted.history,
        seed=task.seed,
        train_images=len(task.train),
        prepared_px=task.pixels.shape[1],
    )
    save_model(folder, net, record)
    return fitted.history[fitted.best_epoch - 1].val_accuracy


def _fit(task: _Task, strategy: Strategy, net: TransferNet) -> Fitted:
    params = task.params
    recipe = Recipe(
        params.epochs,
        params.batch_size,
        params.learning_rate,
        params.label_smoothing,
        params.patience,
        task.seed,
        choose_device(params.device),
    )
    rate = 1.0 if isinstance(strategy, Scratch) else BACKBONE_RATE[task.backbone.source]
    groups = parameter_groups(net, rate, params.weight_decay)
    if isinstance(strategy, FeatureExtraction):
        train, val = (_features(task, net, part) for part in (task.train, task.val))
        return fit(net.head, groups, train, val, recipe)
    policy = load_policy(task.ws.augmentation)
    return fit(
        net,
        groups,
        ImageBatches(task.train, task.pixels, task.backbone, policy),
        ImageBatches(task.val, task.pixels, task.backbone),
        recipe,
    )


def _features(task: _Task, net: TransferNet, samples: Samples) -> FeatureBatches:
    rows = cached_features(net.backbone, task.backbone, Rows(task.pixels, samples.rows), samples.sha256, task.ws.cache)
    return FeatureBatches(samples, torch.from_numpy(rows))
