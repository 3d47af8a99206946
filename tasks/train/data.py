"""Batches from prepared pixels or cached features. Order and augmentation depend on (seed, epoch, sample) alone."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.augment.policy import seed_for
from tasks.backbone.network import to_input
from tasks.contracts.errors import BadData, BadUsage
from tasks.contracts.files import read_table
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.prepared import Pixels
from tasks.contracts.samples import usable
from tasks.train.clock import Clock

Augment = Callable[[Pixels, int], Pixels]
CPU = torch.device("cpu")
_NAMED = 3  # images of a batch that a message names
Sampling = Literal["shuffled", "class_balanced", "group_balanced"]


@dataclass(frozen=True)
class Samples:
    """The usable images of one split: rows of the prepared pixels, class indices, weights, content hashes, paths.

    `groups` are the cells of class and group, numbered from 0; of the class alone where no group is declared.
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: NDArray[np.float32]
    sha256: tuple[str, ...]
    groups: NDArray[np.int64]
    paths: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def named(self, chosen: NDArray[np.int64]) -> str:
        """Some of the images at these positions, for a message."""
        names = [(self.paths or self.sha256)[i] for i in chosen]
        return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


@dataclass(frozen=True)
class Batch:
    """Inputs (batch, ...) float32 and class indices (batch,).

    Where inputs are mixed of two images, `partners` are the other ones' classes and `shares` the own parts.
    """

    inputs: Tensor
    targets: Tensor
    partners: Tensor | None = None
    shares: Tensor | None = None

    def part(self, which: NDArray[np.int64]) -> "Batch":
        """The samples at these positions of the batch."""
        values = (value[which] if value is not None else None for value in vars(self).values())
        return Batch(*values)  # type: ignore[arg-type]


def load_samples(
    checked: pd.DataFrame, weights: Path, split: str, classes: tuple[str, ...], group_by: str | None = None
) -> Samples:
    """The samples of `split`, with the weights that `data/weights.parquet` gives them.

    Raises BadData where the split is empty, or holds a class that train does not; BadUsage where there is no column
    `group_by`.
    """
    kept = usable(checked, split)
    if kept.empty:
        raise BadData(f"no usable image is in the {split} split; add images or change quality.splits in params.yaml")
    if unknown := sorted(set(kept["label"]) - set(classes)):
        raise BadData(f"{split} holds images of {', '.join(unknown)}, train does not; add training images of it")
    by_hash = read_table(weights).set_index("sha256")["weight"]
    index = {label: i for i, label in enumerate(classes)}
    group = kept[_group_column(kept, group_by)].astype("str").fillna("")
    return Samples(
        kept["pixels"].to_numpy(np.int64),
        np.array([index[label] for label in kept["label"]], np.int64),
        by_hash.reindex(kept["sha256"]).to_numpy(np.float32),
        tuple(kept["sha256"]),
        kept.assign(_group=group).groupby(["label", "_group"]).ngroup().to_numpy().astype(np.int64),
        tuple(kept["path"]),
    )


def _group_column(table: pd.DataFrame, wanted: str | None) -> str:
    """The column of the table that params call `wanted`."""
    if wanted is None:
        return "group"
    known = sorted(name.removeprefix("meta_") for name in table.columns if name.startswith("meta_"))
    if wanted not in known:
        raise BadUsage(f"train.group_by: the data have no column {wanted!r}; known: {', '.join(known) or 'none'}")
    return f"meta_{wanted}"


def order_of(samples: Samples, sampling: Sampling, seed: int, epoch: int) -> NDArray[np.int64]:
    """Which samples an epoch sees, in order: each once, or drawn so that every class (or cell) is as likely."""
    rng = np.random.default_rng([seed, epoch])
    if sampling == "shuffled":
        return rng.permutation(len(samples))
    cells = samples.targets if sampling == "class_balanced" else samples.groups
    chances = 1 / np.bincount(cells)[cells]
    return rng.choice(len(samples), len(samples), p=chances / chances.sum())


class Batches(Protocol):
    """What the loop trains on."""

    @property
    def samples(self) -> Samples:
        """What the batches are made of."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        ...

    @property
    def clock(self) -> Clock:
        """Where the time of making them goes."""
        ...

    def epoch(self, parts: Sequence[NDArray[np.int64]], seed: int, epoch: int) -> Iterator[Batch]:
        """A batch for each of `parts`, which are positions among the samples."""
        ...


@dataclass(frozen=True)
class ImageBatches:
    """Batches of network input; with `augment`, each image of each epoch has a random stream of its own.

    `workers` threads make the next batches while the current one trains; with 0 it waits for each. What a batch
    holds does not depend on their number.
    """

    samples: Samples
    pixels: Pixels
    backbone: BackboneRef
    augment: Augment | None = None
    workers: int = 1
    device: torch.device = CPU  # where bytes become numbers
    clock: Clock = field(default_factory=Clock, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return (3, self.backbone.input_px, self.backbone.input_px)

    def epoch(self, parts: Sequence[NDArray[np.int64]], seed: int, epoch: int) -> Iterator[Batch]:
        """A batch for each of `parts`."""
        if not self.workers:
            yield from (self._make(part, seed, epoch) for part in parts)
            return
        waiting: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="batches") as ahead:
            try:
                for part in parts:
                    waiting.append(ahead.submit(self._make, part, seed, epoch))
                    if len(waiting) > self.workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                ahead.shutdown(cancel_futures=True)  # after an interruption nothing more is made

    def _make(self, chosen: NDArray[np.int64], seed: int, epoch: int) -> Batch:
        with self.clock.of("read"):
            images = self.pixels[self.samples.rows[chosen]]
        if self.augment is not None:
            with self.clock.of("augment"):
                seeds = [seed_for(seed, epoch, self.samples.sha256[i]) for i in chosen]
                images = np.stack([self.augment(image, s) for image, s in zip(images, seeds, strict=True)])
        backbone = self.backbone
        with self.clock.of("normalise"):
            inputs = to_input(torch.from_numpy(images).to(self.device), backbone.input_px, backbone.mean, backbone.std)
        return _batch(self.samples, chosen, inputs)


@dataclass(frozen=True)
class RowBatches:
    """Batches of what a frozen part of the network made: features or activations, (batch, width).

    Of several `views` (arrays of one row for each sample) each epoch takes the next.
    """

    samples: Samples
    views: tuple[Any, ...]
    clock: Clock = field(default_factory=Clock, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.views[0].shape[1:])

    def epoch(self, parts: Sequence[NDArray[np.int64]], seed: int, epoch: int) -> Iterator[Batch]:  # noqa: ARG002
        """A batch for each of `parts`; stored rows have no randomness of their own."""
        rows = self.views[epoch % len(self.views)]
        for part in parts:
            with self.clock.of("read"):
                inputs = torch.from_numpy(np.ascontiguousarray(rows[part]))
            yield _batch(self.samples, part, inputs)


def split_evenly(order: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """`order` in batches of at most `batch_size`, three or more, whose sizes differ by at most one.

    So no batch of a single image is left over, which batch normalisation could not train on.
    """
    return np.array_split(order, -(-len(order) // batch_size))


def _batch(samples: Samples, chosen: NDArray[np.int64], inputs: Tensor) -> Batch:
    return Batch(inputs, torch.from_numpy(samples.targets[chosen]))
