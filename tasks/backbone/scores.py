"""How good frozen features are: a cross-validated linear probe, and its controls."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import nn
from torch.nn import functional

from tasks.backbone.network import Backbone, to_input
from tasks.backbone.rows import BATCH, PixelSource, best_device
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.records import Statistic
from tasks.evaluate.metrics import wilson

THUMBNAIL_PX = 16
_RELATIVE_RIDGES = 10.0 ** np.arange(-3, 3)  # times the number of features
_NORM_IMAGES = 512  # enough for batch-norm statistics

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Probe:
    """The accuracy over all images, each predicted by the fold that left it out; `right` (n,) is True where it was."""

    accuracy: Statistic
    fold_accuracies: tuple[float, ...]
    right: NDArray[np.bool_]


def assign_folds(targets: Ints, groups: Sequence[str], folds: int, seed: int) -> Ints:
    """A fold for each image, shape (n,): a group never crosses folds, and each class is spread as evenly as that lets.

    Greedy, the largest group first, each to the fold that has the fewest of its classes. There are as many folds as
    groups at most, so fewer than asked for in tiny data.
    """
    names, first, group_of = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
    used = min(folds, len(names))
    filled = np.zeros((used, int(targets.max(initial=-1)) + 1), np.int64)
    fold_of = np.zeros(len(names), np.int64)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    sizes = np.bincount(group_of, minlength=len(names))
    ordered = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    several = int(np.count_nonzero(sizes > 1))
    members, ends = np.argsort(group_of, kind="stable"), np.cumsum(sizes)
    for group in ordered[:several]:
        of_group = targets[members[ends[group] - sizes[group] : ends[group]]]
        own = np.bincount(of_group, minlength=filled.shape[1])
        fold = np.lexsort((filled.sum(axis=1), filled @ own))[0]
        filled[fold] += own
        fold_of[group] = fold
    alone = ordered[several:]  # most groups, in most data
    fold_of[alone] = _spread(targets[first[alone]].tolist(), filled)
    return fold_of[group_of]


def _spread(targets: list[int], filled: Ints) -> list[int]:
    """The fold of each single image: the one that has the fewest of its class, then the fewest in all."""
    of_class, of_all = filled.T.tolist(), filled.sum(axis=1).tolist()
    folds, found = range(len(of_all)), []
    for target in targets:
        counts = of_class[target]
        fold = min(folds, key=lambda one: (counts[one], of_all[one]))
        counts[fold] += 1
        of_all[fold] += 1
        found.append(fold)
    return found


def probe_scores(features: Floats, targets: Ints, fold_of: Ints) -> Probe:
    """Ridge regression on standardised `features` (n, width) to class indicators, cross-validated over `fold_of` (n,).

    The ridge is chosen inside each training part by its leave-one-out error in closed form (Hastie et al., 2009,
    section 7.10). With one fold only there is nothing to predict: not measurable.
    """
    folds = np.unique(fold_of)
    right = np.zeros(len(targets), bool)
    if len(folds) < 2:
        return Probe(wilson("probe_accuracy", 0, 0), (), right)
    with threadpool_limits(1, "blas"):  # equal on any number of cores; and on a busy machine threads wait on each other
        for fold in folds:
            held_out = fold_of == fold
            called = ridge_predict(features[~held_out], targets[~held_out], features[held_out])
            right[held_out] = called == targets[held_out]
    accuracies = tuple(float(right[fold_of == fold].mean()) for fold in folds)
    return Probe(wilson("probe_accuracy", int(right.sum()), len(right)), accuracies, right)


def ridge_predict(train: Floats, targets: Ints, test: Floats) -> Ints:
    """The class of each row of `test` by a ridge regression on `train`, its ridge chosen by leave-one-out error there.

    In the basis of the principal components every ridge is a division.
    """
    middle, spread = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    spread[spread == 0] = 1
    inputs, power, test_inputs = _components((train - middle) / spread, (test - middle) / spread)
    classes, index = np.unique(targets, return_inverse=True)
    indicators = np.eye(len(classes))[index]
    shares = indicators.mean(axis=0)
    projected = inputs.T @ (indicators - shares)
    squared = inputs**2
    best_error, best = np.inf, projected
    for ridge in train.shape[1] * _RELATIVE_RIDGES:
        shrunk = 1 / (power + ridge)
        weights = shrunk[:, None] * projected
        leverage = squared @ shrunk + 1 / len(train)
        residuals = (indicators - shares - inputs @ weights) / np.maximum(1 - leverage, 1e-9)[:, None]
        if (error := float((residuals**2).mean())) < best_error:
            best_error, best = error, weights
    called: Ints = classes[np.argmax(test_inputs @ best + shares, axis=1)]
    return called


def thumbnails(pixels: PixelSource) -> Floats:
    """The raw-pixel control: each image as THUMBNAIL_PX x THUMBNAIL_PX colours, shape (n, 3 * THUMBNAIL_PX ** 2)."""
    small = np.empty((len(pixels), 3 * THUMBNAIL_PX**2), np.float32)
    for start in range(0, len(pixels), BATCH["cpu"]):
        batch = np.arange(start, min(start + BATCH["cpu"], len(pixels)))
        images = torch.from_numpy(pixels[batch]).permute(0, 3, 1, 2).float()
        small[batch] = functional.adaptive_avg_pool2d(images, THUMBNAIL_PX).flatten(1).numpy()
    return small


def settle_batch_norm(backbone: Backbone, ref: BackboneRef, pixels: PixelSource) -> None:
    """Set the batch-norm statistics of a random `backbone` to those of `pixels`: a favour to the control.

    Without it the maps of a random network shrink or grow from layer to layer. Every batch is full.
    """
    norms = [module for module in backbone.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    device = best_device()
    backbone.to(device)
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over batches
        norm.train()
    count = min(len(pixels), _NORM_IMAGES)
    chosen = np.linspace(0, len(pixels) - 1, -(-count // BATCH["cpu"]) * BATCH["cpu"]).astype(np.int64)
    with torch.inference_mode():
        for batch in chosen.reshape(-1, BATCH["cpu"], order="F"):
            images = torch.from_numpy(pixels[batch]).to(device)
            backbone(to_input(images, ref.input_px, ref.mean, ref.std))
    backbone.to("cpu").eval()


def _components(train: Floats, test: Floats) -> tuple[Floats, Floats, Floats]:
    """Both in the principal basis of `train`, and the power along each axis; by the smaller Gram matrix."""
    if train.shape[0] <= train.shape[1]:
        power, vectors = np.linalg.eigh(train @ train.T)
        kept = power > power[-1] * 1e-10
        power, vectors = power[kept], vectors[:, kept]
        scale = np.sqrt(power)
        return vectors * scale, power, test @ (train.T @ vectors) / scale
    power, vectors = np.linalg.eigh(train.T @ train)
    kept = power > power[-1] * 1e-10
    return train @ vectors[:, kept], power[kept], test @ vectors[:, kept]
