"""The start that `models/start.json` names, with its weights and the images that these know; or why there is none.

The file is an input of the stage: what training may start from is settled before it, so equal inputs give equal bytes.
Weights and tables come out of the registry, each held against its hash.
"""

from collections.abc import Sequence

from tasks.backbone.weights import build_backbone
from tasks.contracts.errors import BadUsage, BrokenArtifact
from tasks.contracts.files import read_table, sha256_of
from tasks.contracts.model_records import StartPin
from tasks.contracts.params import TrainParams
from tasks.contracts.records import read_json
from tasks.contracts.samples import usable
from tasks.contracts.workspace import Workspace
from tasks.register.contents import RECORD
from tasks.register.history import Version
from tasks.register.registry import bundle_of, data_of, find_version
from tasks.train.model import WEIGHTS
from tasks.train.start import BACKBONE, Start, why_not
from tasks.train.transfer import Task

_NOT = f"started from {BACKBONE}: "
_HELD_OUT = ("val", "promotion", "test")


def find_start(ws: Workspace, params: TrainParams, task: Task, classes: Sequence[str]) -> tuple[Start | None, str]:
    """The start that is to be tried beside the backbone, or None and where training starts instead, in a sentence.

    Raises BrokenArtifact where `models/start.json` is broken, or names a version that is not here as it was then.
    """
    pin = read_pin(ws)
    if params.start == "backbone":
        return None, f"{_NOT}train.start says so"
    if params.strategy == "scratch":
        return None, "started from random weights: train.strategy is scratch"
    if not pin.version:
        return None, _NOT + pin.why
    start = _resolved(ws, pin, tuple(classes))
    checked = read_table(ws.checked)
    held_out = {split: usable(checked, split)["sha256"] for split in _HELD_OUT}
    why = why_not(start, task.backbone, build_backbone(task.backbone, task.root), held_out)
    return (None, _NOT + why) if why else (start, "")


def read_pin(ws: Workspace) -> StartPin:
    """What `models/start.json` says. Raises BrokenArtifact where it is missing or not of this form."""
    if not ws.start.exists():
        raise BrokenArtifact(f"{ws.start} is missing; `graft init {ws.root}` makes what a workspace lacks")
    data = read_json(ws.start)
    try:
        pin = StartPin(**data)
        versions = {pin.version, *pin.learned} if pin.version else set(pin.learned)
        good = versions == set(pin.learned) and all(isinstance(part, str) for part in (pin.why, *pin.learned.values()))
    except (TypeError, AttributeError):
        good = False
    if not good:
        raise BrokenArtifact(
            f"{ws.start} is no record of a start; `git checkout -- models/start.json` brings back what was committed"
        )
    return pin


def _resolved(ws: Workspace, pin: StartPin, classes: tuple[str, ...]) -> Start:
    known = {name: _version(ws, name, commit) for name, commit in pin.learned.items()}
    bundle = bundle_of(ws, known[pin.version])
    weights = bundle / WEIGHTS
    if sha256_of(weights) != pin.weights_sha256:
        raise BrokenArtifact(f"{weights} is not what {ws.start} names; delete {bundle} and run again")
    seen = (usable(read_table(data_of(ws, version)), "train")["sha256"] for version in known.values())
    return Start(
        version=pin.version,
        sha256=pin.weights_sha256,
        weights=weights,
        model=read_json(bundle / RECORD)["model"],
        seen=frozenset().union(*seen),
        learned=pin.learned,
        classes=classes,
    )


def _version(ws: Workspace, name: str, commit: str) -> Version:
    try:
        version = find_version(ws, name)
    except BadUsage:
        version = None
    if version is None or version.commit != commit:
        raise BrokenArtifact(
            f"{ws.start} names {name} of commit {commit[:12]}, which is not here; `git fetch --tags` brings it, "
            "and with train.start: backbone nothing of it is needed"
        )
    return version
