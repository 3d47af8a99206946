"""What a trained network gives of prepared pixels: logits and features, or class probabilities."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.backbone.features import best_device, cached_features
from tasks.backbone.network import TransferNet, memory_format, to_input
from tasks.backbone.rows import PixelSource
from tasks.backbone.threads import fitting_threads
from tasks.backbone.weights import backbone_ref
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import progress
from tasks.train.model import load_model

BATCH = 64


def predict_folder(folder: Path, pixels: PixelSource, sha256s: Sequence[str], cache: Path) -> NDArray[np.float32]:
    """Probabilities (n, classes) of prepared `pixels` (n, side, side, 3) by the model in `folder`.

    Raises BrokenArtifact where the model is missing or broken.
    """
    net, record = load_model(folder)
    found = cached_outputs(net, backbone_ref(record["backbone"]), pixels, sha256s, cache)
    return torch.softmax(torch.from_numpy(found.logits), dim=1).numpy()


@dataclass(frozen=True)
class Outputs:
    """What a network gives of n images, float32: `logits` (n, classes) and `features` (n, width), the head's input."""

    logits: NDArray[np.float32]
    features: NDArray[np.float32]


def outputs(net: TransferNet, backbone: BackboneRef, pixels: PixelSource) -> Outputs:
    """Logits and features of prepared `pixels` (n, side, side, 3), by one pass; full precision throughout."""
    found = Outputs(
        np.empty((len(pixels), net.classes), np.float32), np.empty((len(pixels), net.backbone.features), np.float32)
    )
    for batch, logits, features in _passed(net, backbone, pixels):
        found.logits[batch], found.features[batch] = logits, features
    return found


@torch.inference_mode()
def cached_outputs(
    net: TransferNet, backbone: BackboneRef, pixels: PixelSource, sha256s: Sequence[str], cache: Path
) -> Outputs:
    """As `outputs`; features that these weights gave of an image with this hash before are read, not computed."""
    features = cached_features(net.backbone, backbone, pixels, sha256s, cache, is_precise=True)
    return Outputs(net.to("cpu").eval().head(torch.from_numpy(features)).numpy(), features)


def predict(net: TransferNet, backbone: BackboneRef, pixels: Pixels) -> NDArray[np.float32]:
    """Probabilities (n, classes), float32, of prepared `pixels` (n, side, side, 3); full precision throughout."""
    found = np.empty((len(pixels), net.classes), np.float32)
    for batch, logits, _ in _passed(net, backbone, pixels):
        found[batch] = torch.softmax(torch.from_numpy(logits), dim=1).numpy()
    return found


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


def _passed(
    net: TransferNet, backbone: BackboneRef, pixels: PixelSource
) -> Iterator[tuple[slice, NDArray[np.float32], NDArray[np.float32]]]:
    """Where each batch stands among `pixels`, its logits and its features."""
    device = best_device()
    place(net, device)
    starts = range(0, len(pixels), BATCH)
    with fitting_threads(net, (BATCH, 3, backbone.input_px, backbone.input_px)):
        for start in progress(starts, len(starts), "predicting", "batches"):
            batch = slice(start, start + BATCH)
            yield batch, *forward(net, backbone, pixels[batch], device)
