"""A trained network in a folder: `weights.safetensors` and `model.json`, and the way back to a live network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from tasks.backbone.heads import HeadKind
from tasks.backbone.network import FEATURE_STAGES, Backbone, TransferNet, quicken_batch_norm, set_stochastic_depth
from tasks.backbone.weights import backbone_ref, build_network, load_state
from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.files import replacing, write_record, write_text
from tasks.contracts.model_records import ModelRecord
from tasks.contracts.progress import say
from tasks.contracts.records import read_json

WEIGHTS = "weights.safetensors"
RECORD = "model.json"
NOT_TRAINED = "not_trained.txt"  # in place of both, where no model was wanted
UNMITIGATED = "unmitigated"  # beside a candidate that something was done for against a bias: the model without it


@dataclass(frozen=True)
class Head:
    """What is put on a backbone: the classifier's kind, how many stages it sees, and what is left out in training."""

    classes: int
    kind: HeadKind = "linear"
    feature_stages: int = FEATURE_STAGES
    dropout: float = 0.0
    stochastic_depth: float = 0.0


def save_model(folder: Path, net: TransferNet, record: ModelRecord) -> None:
    """Write both files of a trained network, or neither."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    with replacing(folder) as part:
        part.mkdir()
        save_file(state, part / WEIGHTS)
        write_record(part / RECORD, record)


def say_absent(folder: Path) -> None:
    """Leave a folder that says that no model was wanted there."""
    with replacing(folder) as part:
        part.mkdir()
        write_text(part / NOT_TRAINED, "no control was trained: train.control is false in params.yaml\n")


def is_trained(folder: Path) -> bool:
    """Whether a model was wanted in `folder`; one that is missing or broken is found out when it is loaded."""
    return not (folder / NOT_TRAINED).is_file()


def load_net(weights: Path, model: dict[str, Any]) -> TransferNet:
    """The network that `model` (a ModelRecord as plain data) describes, in evaluation mode, with a file's weights.

    Raises BrokenArtifact where they are broken or do not fit.
    """
    try:
        head = Head(len(model["classes"]), model["head"], model["feature_stages"])
    except KeyError as error:
        raise BrokenArtifact(f"the record beside {weights} has no {error}; train again with `graft run`") from None
    net = fresh_net(build_network(backbone_ref(model["backbone"])), head, seed=0)
    restore(net, weights)
    return net.eval()


def load_model(folder: Path) -> tuple[TransferNet, dict[str, Any]]:
    """The trained network in `folder` and its record as plain data.

    Raises BrokenArtifact where a file is missing, broken or does not fit the other.
    """
    record = read_json(folder / RECORD)
    return load_net(folder / WEIGHTS, record), record


def restore(module: nn.Module, weights: Path) -> None:
    """Load `weights` into `module`; every name and shape must fit.

    Raises BrokenArtifact that names what does not.
    """
    try:
        module.load_state_dict(load_state(weights), strict=True)
    except RuntimeError as error:
        problem = " ".join(str(error).split())[:300]
        raise BrokenArtifact(f"{weights} does not fit the network that its record names: {problem}") from None


def count_parameters(net: nn.Module) -> tuple[int, int]:
    """How many parameters are frozen and how many are trained."""
    frozen = sum(p.numel() for p in net.parameters() if not p.requires_grad)
    return frozen, sum(p.numel() for p in net.parameters() if p.requires_grad)


def fresh_net(backbone: Backbone, head: Head, seed: int) -> TransferNet:
    """`backbone` with a new head, whose random weights depend on `seed` alone."""
    backbone.tap(head.feature_stages)
    quicken_batch_norm(backbone)
    if not set_stochastic_depth(backbone.network, head.stochastic_depth) and head.stochastic_depth:
        say(f"{type(backbone.network).__name__} has no branches to leave out: train.stochastic_depth does nothing")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TransferNet(backbone, head.classes, head.dropout, head.kind)
