"""The records about backbones and models: what `select`, `train`, `evaluate` and `register` write."""

from dataclasses import dataclass, field
from typing import Any

from tasks.contracts.records import SCHEMA_VERSION, Finding, Section, Statistic


@dataclass(frozen=True)
class BackboneRef:
    """Which backbone: enough to build the same network with the same weights again.

    `source` is `embedded`, `torchvision`, `timm`, `local` or `random`; `weights_sha256` is empty for `random`.
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
    start: str = ""  # the version whose weights it started from; empty: the backbone's, or random ones for scratch


@dataclass(frozen=True)
class StartPin:
    """`models/start.json`: the version that training may start from, named before a run began, or why there is none.

    `learned` is each version whose training images those weights have learned from, with the commit of its saved run.
    """

    version: str = ""
    weights_sha256: str = ""
    learned: dict[str, str] = field(default_factory=dict)
    why: str = ""
    report: str = "start"
    schema_version: int = SCHEMA_VERSION


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
    compared: tuple[Attempt, ...] = ()  # the strategies and starts that were chosen from
    started_from: str = ""  # the version whose weights training started from; empty: the backbone's
    start: str = ""  # why from there
    learned: dict[str, str] = field(default_factory=dict)  # versions whose images these weights knew already -> commit
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
    auroc: Statistic | None = None  # of its probability, against the images of all other classes


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
    balanced_accuracy: Statistic | None = None  # mean recall of the classes
    auroc: Statistic | None = None  # mean of the classes', one against the rest


@dataclass(frozen=True)
class Mistake:
    """A test image that the candidate got wrong, the most confident first."""

    path: str
    sha256: str
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Corruption:
    """Accuracy on the same test images under one corruption, clean and at each severity from 1 on."""

    name: str
    family: str  # noise, blur, weather or digital
    candidate_clean: Statistic
    scratch_clean: Statistic
    candidate: tuple[Statistic, ...]
    scratch: tuple[Statistic, ...]  # all of the control's are `skipped` where none was trained
    candidate_loss: Statistic  # the share of its clean accuracy that the model loses, the mean over the severities
    scratch_loss: Statistic


@dataclass(frozen=True)
class Robustness:
    """How both models do on corrupted images; a loss is the share of the clean accuracy that is lost, on average."""

    images_each: int  # test images for each corruption
    sample: str  # the rule by which they were chosen
    candidate_loss: Statistic
    scratch_loss: Statistic
    loss_difference: Statistic  # the candidate's minus the control's: below 0 where transfer made it sturdier
    corruptions: tuple[Corruption, ...]


@dataclass(frozen=True)
class EvaluationReport:
    """The candidate and its control on the test split, and their paired difference in accuracy."""

    classes: tuple[str, ...]
    candidate: Scores
    scratch: Scores | None  # null where no control was trained
    majority: Statistic
    difference: Statistic
    mistakes: tuple[Mistake, ...]
    findings: tuple[Finding, ...]
    sections: tuple[Section, ...] = ()  # outcomes by group, worst slices, and what acting on a bias did
    trivial: Statistic | None = None  # accuracy of the best model that cannot see the subject
    trivial_difference: Statistic | None = None  # the candidate's accuracy minus that one's, image by image
    robustness: Robustness | None = None  # accuracy on corrupted test images
    split: str = "test"
    report: str = "evaluation"
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class CalibrationRecord:
    """`calibration.json`: what was fitted on images that the network did not learn from, and on how many."""

    temperature: float  # logits are divided by it
    val_images: int  # that the temperature is from
    held_back: int  # of val and promotion: the sets' scores and the limit are from these
    references: int  # training images that others are held against, as their classes
    false_flags: float  # at most this share of images like those of training lies beyond the limit
    limit: float | None  # distance from the nearest class; None: too few held-back images for one
    report: str = "calibration"
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class BundleRecord:
    """`bundle.json`: what a registered model is, what it expects and where it comes from."""

    model: dict[str, Any]  # the ModelRecord of the network
    preprocessing: dict[str, str | int]
    test_accuracy: Statistic
    data: dict[str, str]  # file -> sha256 of the tables that made it
    findings: tuple[Finding, ...] = ()
    inputs: dict[str, Any] = field(default_factory=dict)  # what images it takes, and what becomes of them
    backbone: dict[str, str] = field(default_factory=dict)  # name, source, hash, source data and licence
    data_root_sha256: str = ""  # of all samples with label and split, as in an audit
    params: dict[str, Any] = field(default_factory=dict)  # the settings that shaped the weights
    environment: dict[str, str] = field(default_factory=dict)  # library -> version that made it
    files: dict[str, str] = field(default_factory=dict)  # file of the bundle -> its sha256
    report: str = "bundle"
    schema_version: int = SCHEMA_VERSION
