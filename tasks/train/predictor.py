"""What a trained network gives of prepared pixels: logits and features, or class probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.backbone.features import cached_features, compute_features
from tasks.backbone.network import TransferNet, memory_format, to_input
from tasks.backbone.rows import PixelSource
from tasks.backbone.weights import backbone_ref
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.prepared import Pixels
from tasks.train.model import load_model


@dataclass(frozen=True)
class Loaded:
    """A trained network in evaluation mode, and its backbone's reference."""

    net: TransferNet
    backbone: BackboneRef


def load(folder: Path) -> Loaded:
    """The model in `folder`, to be asked many questions.

    Raises BrokenArtifact where it is missing or broken.
    """
    net, record = load_model(folder)
    return Loaded(net, backbone_ref(record["backbone"]))


@dataclass(frozen=True)
class Outputs:
    """What a network gives of n images, float32: `logits` (n, classes) and `features` (n, width), the head's input."""

    logits: NDArray[np.float32]
    features: NDArray[np.float32]


def outputs(net: TransferNet, backbone: BackboneRef, pixels: PixelSource) -> Outputs:
    """Logits and features of prepared `pixels` (n, side, side, 3), by one pass; full precision throughout."""
    return _behind(net, compute_features(net.backbone, backbone, pixels, is_precise=True))


def cached_outputs(
    net: TransferNet, backbone: BackboneRef, pixels: PixelSource, sha256s: Sequence[str], cache: Path
) -> Outputs:
    """The same; features that these weights gave of an image with this hash before are read, not computed."""
    return _behind(net, cached_features(net.backbone, backbone, pixels, sha256s, cache, is_precise=True))


def predict(net: TransferNet, backbone: BackboneRef, pixels: PixelSource) -> NDArray[np.float32]:
    """Probabilities (n, classes), float32, of prepared `pixels` (n, side, side, 3); full precision throughout."""
    return chances(outputs(net, backbone, pixels))


@torch.inference_mode()
def _behind(net: TransferNet, features: NDArray[np.floating]) -> Outputs:
    return Outputs(net.to("cpu").eval().head(torch.from_numpy(features)).numpy(), features)


def chances(found: Outputs) -> NDArray[np.float32]:
    """Probabilities (n, classes) from the logits."""
    return torch.softmax(torch.from_numpy(found.logits), dim=1).numpy()


@torch.inference_mode()
def forward(
    net: TransferNet, backbone: BackboneRef, pixels: Pixels, device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits (n, classes) and features (n, width) of one batch, by a network that is placed on `device`."""
    batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
    features = net.backbone(to_input(batch, backbone.input_px, backbone.mean, backbone.std))
    return net.head(features).float().cpu().numpy(), features.float().cpu().numpy()


def place(net: TransferNet, device: torch.device) -> None:
    """Make `net` ready to predict on `device`, in evaluation mode."""
    net.to(device).to(memory_format=memory_format(device)).eval()
