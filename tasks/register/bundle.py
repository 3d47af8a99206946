"""A bundle: a model that is complete in itself. Weights, class order, preprocessing, calibration, provenance, card."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.backbone.network import TransferNet
from tasks.calibrate.calibration import Calibration, load_calibration
from tasks.contracts.errors import one_line
from tasks.contracts.files import replacing, write_record, write_text
from tasks.contracts.model_records import BundleRecord
from tasks.contracts.records import read_json
from tasks.train.model import WEIGHTS, load_net

RECORD = "bundle.json"
CARD = "README.md"
CALIBRATION = "calibration"


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory: the network in evaluation mode, `bundle.json` as plain data, and the calibration.

    An older graft made bundles without a calibration.
    """

    net: TransferNet
    record: dict[str, Any]
    calibration: Calibration | None

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels in the order of the network's outputs."""
        return tuple(self.record["model"]["classes"])


def write_bundle(folder: Path, candidate: Path, calibration: Path, record: BundleRecord) -> None:
    """Put the candidate's weights, its calibration, the record and a card into `folder`, all or nothing."""
    with replacing(folder) as part:
        part.mkdir()
        shutil.copyfile(candidate / WEIGHTS, part / WEIGHTS)
        shutil.copytree(calibration, part / CALIBRATION)
        write_record(part / RECORD, record)
        write_text(part / CARD, card(record))


def load_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`.

    Raises BrokenArtifact where a file is missing, broken or does not fit the others.
    """
    record = read_json(folder / RECORD)
    model = record["model"]
    calibration = load_calibration(folder / CALIBRATION) if (folder / CALIBRATION).is_dir() else None
    return Bundle(load_net(folder / WEIGHTS, model), record, calibration)


def card(record: BundleRecord) -> str:
    """The model card: what a person who finds this folder needs to know, in Markdown."""
    model, accuracy = record.model, record.test_accuracy
    backbone = model["backbone"]
    found = "".join(f"- {f.severity}: {_inert(f.message)}\n" for f in record.findings) or "- none\n"
    files = "".join(f"- `{path}`: sha256 `{digest}`\n" for path, digest in sorted(record.data.items()))
    return (
        f"# Image classifier\n\n"
        f"{len(model['classes'])} classes: {', '.join(_inert(c) for c in model['classes'])}.\n\n"
        f"- Test accuracy {_percent(accuracy.value)} (95 % interval {_percent(accuracy.low)} to "
        f"{_percent(accuracy.high)}, {accuracy.n} images)\n"
        f"- Backbone `{backbone['name']}` ({backbone['source']}), weights sha256 `{backbone['weights_sha256']}`\n"
        f"- Strategy {model['strategy']}, {model['train_images']} training images, seed {model['seed']}\n"
        f"- Input: upright, centre-cropped to {model['prepared_px']} px, resized to {backbone['input_px']} px, RGB\n\n"
        f"## Findings of the checks\n\n{found}\n## Made from\n\n{files}"
    )


def _percent(share: float | None) -> str:
    return "not measured" if share is None else f"{100 * share:.1f} %"


def _inert(text: str) -> str:
    """A data value that Markdown shows as it is: no markup, no link, no line break."""
    code = one_line(text).replace("`", "'")
    return f"`{code or ' '}`"
