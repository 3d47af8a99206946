"""Golden samples: image files with the logits that the network gave for them, checked whenever a bundle is loaded.

The check goes the whole way that an image goes in use: bytes, decoder, prepared square, network input, logits by the
name of their class. So it finds what hashes cannot: a list of labels in another order, an edited mean, a decoder or a
library that has changed since. The recorded logits are computed in double precision and are the same however many
threads there are.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.backbone.network import TransferNet, to_input
from tasks.backbone.weights import backbone_ref
from tasks.contracts.errors import BrokenArtifact, one_line
from tasks.contracts.files import write_text
from tasks.contracts.images import Undecodable, decode, decoder_warnings_off
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.prepared import Pixels
from tasks.register.golden_images import golden_files

FOLDER, LOGITS = "golden", "logits.json"
# Of the largest recorded logit. Single precision stays below 1e-6 of it, whatever the threads and the memory format; a
# mean that is off by 0.002 moves it by 9e-4 or more (benchmarks/golden.py). bfloat16 is off by 1e-2: hence the check on
# loading, before anything lowers the precision.
TOLERANCE = 2e-4
_DECIMALS = 6

Logits = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One file below `golden/`: the class that the network answers, the logit of each class, a hash of its pixels."""

    file: str
    answer: str
    logits: dict[str, float]
    pixels_sha256: str


def write_golden(folder: Path, net: TransferNet, model: dict[str, Any]) -> None:
    """Draw the samples into `folder` and record what `net` makes of them; `model` is its ModelRecord as plain data.

    The network comes back in single precision, as it was.
    """
    files = golden_files(int(model["prepared_px"]))
    pixels = np.stack([decode(data, int(model["prepared_px"])).pixels for data in files.values()])
    found = logits_of(net.double(), backbone_ref(model["backbone"]), pixels)
    net.float()
    folder.mkdir()
    samples = []
    for (name, data), square, row in zip(files.items(), pixels, found, strict=True):
        (folder / f"{name}.png").write_bytes(data)
        named = {label: round(float(value), _DECIMALS) for label, value in zip(model["classes"], row, strict=True)}
        samples.append(Sample(f"{name}.png", model["classes"][int(row.argmax())], named, _hash(square)))
    text = json.dumps([asdict(sample) for sample in samples], indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / LOGITS, text + "\n")


def check_golden(folder: Path, net: TransferNet, model: dict[str, Any], prepared_px: int) -> None:
    """Let `net`, wherever it is, answer the samples in `folder` again.

    Raises BrokenArtifact where an answer is not the one that was recorded.
    """
    samples, classes = _read(folder), tuple(model["classes"])
    pixels = _prepared(folder, samples, prepared_px)
    found = logits_of(net, backbone_ref(model["backbone"]), pixels)
    for sample, square, row in zip(samples, pixels, found, strict=True):
        if sorted(sample.logits) != sorted(classes):
            raise BrokenArtifact(f"{folder}: {sample.file} was answered among other classes than the bundle names")
        recorded = np.array([sample.logits[label] for label in classes])
        allowed = TOLERANCE * max(1.0, float(np.abs(recorded).max()))
        off = float(np.abs(row - recorded).max())
        if not off <= allowed:  # NaN is no answer either
            now = one_line(classes[int(row.argmax())])
            same = _hash(square) == sample.pixels_sha256
            raise BrokenArtifact(
                f"{folder}: the model answers {sample.file} with {now!r}, recorded is {one_line(sample.answer)!r} "
                f"(logits are off by {off:.3g}, {allowed:.3g} is allowed): its "
                f"{'labels, its mean or std, or its weights' if same else 'preprocessing or the decoder'} changed; "
                "get the bundle anew"
            )


@torch.inference_mode()
def logits_of(net: TransferNet, backbone: BackboneRef, pixels: Pixels) -> Logits:
    """Logits (n, classes) of prepared `pixels` (n, side, side, 3), in the precision and on the device of `net`."""
    weights = next(net.parameters())
    images = torch.from_numpy(np.ascontiguousarray(pixels)).to(weights.device)
    inputs = to_input(images, backbone.input_px, backbone.mean, backbone.std).to(weights.dtype)
    found: Logits = net.eval()(inputs).double().cpu().numpy()
    return found


def _read(folder: Path) -> list[Sample]:
    try:
        samples = [Sample(**one) for one in json.loads((folder / LOGITS).read_text(encoding="utf-8"))]
        good = all(
            isinstance(sample.file, str) and all(isinstance(value, float) for value in sample.logits.values())
            for sample in samples
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BrokenArtifact(
            f"{folder / LOGITS} is no record of golden samples ({one_line(repr(error))[:150]})"
        ) from None
    if not samples or not good:
        raise BrokenArtifact(f"{folder / LOGITS} records no golden sample; get the bundle anew")
    return samples


def _prepared(folder: Path, samples: list[Sample], prepared_px: int) -> Pixels:
    squares = []
    with decoder_warnings_off():
        for sample in samples:
            try:
                squares.append(decode((folder / Path(sample.file).name).read_bytes(), prepared_px).pixels)
            except (OSError, Undecodable) as error:
                raise BrokenArtifact(f"{folder / sample.file}: {one_line(str(error))}; get the bundle anew") from None
    return np.stack(squares)


def _hash(pixels: Pixels) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
