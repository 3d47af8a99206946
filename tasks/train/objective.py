"""What is minimised: cross-entropy by sample, weighted by sample or by the worst groups."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tasks.train.data import Batch, Samples

_LEAST_WEIGHT = 1e-12  # of a group: it may always come back


def losses(logits: Tensor, batch: Batch, label_smoothing: float) -> Tensor:
    """Cross-entropy of each sample in nats, (batch,), on the device of `logits`; of mixed inputs, shared."""
    own = _cross_entropy(logits, batch.targets, label_smoothing)
    if batch.partners is None or batch.shares is None:
        return own
    shares = batch.shares.to(logits.device)
    return shares * own + (1 - shares) * _cross_entropy(logits, batch.partners, label_smoothing)


def sample_weights(samples: Samples, chosen: NDArray[np.int64], group_weights: tuple[float, ...]) -> Tensor:
    """What each chosen sample counts, (batch,), adding up to 1: its own weight, times its share of its group's."""
    weights = samples.weights[chosen].astype(np.float64)
    if group_weights:
        groups = samples.groups[chosen]
        weights *= np.array(group_weights)[groups] / np.bincount(groups)[groups]
    return torch.from_numpy((weights / weights.sum()).astype(np.float32))


def next_group_weights(
    group_weights: tuple[float, ...], groups: NDArray[np.int64], sample_losses: Tensor, rate: float
) -> tuple[float, ...]:
    """The groups' weights after a step: those with a great loss count more from now on.

    Online group DRO, Sagawa et al., 2020, algorithm 1, with the weights of the step before in the step's own loss.
    """
    if not group_weights:
        return ()
    means = torch.zeros(len(group_weights), dtype=torch.float64)
    counts = torch.from_numpy(np.bincount(groups, minlength=len(group_weights)))
    means.index_add_(0, torch.from_numpy(groups), sample_losses.double())
    grown = rate * means / counts.clamp(min=1)
    raised = torch.tensor(group_weights, dtype=torch.float64) * torch.exp(grown - grown.max())
    return tuple((raised / raised.sum()).clamp(min=_LEAST_WEIGHT).tolist())


def _cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    return functional.cross_entropy(
        logits, targets.to(logits.device), reduction="none", label_smoothing=label_smoothing
    )
