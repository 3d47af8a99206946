"""Class probabilities of prepared pixels, from a network in memory or in a folder."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.backbone.features import best_device
from tasks.backbone.network import TransferNet, memory_format, to_input
from tasks.backbone.threads import fitting_threads
from tasks.backbone.weights import backbone_ref
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import progress
from tasks.train.model import load_model

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
    device = best_device()
    net.to(device).to(memory_format=memory_format(device)).eval()
    found = np.empty((len(pixels), net.classes), np.float32)
    starts = range(0, len(pixels), BATCH)
    with fitting_threads(net, (BATCH, 3, backbone.input_px, backbone.input_px)):
        for start in progress(starts, len(starts), "predicting", "batches"):
            batch = torch.from_numpy(np.ascontiguousarray(pixels[start : start + BATCH])).to(device)
            logits = net(to_input(batch, backbone.input_px, backbone.mean, backbone.std))
            found[start : start + BATCH] = torch.softmax(logits.float(), dim=1).cpu().numpy()
    return found
