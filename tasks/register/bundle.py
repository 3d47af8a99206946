"""A bundle: a model that is complete in itself, and that is checked whole whenever it is loaded.

Weights, class order, what it takes, golden samples, provenance, the reports and a card. `bundle.json` lists every file
with its SHA-256. Hashes say that nothing was changed since; golden samples, that it still means the same.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.backbone.network import TransferNet
from tasks.calibrate.calibration import Calibration, load_calibration
from tasks.contracts.errors import BrokenArtifact, one_line
from tasks.contracts.files import replacing, write_record, write_text
from tasks.contracts.model_records import BundleRecord
from tasks.contracts.records import read_json
from tasks.register.card import card as card
from tasks.register.contents import CARD, check_files, list_files
from tasks.register.contents import RECORD as RECORD
from tasks.register.golden import FOLDER as GOLDEN
from tasks.register.golden import check_golden, write_golden
from tasks.register.header import check_header
from tasks.register.provenance import input_contract
from tasks.train.model import WEIGHTS, load_net

REPORTS, CALIBRATION = "reports", "calibration"


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory: the network in evaluation mode, `bundle.json` as plain data, and the calibration."""

    net: TransferNet
    record: dict[str, Any]
    calibration: Calibration

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels in the order of the network's outputs."""
        return tuple(self.record["model"]["classes"])


def write_bundle(
    folder: Path, candidate: Path, calibration: Path, record: BundleRecord, reports: tuple[Path, ...]
) -> BundleRecord:
    """Put weights, calibration, golden samples, `reports`, a card and the record into `folder`, all or nothing.

    `candidate` and `calibration` are folders. Returns the record with the list of files.
    """
    with replacing(folder) as part:
        part.mkdir()
        shutil.copyfile(candidate / WEIGHTS, part / WEIGHTS)
        write_golden(part / GOLDEN, load_net(part / WEIGHTS, record.model), record.model)
        for path in reports:
            (part / REPORTS).mkdir(exist_ok=True)
            shutil.copyfile(path, part / REPORTS / path.name)
        shutil.copytree(calibration, part / CALIBRATION, copy_function=shutil.copyfile)
        write_text(part / CARD, card(record))
        listed = replace(record, files=list_files(part))
        write_record(part / RECORD, listed)
    return listed


def load_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`, with every file hashed and every golden sample answered again.

    Raises BrokenArtifact where a file is missing, extra, altered or broken, where parts do not fit each other, or where
    the model answers a golden sample otherwise than it did.
    """
    record = _record(folder)
    check_files(folder, record["files"])
    model = record["model"]
    check_header(folder / WEIGHTS)
    net = load_net(folder / WEIGHTS, model)
    check_golden(folder / GOLDEN, net, model, int(record["preprocessing"]["prepared_px"]))
    return Bundle(net, record, load_calibration(folder / CALIBRATION))


def _record(folder: Path) -> dict[str, Any]:
    """`bundle.json`, with the parts that are read without asking."""
    record = read_json(folder / RECORD)
    try:
        files, model, px = record["files"], record["model"], record["preprocessing"]["prepared_px"]
        good = (
            files
            and all(isinstance(part, str) for pair in files.items() for part in pair)
            and isinstance(px, int)
            and 1 <= px <= 4096
            and len(set(model["classes"])) == len(model["classes"]) >= 1
            and all(isinstance(label, str) for label in model["classes"])
        )
        said = record["inputs"] == input_contract(model)
    except (KeyError, TypeError, AttributeError) as error:
        raise BrokenArtifact(
            f"{folder / RECORD} is not of this graft's form ({one_line(repr(error))[:100]}); "
            "make the bundle again with `graft run --force register`"
        ) from None
    if not good:
        raise BrokenArtifact(f"{folder / RECORD}: its files, classes or size make no sense; get the bundle anew")
    if not said:
        raise BrokenArtifact(f"{folder / RECORD}: what it says of its input is not what its model takes; get it anew")
    return record
