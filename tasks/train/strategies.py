"""How to transfer, as types, and what each means for every part of a network: when it learns, and how fast.

Trainability is a function of the epoch, applied at its start: nothing thaws or freezes behind the loop's back, and a
resumed run finds what an uninterrupted one would have.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import nn
from torch.nn import Parameter

from tasks.backbone.network import TransferNet
from tasks.contracts.errors import BadUsage, GraftError

# The backbone's share of the head's learning rate. Weights that saw natural images know more than a short training
# can teach and are changed gently; the 0.1 is common practice, not measured here. docs/training.md has that of 0.3.
BACKBONE_RATE = {"embedded": 0.3, "torchvision": 0.1, "timm": 0.1, "local": 0.1, "random": 1.0}
GRADUAL_SHARE = 0.25  # of the epochs, in which one stage after the other thaws
_NORMS = (nn.modules.batchnorm._BatchNorm,)


@dataclass(frozen=True)
class FeatureExtraction:
    """The whole backbone is frozen; the head learns on its cached features."""

    name: str = "feature_extraction"


@dataclass(frozen=True)
class FineTuning:
    """The first `frozen_stages` stages keep their weights and statistics; the rest adapts to the new data.

    `gradual`: stages thaw one after the other, the last one first (Howard and Ruder, 2018, ULMFiT).
    `probe_first`: the head first learns on frozen features, then all tune (Kumar et al., 2022, LP-FT).
    `layer_decay`: each stage learns at this share of the rate of the one after it (Howard and Ruder, 2018).
    `l2_sp`: how hard weights are drawn to where they started (Li et al., 2018; decoupled, as AdamW decays).
    `norms_adapt`: whether batch-norm statistics follow the new images; if not, they stay those of the source data.
    `interpolate`: the result is the point between probed and tuned weights that is best on val (Wortsman et al., 2022).
    """

    frozen_stages: int = 0
    gradual: bool = False
    probe_first: bool = False
    layer_decay: float = 1.0
    l2_sp: float = 0.0
    norms_adapt: bool = True
    interpolate: bool = False
    name: str = "fine_tuning"


@dataclass(frozen=True)
class Scratch:
    """The control: the same network from random weights, nothing frozen, one learning rate."""

    name: str = "scratch"


Strategy = FeatureExtraction | FineTuning | Scratch


@dataclass(frozen=True)
class Part:
    """Modules that freeze, thaw and learn together, each without its children, which are listed themselves.

    `thaws` is the epoch from which on they learn, None for never; `rate` the share of the learning rate that they get.
    """

    name: str
    modules: tuple[nn.Module, ...]
    thaws: int | None = 0
    rate: float = 1.0
    pull: float = 0.0
    norms_adapt: bool = True

    def parameters(self) -> list[Parameter]:
        """The parameters that these modules own themselves."""
        return [p for module in self.modules for p in module.parameters(recurse=False)]


class ParameterGroup(TypedDict):
    """What a torch optimiser takes, with the part's `rate` and `pull`."""

    params: list[Parameter]
    weight_decay: float
    rate: float
    pull: float


def parts_of(net: TransferNet, strategy: Strategy, source: str, epochs: int) -> list[Part]:
    """The network from stem to head as parts; weights of `source` learn at their share of the head's rate.

    Raises BadUsage where more stages are to be frozen than the backbone has.
    """
    stages = [(stage.end, stage.modules) for stage in net.backbone.stages]
    stages.append(("end", net.backbone.tail))
    head = Part("head", tuple(net.head.modules()))
    return [*(_part(net, strategy, source, (place, stages, epochs)) for place in range(len(stages))), head]


def whole(name: str, module: nn.Module) -> list[Part]:
    """One part that holds all of a module."""
    return [Part(name, tuple(module.modules()))]


def set_state(parts: Iterable[Part], epoch: int) -> None:
    """Freeze and thaw as `epoch` wants it: gradients, and modes, without which batch-norm statistics still move."""
    for part in parts:
        learns = part.thaws is not None and epoch >= part.thaws
        for module in part.modules:
            module.training = learns and (part.norms_adapt or not isinstance(module, _NORMS))
        for parameter in part.parameters():
            parameter.requires_grad_(learns)


def parameter_groups(parts: Iterable[Part], weight_decay: float) -> list[ParameterGroup]:
    """What the optimiser may ever move. Weight decay is on weight matrices only, not on norms and biases."""
    groups: list[ParameterGroup] = []
    for part in parts:
        ours = part.parameters() if part.thaws is not None else []
        for decay, chosen in (
            (weight_decay, [p for p in ours if p.ndim > 1]),
            (0.0, [p for p in ours if p.ndim <= 1]),
        ):
            if chosen:
                groups.append({"params": chosen, "weight_decay": decay, "rate": part.rate, "pull": part.pull})
    return groups


def fingerprint(parts: Iterable[Part]) -> str:
    """The hash of every parameter and buffer, batch-norm statistics included, of the parts that never learn."""
    digest = hashlib.sha256()
    for part in parts:
        for module in part.modules if part.thaws is None else ():
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                digest.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
                digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def require_unmoved(before: str, after: str) -> None:
    """Raise GraftError where frozen weights or statistics changed: the result would not be what it says."""
    if before != after:
        raise GraftError("frozen weights or batch-norm statistics moved while training; please report this as a bug")


Layout = tuple[int, Sequence[tuple[str, tuple[str, ...]]], int]  # place among (end, modules) of the stages; epochs


def _part(net: TransferNet, strategy: Strategy, source: str, layout: Layout) -> Part:
    place, stages, epochs = layout
    name, names = stages[place]
    modules = tuple(net.backbone.network.get_submodule(module) for module in names)
    match strategy:
        case FeatureExtraction():
            return Part(name, modules, thaws=None)
        case Scratch():
            return Part(name, modules)
        case FineTuning(frozen_stages=frozen):
            if frozen > len(stages) - 1:
                ends = ", ".join(end for end, _ in stages[:-1])
                raise BadUsage(
                    f"train.fine_tuning.frozen_stages is {frozen}, but {type(net.backbone.network).__name__} has "
                    f"{len(stages) - 1} stages: {ends}"
                )
            if place < frozen:
                return Part(name, modules, thaws=None)
            behind = len(stages) - 1 - place
            return Part(
                name,
                modules,
                thaws=_thaws(behind, len(stages) - frozen, epochs) if strategy.gradual else 0,
                rate=BACKBONE_RATE[source] * strategy.layer_decay**behind,
                pull=strategy.l2_sp,
                norms_adapt=strategy.norms_adapt,
            )


def _thaws(behind: int, count: int, epochs: int) -> int:
    """The epoch in which a part thaws that has `behind` others between itself and the head: the head is alone first."""
    return max(1, round((behind + 1) / count * epochs * GRADUAL_SHARE)) if epochs > 1 else 0
