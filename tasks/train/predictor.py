"""Class probabilities of prepared pixels, from a network in memory or in a folder."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.backbone.network import TransferNet, to_input
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import progress
from tasks.contracts.records import BackboneRef
from tasks.train.loop import choose_device
from tasks.train.model import backbone_ref, load_model

BATCH = 64


def predict_folder(folder: Path, pixels: Pixels) -> NDArray[np.float32]:
    """Probabilities (n, classes) of prepared `pixels` (n, side, side, 3) by the model in `folder`.

    Raises BrokenArtifact where the model is missing or broken.
    """
    net, record = load_model(folder)
    return predict(net, backbone_ref(record["backbone"]), pixels)


@torch.inference_mode()
def predict(net: TransferNet, backbone: BackboneRef, pixels: Pixels) -> NDArray[np.float32]:
    """Probabilities (n, classes), float32, of prepared `pixels` (n, side, side, 3); full precision throughout."""
    device = choose_device("auto")
    net.to(device, memory_format=torch.channels_last).eval()
    found = np.empty((len(pixels), net.head[-1].out_features), np.float32)
    starts = range(0, len(pixels), BATCH)
    for start in progress(starts, len(starts), "predicting", "batches"):
        batch = torch.from_numpy(np.ascontiguousarray(pixels[start : start + BATCH])).to(device)
        logits = net(to_input(batch, backbone.input_px, backbone.mean, backbone.std))
        found[start : start + BATCH] = torch.softmax(logits.float(), dim=1).cpu().numpy()
    return found
