"""How to transfer, as types: what each one freezes and how fast each part learns.

Trainability is a function of the strategy alone, applied once: nothing thaws or freezes behind the loop's back.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

from torch import nn
from torch.nn import Parameter

from tasks.backbone.network import TransferNet
from tasks.backbone.stages import freeze as freeze
from tasks.backbone.stages import own_state
from tasks.contracts.errors import BadUsage, GraftError
from tasks.contracts.params import TrainParams

# The backbone's share of the head's learning rate. Weights that saw natural images know more than a short training
# can teach and are changed gently; formula weights are a start. The 0.1 is common practice, not measured here.
BACKBONE_RATE = {"embedded": 1.0, "torchvision": 0.1, "local": 0.1}


@dataclass(frozen=True)
class FeatureExtraction:
    """The whole backbone is frozen; the head learns on its cached features."""

    name: str = "feature_extraction"


@dataclass(frozen=True)
class FineTuning:
    """The first `frozen_stages` stages keep their weights and statistics; the rest adapts to the new data."""

    frozen_stages: int
    name: str = "fine_tuning"


@dataclass(frozen=True)
class Scratch:
    """The control: the same network from random weights, nothing frozen, one learning rate."""

    name: str = "scratch"


Strategy = FeatureExtraction | FineTuning | Scratch


class ParameterGroup(TypedDict):
    """What a torch optimiser takes; `rate` is the share of the learning rate that these parameters get."""

    params: list[Parameter]
    weight_decay: float
    rate: float


def make_strategy(params: TrainParams) -> Strategy:
    """The strategy that the params name."""
    return FeatureExtraction() if params.strategy == "feature_extraction" else FineTuning(params.frozen_stages)


def frozen_modules(net: TransferNet, strategy: Strategy) -> list[nn.Module]:
    """The modules whose own parameters and buffers must not move, to be taken one by one.

    Raises BadUsage where more stages are to be frozen than the backbone has.
    """
    match strategy:
        case FeatureExtraction():
            return list(net.backbone.modules())
        case FineTuning(frozen_stages=upto):
            if upto > len(net.backbone.stages):
                raise BadUsage(
                    f"train.frozen_stages is {upto}, but {type(net.backbone.network).__name__} has "
                    f"{len(net.backbone.stages)} stages: {', '.join(s.end for s in net.backbone.stages)}"
                )
            return list(net.backbone.stage_modules(upto))
        case Scratch():
            return []


def parameter_groups(net: TransferNet, rate: float, weight_decay: float) -> list[ParameterGroup]:
    """What the optimiser trains: the head, and the backbone at `rate` of the head's learning rate.

    Weight decay is on weight matrices only, not on norms and biases.
    """
    groups: list[ParameterGroup] = []
    for module, share in ((net.head, 1.0), (net.backbone, rate)):
        trained = [p for p in module.parameters() if p.requires_grad]
        for decay, chosen in (
            (weight_decay, [p for p in trained if p.ndim > 1]),
            (0.0, [p for p in trained if p.ndim <= 1]),
        ):
            if chosen:
                groups.append({"params": chosen, "weight_decay": decay, "rate": share})
    return groups


def fingerprint(modules: Iterable[nn.Module]) -> str:
    """A hash of every parameter and buffer that one of them owns itself, batch-norm statistics included."""
    digest = hashlib.sha256()
    for module in modules:
        for name, tensor in own_state(module):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def require_unmoved(before: str, after: str) -> None:
    """Raise GraftError where frozen weights or statistics changed: the result would not be what it says."""
    if before != after:
        raise GraftError("frozen weights or batch-norm statistics moved while training; please report this as a bug")
