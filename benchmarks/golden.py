"""How far golden samples move by arithmetic, and by a mistake: `TOLERANCE` of tasks/register/golden.py lies between.

`python -m benchmarks.golden`: a row for each network, the largest change of a logit as a share of the largest logit.
"""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from tasks.backbone.catalog import find_entry, weights_folder
from tasks.backbone.network import TransferNet
from tasks.backbone.weights import build_network, open_entry
from tasks.contracts.environment import prepare_environment
from tasks.contracts.images import decode
from tasks.contracts.model_records import BackboneRef
from tasks.register.golden import TOLERANCE, logits_of
from tasks.register.golden_images import golden_files
from tasks.train.model import Head, fresh_net

CLASSES = 10
TRAINED = ("formula_resnet18", "formula_resnet18_small", "formula_mobilenet_v3_small")  # weights that mean something
RANDOM = ("resnet50", "convnext_tiny")  # depth and size, for the arithmetic alone


def nets() -> dict[str, tuple[TransferNet, BackboneRef]]:
    """Networks with a head of CLASSES classes on them."""
    found = {}
    for name in TRAINED:
        backbone, ref = open_entry(find_entry(name, weights_folder()), 224)
        found[name] = fresh_net(backbone, Head(CLASSES), 0).eval(), ref
    for name in RANDOM:
        ref = BackboneRef(name, "random", name, "", 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0)
        found[f"{name}, random weights"] = fresh_net(build_network(ref), Head(CLASSES), 0).eval(), ref
    return found


def arithmetic(net: TransferNet, ref: BackboneRef, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Logits by other ways to the same numbers."""
    found = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found[f"float32, {threads} threads"] = logits_of(net, ref, pixels)
    found["one by one"] = np.concatenate([logits_of(net, ref, one[None]) for one in pixels])
    found["channels last"] = logits_of(copy.deepcopy(net).to(memory_format=torch.channels_last), ref, pixels)
    found["bfloat16"] = logits_of(copy.deepcopy(net).bfloat16(), ref, pixels)
    return found


def mistakes(net: TransferNet, ref: BackboneRef, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Logits after what people do by mistake, each as mild as it comes."""
    red, *others = ref.mean
    return {
        "mean of one channel + 0.002": logits_of(net, replace(ref, mean=(red + 0.002, *others)), pixels),
        "std + 1 %": logits_of(net, replace(ref, std=tuple(1.01 * part for part in ref.std)), pixels),
        "channels swapped": logits_of(net, ref, pixels[..., ::-1]),
        "input 1/8 smaller": logits_of(net, replace(ref, input_px=ref.input_px * 7 // 8), pixels),
    }


def main() -> None:
    """Print a table for each network."""
    prepare_environment()
    files = golden_files(224)
    pixels = np.stack([decode(data, 224).pixels for data in files.values()])
    print(f"tolerance {TOLERANCE:.0e}; {len(files)} samples, {sum(map(len, files.values())) / 1e3:.0f} kB")
    for name, (net, ref) in nets().items():
        right = logits_of(net.double(), ref, pixels)
        net.float()
        ways: tuple[Callable[..., dict[str, np.ndarray]], ...] = (arithmetic,)
        for way in (*ways, mistakes) if ref.source != "random" else ways:
            for what, logits in way(net, ref, pixels).items():
                share = np.abs(logits - right).max() / max(1.0, np.abs(right).max())
                print(f"{name:<32} {what:<28} {share:.1e}")
        pairs = [np.abs(right[:, i] - right[:, j]).max() for i in range(CLASSES) for j in range(i)]
        print(f"{name:<32} {'two labels swapped':<28} {min(pairs) / max(1.0, np.abs(right).max()):.1e}")


if __name__ == "__main__":
    main()
