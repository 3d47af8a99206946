"""The records that stages exchange, as frozen dataclasses, and their one way to and from JSON.

Stages meet here and in files; they never import each other's steps.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.contracts.errors import BrokenArtifact

SCHEMA_VERSION = 1

SPLITS = ("train", "val", "promotion", "test")
Split = Literal["train", "val", "promotion", "test"]
Severity = Literal["info", "warn", "error"]
Status = Literal["measured", "too_small", "not_measurable", "skipped"]


@dataclass(frozen=True)
class Statistic:
    """A number with what is needed to trust it.

    `low` and `high` bound a 95 % interval where the estimator has one. A value that could not be measured is
    None, with a status that says so: it is never shown as zero. `p_value` is there where a null was tested,
    corrected for the multiple tests that `estimator` names.
    """

    name: str
    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    status: Status = "measured"
    estimator: str = ""
    p_value: float | None = None


@dataclass(frozen=True)
class Finding:
    """One detected problem: which check, how bad, about what, how sure, and what to do.

    `evidence` holds paths relative to `data/raw`, at most ten.
    """

    check: str
    severity: Severity
    subject: str
    statistic: Statistic
    message: str
    remedy: str = ""
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expectation:
    """One line of the data contract and whether the table meets it; `source` is `graft` or a place in contract.json."""

    expectation: str
    column: str
    rule: str
    success: bool
    unexpected: int
    examples: tuple[str, ...] = ()
    severity: Severity = "error"
    source: str = "graft"


@dataclass(frozen=True)
class QualityReport:
    """What `quality` says: `found == kept + quarantined`; `warned` of the kept carry a reason."""

    found: int
    kept: int
    warned: int
    quarantined: int
    reasons: dict[str, int]
    classes: tuple[str, ...]
    split_sizes: dict[str, dict[str, int]]  # label -> split -> kept images
    contract: tuple[Expectation, ...]
    findings: tuple[Finding, ...]
    label_check: tuple[Statistic, ...] = ()  # how far the search for wrong labels can be trusted
    report: str = "quality"
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class BiasReport:
    """What `bias` says: composition, association of label and metadata, shortcuts."""

    composition: dict[str, dict[str, int]]  # label -> group value ("all" where no group is declared) -> images
    imbalance_ratio: Statistic
    associations: tuple[Statistic, ...]  # Cramer's V of the label with each metadata column
    shortcuts: tuple[Statistic, ...]
    findings: tuple[Finding, ...]
    report: str = "bias"
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Waiver:
    """A person's decision to go on in spite of a rule."""

    rule: str
    reason: str
    by: str


@dataclass(frozen=True)
class GateRule:
    """One rule of the gate: what was measured, the limit, and whether it passed or was waived."""

    rule: str
    limit: float
    value: float | None
    passed: bool
    message: str
    waiver: Waiver | None = None


@dataclass(frozen=True)
class GateReport:
    """Whether the stages after the audit may start. A waived rule counts as passed."""

    passed: bool
    rules: tuple[GateRule, ...]
    set_by: str
    findings: tuple[Finding, ...] = ()
    report: str = "gate"
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class BackboneRef:
    """Which backbone: enough to build the same network with the same weights again.

    `source` is `embedded`, `torchvision`, `local` or `random`; `weights_sha256` is empty for `random`.
    """

    name: str
    source: str
    network: str
    weights_sha256: str
    input_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    parameters: int
    weights_path: str = ""  # of a local file, as the params give it


@dataclass(frozen=True)
class Candidate:
    """A backbone and how well a linear probe on its frozen features does, by cross-validation on train."""

    backbone: BackboneRef
    accuracy: Statistic
    features: int
    fold_accuracies: tuple[float, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """A candidate that was not considered, and how to have it considered."""

    name: str
    why: str
    remedy: str


@dataclass(frozen=True)
class SelectionReport:
    """Candidates best first, the controls (random features, raw pixels), and what was left out."""

    chosen: BackboneRef
    why: str
    candidates: tuple[Candidate, ...]
    controls: tuple[Statistic, ...]
    left_out: tuple[LeftOut, ...]
    findings: tuple[Finding, ...]
    report: str = "selection"
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Epoch:
    """One pass over the training split; accuracies in [0, 1], losses in nats."""

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True)
class Attempt:
    """How one strategy did on val at the epoch that was kept; accuracy in [0, 1], loss in nats."""

    strategy: str
    val_accuracy: float
    val_loss: float


@dataclass(frozen=True)
class ModelRecord:
    """What is needed to build a trained network again, beside `weights.safetensors` in the same folder."""

    backbone: BackboneRef
    classes: tuple[str, ...]
    strategy: str
    head: str
    feature_stages: int
    frozen_parameters: int
    trained_parameters: int
    frozen_sha256: str  # of everything that was frozen, the same before training and after; empty where nothing was
    towards_tuned: float  # how far from probed to tuned weights; 1 without interpolation
    best_epoch: int
    history: tuple[Epoch, ...]
    seed: int
    train_images: int
    prepared_px: int
    compared: tuple[Attempt, ...] = ()  # the strategies that `auto` chose from
    findings: tuple[Finding, ...] = ()
    report: str = "training"
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class ClassScore:
    """One class on the test split; a rate is None where its denominator is zero."""

    label: str
    n: int
    precision: float | None
    recall: Statistic
    f1: float | None


@dataclass(frozen=True)
class CalibrationBin:
    """Predictions whose confidence falls in [low, high)."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Scores:
    """One model on one split. `confusion[i][j]` counts images of class i that were called class j."""

    accuracy: Statistic
    macro_f1: Statistic
    log_loss: Statistic
    calibration_error: Statistic
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class Mistake:
    """A test image that the candidate got wrong, the most confident first."""

    path: str
    sha256: str
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class EvaluationReport:
    """The candidate and its control on the test split, and their paired difference in accuracy."""

    classes: tuple[str, ...]
    candidate: Scores
    scratch: Scores
    majority: Statistic
    difference: Statistic
    mistakes: tuple[Mistake, ...]
    findings: tuple[Finding, ...]
    split: str = "test"
    report: str = "evaluation"
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class BundleRecord:
    """`bundle.json`: what a registered model is, what it expects and where it comes from."""

    model: dict[str, Any]  # the ModelRecord of the network
    preprocessing: dict[str, str | int]
    test_accuracy: Statistic
    data: dict[str, str]  # file -> sha256 of the tables that made it
    findings: tuple[Finding, ...] = ()
    report: str = "bundle"
    schema_version: int = SCHEMA_VERSION


def to_json(record: Any) -> str:
    """A record as JSON: sorted keys, two spaces, one newline at the end; equal records give equal bytes.

    Raises ValueError on NaN or infinity.
    """
    return json.dumps(asdict(record), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """The report at `path` as plain data.

    Raises BrokenArtifact where it is missing, is not JSON or has another schema version.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BrokenArtifact(f"{path} is missing; run `graft run` to make it") from None
    except ValueError as error:
        raise BrokenArtifact(f"{path} is not JSON ({error}); run `graft run` to make it again") from None
    if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
        raise BrokenArtifact(f"{path} has not schema_version {SCHEMA_VERSION}; run `graft run` to make it again")
    return data
