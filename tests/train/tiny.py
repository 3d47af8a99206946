"""A small real network, and real (tiny) pictures for it."""

import hashlib
from dataclasses import replace

import numpy as np
import torch

from tasks.backbone.layouts import resnet18
from tasks.backbone.network import Backbone, TransferNet
from tasks.contracts.model_records import BackboneRef
from tasks.train.data import ImageBatches, Samples
from tasks.train.loop import Fitted, Learner, Recipe, fit
from tasks.train.model import Head, fresh_net
from tasks.train.strategies import parts_of
from tests.conftest import CLASSES, SIDE_PX, draw

REF = BackboneRef("tiny", "random", "resnet18-w8", "", SIDE_PX, (0.5,) * 3, (0.25,) * 3, 0)
HEAD = Head(len(CLASSES), dropout=0.2)
RECIPE = Recipe(
    epochs=3,
    batch_size=16,
    learning_rate=3e-3,
    patience=5,
    seed=0,
    device=torch.device("cpu"),
    weight_decay=0.01,
    label_smoothing=0.1,
)


def backbone(seed: int = 0) -> Backbone:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Backbone(resnet18(8, 10), 64)


def net(head: Head = HEAD) -> TransferNet:
    return fresh_net(backbone(), head, seed=0)


def pictures(each: int, seed: int) -> tuple[np.ndarray, Samples]:
    rng = np.random.default_rng(seed)
    pixels = np.stack([draw(label, rng) for label in CLASSES for _ in range(each)])
    targets = np.repeat(np.arange(len(CLASSES)), each)
    hashes = tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in pixels)
    groups = 2 * targets + np.tile(np.arange(each) % 4 == 0, len(CLASSES))
    return pixels, Samples(np.arange(len(pixels)), targets, np.ones(len(pixels), np.float32), hashes, groups)


def batches(each: int = 20, seed: int = 1, augment=None, workers: int = 1) -> ImageBatches:
    pixels, samples = pictures(each, seed)
    return ImageBatches(samples, pixels, REF, augment, workers)


def train(learned: TransferNet, strategy, *, augment=None, checkpoint=None, **changes) -> Fitted:
    recipe = replace(RECIPE, **changes)
    learner = Learner(learned, tuple(parts_of(learned, strategy, "embedded", recipe.epochs)))
    return fit(learner, batches(augment=augment), batches(8, 2), recipe, checkpoint)


def state_hash(module: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
