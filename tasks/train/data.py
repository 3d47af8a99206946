"""Batches from prepared pixels or cached features. Order and augmentation depend on (seed, epoch, sample) alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.augment.policy import seed_for
from tasks.backbone.network import to_input
from tasks.contracts.errors import BadData
from tasks.contracts.files import read_table
from tasks.contracts.prepared import Pixels
from tasks.contracts.records import BackboneRef
from tasks.contracts.samples import usable

Augment = Callable[[Pixels, int], Pixels]


@dataclass(frozen=True)
class Samples:
    """The usable images of one split: rows of the prepared pixels, class indices, weights, content hashes."""

    rows: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: NDArray[np.float32]
    sha256: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Batch:
    """Inputs (batch, ...) float32, class indices (batch,) int64, weights (batch,) float32."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor


def load_samples(checked: pd.DataFrame, weights: Path, split: str, classes: tuple[str, ...]) -> Samples:
    """The samples of `split`, with the weights that `data/weights.parquet` gives them.

    Raises BadData where the split is empty, or holds a class that train does not.
    """
    kept = usable(checked, split)
    if kept.empty:
        raise BadData(f"no usable image is in the {split} split; add images or change quality.splits in params.yaml")
    if unknown := sorted(set(kept["label"]) - set(classes)):
        raise BadData(f"{split} holds images of {', '.join(unknown)}, train does not; add training images of it")
    by_hash = read_table(weights).set_index("sha256")["weight"]
    index = {label: i for i, label in enumerate(classes)}
    return Samples(
        kept["pixels"].to_numpy(np.int64),
        np.array([index[label] for label in kept["label"]], np.int64),
        by_hash.reindex(kept["sha256"]).to_numpy(np.float32),
        tuple(kept["sha256"]),
    )


@dataclass(frozen=True)
class ImageBatches:
    """Batches of network input; with `augment`, each image of each epoch has a random stream of its own."""

    samples: Samples
    pixels: Pixels
    backbone: BackboneRef
    augment: Augment | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return (3, self.backbone.input_px, self.backbone.input_px)

    def epoch(self, order: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch; the next one is made while the current one trains."""
        parts = split_evenly(order, batch_size)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as ahead:
            waiting = ahead.submit(self._make, parts[0], seed, epoch)
            for part in (*parts[1:], None):
                batch = waiting.result()
                if part is not None:
                    waiting = ahead.submit(self._make, part, seed, epoch)
                yield batch

    def _make(self, chosen: NDArray[np.int64], seed: int, epoch: int) -> Batch:
        samples, images = self.samples, self.pixels[self.samples.rows[chosen]]
        if self.augment is not None:
            seeds = [seed_for(seed, epoch, samples.sha256[i]) for i in chosen]
            images = np.stack([self.augment(image, s) for image, s in zip(images, seeds, strict=True)])
        backbone = self.backbone
        inputs = to_input(torch.from_numpy(images), backbone.input_px, backbone.mean, backbone.std)
        return Batch(inputs, torch.from_numpy(samples.targets[chosen]), torch.from_numpy(samples.weights[chosen]))


@dataclass(frozen=True)
class FeatureBatches:
    """Batches of cached features, shape (batch, features)."""

    samples: Samples
    features: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.features.shape[1:])

    def epoch(self, order: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:  # noqa: ARG002
        """The batches of one epoch; features have no randomness of their own."""
        targets, weights = torch.from_numpy(self.samples.targets), torch.from_numpy(self.samples.weights)
        for part in split_evenly(order, batch_size):
            yield Batch(self.features[part], targets[part], weights[part])


Batches = ImageBatches | FeatureBatches


def split_evenly(order: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """`order` in batches of at most `batch_size`, three or more, whose sizes differ by at most one.

    So no batch of a single image is left over, which batch normalisation could not train on.
    """
    return np.array_split(order, -(-len(order) // batch_size))
