"""The params: one frozen model, one section for each stage.

Defaults live here; `params.yaml` of a new workspace spells them out. `params_file.py` reads and writes that file.
"""

import difflib
from datetime import date
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tasks.contracts import schedules
from tasks.contracts.reasons import REASONS
from tasks.contracts.transforms import problem_of

Share = Annotated[float, Field(ge=0.0, le=1.0)]


def _inside(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("must be a path inside the folder, without '..'")
    return path


Inside = Annotated[str, AfterValidator(_inside)]


def _known_reason(reason: str) -> str:
    if reason not in REASONS:
        nearest = difflib.get_close_matches(reason, REASONS, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else "the ids are listed in docs/checks.md"
        raise ValueError(f"unknown reason, {hint}")
    if reason == "outlier":
        raise ValueError("an outlier is unusual, not wrong: it only ever warns")
    return reason


Reason = Annotated[str, AfterValidator(_known_reason)]


class Section(BaseModel):
    """Frozen, strict about unknown keys and about types: `no` is not false, `"3"` is not 3, NaN is no number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class IngestParams(Section):
    """Where samples and labels come from."""

    table: Inside | None = None  # CSV, JSON lines or Parquet below data/raw; null: metadata.csv and the like if there
    labels_from: Literal["auto", "folders", "table", "sidecars"] = "auto"
    group: str | None = None  # the column that says which images belong together (patient, video, site)


class Limits(Section):
    """Beyond these a picture gets a reason; `dark`, `bright` and so on are described in docs/checks.md."""

    dark: Share = 0.13
    bright: Share = 0.88
    low_contrast: Share = 0.075
    low_information: Share = 0.009
    blurry: float = Field(0.075, ge=0)
    greyscale: Share = 0.015
    heavy_compression: float = Field(15.0, ge=0, le=100)
    has_border: Share = 0.05
    outlier: float = Field(1.8, ge=1)
    odd_aspect: float = Field(4.0, gt=1)
    odd_size: float = Field(4.0, gt=1)
    min_side_px: int = Field(16, ge=1)
    max_megapixels: float = Field(100.0, gt=0)
    max_megabytes: float = Field(200.0, gt=0)


class SplitShares(Section):
    """Shares of the images that no table assigns; they add up to 1."""

    train: Share = 0.6
    val: Share = 0.15
    promotion: Share = 0.1
    test: Share = 0.15

    @model_validator(mode="after")
    def _add_up(self) -> "SplitShares":
        total = self.train + self.val + self.promotion + self.test
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the shares add up to {total:g}, not to 1")
        return self


class QualityParams(Section):
    """What is measured, what the limits are, which reasons take an image out, and how images are split."""

    prepared_px: int = Field(224, ge=16, le=1024)
    limits: Limits = Limits()
    quarantine: tuple[Reason, ...] = ("dark", "bright", "low_information", "odd_size")
    splits: SplitShares = SplitShares()
    min_kept: Share = 0.5


class ChangeWaiverParams(Section):
    """A person lets a rule pass: which, why, and who."""

    rule: str
    reason: str = Field(min_length=1)
    by: str = Field(min_length=1)


def _day(day: object) -> object:
    return day.isoformat() if isinstance(day, date) else day  # YAML reads 2026-11-25 as a date


def _is_day(day: str) -> str:
    try:
        return day and date.fromisoformat(day).isoformat()
    except ValueError:
        raise ValueError(f"must be a day such as 2026-11-25, not {day!r}") from None


Day = Annotated[str, BeforeValidator(_day), AfterValidator(_is_day)]


class WaiverParams(ChangeWaiverParams):
    """The same for the gate; from `expires` on the rule holds again."""

    expires: Day = ""


class GateParams(Section):
    """The rules that stop a run, who set them and on which day; `waivers` lets one pass."""

    max_imbalance: float = Field(50.0, ge=1)
    min_train_images: int = Field(5, ge=1)
    min_test_images: int = Field(1, ge=0)
    max_association: Share = 1.0
    set_by: str = "graft's defaults"
    set_on: Day = ""
    waivers: tuple[WaiverParams, ...] = ()


class CoverageParams(Section):
    """Images that each class should have with each value of an attribute that it shares with others."""

    train: int = Field(10, ge=1)
    test: int = Field(5, ge=1)


class ReferenceParams(Section):
    """Whom the data should be like: of each column the share of each value in that population."""

    source: str = Field("", max_length=500)
    date: Annotated[str, BeforeValidator(_day)] = ""
    shares: dict[str, dict[str, Share]] = {}

    @model_validator(mode="after")
    def _add_up(self) -> "ReferenceParams":
        for column, shares in self.shares.items():
            if abs(sum(shares.values()) - 1.0) > 0.01:  # published shares are rounded
                raise ValueError(f"the shares of {column} add up to {sum(shares.values()):g}, not to 1")
        if self.shares and not (self.source and self.date):
            raise ValueError("shares without their source and date say nothing; give all three")
        return self


class BiasParams(Section):
    """How hard bias is looked for, who should be in the data, what is not published, and what stops the run.

    `mitigate` names the kinds of bias to act on where they are found: only a person knows that a tone or a column has
    nothing to do with what the classes mean.
    """

    permutations: int = Field(500, ge=20, le=100_000)
    attributes: tuple[str, ...] = ()
    small_cell: int = Field(5, ge=1)
    coverage: CoverageParams = CoverageParams()
    reference: ReferenceParams = ReferenceParams()
    mitigate: tuple[Literal["association", "border", "compression", "overlay", "sharpness", "size", "tone"], ...] = ()
    gate: GateParams = GateParams()


def _allowed(transform: dict[str, Any]) -> dict[str, Any]:
    if problem := problem_of(transform):
        raise ValueError(problem)
    return transform


class AugmentParams(Section):
    """No built-in policy mirrors or turns an image: a flip is the choice of a user, and is tested like the rest.

    The policy `own` is made of `transforms`, each an entry of tasks/contracts/transforms.py.
    """

    policy: Literal["none", "light", "medium", "strong", "own"] = "light"
    transforms: tuple[Annotated[dict[str, Any], AfterValidator(_allowed)], ...] = ()
    horizontal_flip: bool = False
    vertical_flip: bool = False
    waivers: tuple[ChangeWaiverParams, ...] = ()  # a person lets a transform pass that was found to change labels

    @model_validator(mode="after")
    def _own_has_transforms(self) -> "AugmentParams":
        if (self.policy == "own") != bool(self.transforms):
            raise ValueError("policy: own and a list of transforms go together; give both or neither")
        return self


class LocalBackbone(Section):
    """A safetensors file of one's own: the torchvision network that it fits, and where it lies in the workspace."""

    network: str
    weights: Inside


class SelectParams(Section):
    """Which backbones compete. An empty list: embedded, cached and (unless offline) three to download."""

    candidates: tuple[str | LocalBackbone, ...] = ()
    download: bool = True
    folds: int = Field(5, ge=2, le=20)


class FineTuningParams(Section):
    """How fine-tuning adapts the backbone. Stages are counted from the stem; docs/training.md says what each does."""

    frozen_stages: int = Field(0, ge=0)
    gradual: bool = False
    probe_first: bool = False
    interpolate: bool = False
    layer_decay: float = Field(0.7, gt=0, le=1)
    l2_sp: float = Field(0.0, ge=0)
    batch_norm: Literal["adapt", "frozen"] = "adapt"

    @model_validator(mode="after")
    def _interpolation_has_two_ends(self) -> "FineTuningParams":
        if self.interpolate and not self.probe_first:
            raise ValueError("interpolate needs probe_first: true, whose weights are the other end")
        return self


class TrainParams(Section):
    """How to transfer. Early stopping keeps the best epoch; mixup and cutmix change whole images only."""

    strategy: Literal["auto", "feature_extraction", "fine_tuning", "scratch"] = "fine_tuning"
    control: bool = True
    start: Literal["best", "backbone"] = "best"
    head: Literal["linear", "cosine", "mlp"] = "linear"
    feature_stages: int = Field(3, ge=1)
    views: int = Field(0, ge=0, le=64)
    fine_tuning: FineTuningParams = FineTuningParams()
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(32, ge=3)
    at_once: int = Field(0, ge=0)
    learning_rate: float = Field(2e-3, gt=0, le=10)
    schedule: Literal["cosine", "one_cycle"] = "cosine"
    weight_decay: float = Field(0.05, ge=0)
    clip_norm: float = Field(0.0, ge=0)
    dropout: float = Field(0.2, ge=0, lt=1)
    stochastic_depth: float = Field(0.0, ge=0, lt=1)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    mixup: float = Field(0.0, ge=0)
    cutmix: float = Field(0.0, ge=0)
    ema: float = Field(0.0, ge=0, lt=1)
    sampling: Literal["shuffled", "class_balanced", "group_balanced"] = "shuffled"
    group_dro: float = Field(0.0, ge=0)
    group_by: str | None = None
    patience: int = Field(5, ge=1)
    workers: int = Field(1, ge=0, le=64)
    processes: int = Field(1, ge=1, le=64)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class EvaluateParams(Section):
    """How intervals are made, between whom outcomes are compared, and how many images are corrupted."""

    resamples: int = Field(2000, ge=100, le=100_000)
    attributes: tuple[str, ...] = ()
    small_group: int = Field(5, ge=1)
    least_share: Share = 0.02
    reference_groups: dict[str, str] = {}
    corrupted_images: int = Field(20, ge=0)


class RegisterParams(Section):
    """When a new version replaces the champion by itself: docs/registry.md.

    `margin` is how much worse still counts as not worse, `level` the chance that is taken, over all retrains together,
    of crowning what is worse than that. The `max_` are bounds that it must keep; null: none.
    """

    margin: Share = 0.01
    level: float = Field(0.05, gt=0, lt=0.5)
    max_calibration_error: Share = 0.2
    max_latency_ms: float | None = Field(None, gt=0)
    max_megabytes: float | None = Field(None, gt=0)


def _as_text(value: Any) -> Any:
    """What YAML takes for a number or a date is what somebody wrote: a year, a day, a version."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int | float | date) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_as_text)]


class AuditParams(Section):
    """What only people can say about the data. It goes into each audit as it stands; no stage reads it.

    What is left empty is listed in the audit as not said.
    """

    purpose: Text = ""
    population: Text = ""
    out_of_scope: Text = ""
    sources: Text = ""
    licence: Text = ""
    consent: Text = ""
    period: Text = ""
    personal_data: Text = ""
    legal_basis: Text = ""
    annotation: Text = ""
    assumptions: Text = ""
    owner: Text = ""


def _given(check: Any) -> AfterValidator:
    return AfterValidator(lambda text: text and check(text))


class ScheduleParams(Section):
    """When a flow starts by itself: by `cron` or every `interval`, in a time zone. Both empty: never."""

    flow: Literal["retrain", "pipeline", "audit"] = "retrain"
    cron: Annotated[Text, _given(schedules.cron)] = ""
    interval: Annotated[Text, _given(lambda text: schedules.interval(text) and text)] = ""
    timezone: Annotated[str, AfterValidator(schedules.zone)] = "UTC"

    @model_validator(mode="after")
    def _one_of_both(self) -> "ScheduleParams":
        if self.cron and self.interval:
            raise ValueError("cron and interval are two schedules; leave one of them empty")
        return self


def _database(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not url or (separator and rest and scheme in ("postgresql", "postgresql+asyncpg")):
        return url and f"postgresql+asyncpg://{rest}"
    raise ValueError("expected postgresql://USER@HOST/NAME, or nothing for SQLite in the workspace")


class OnChangeParams(Section):
    """How much must have changed for an unattended run to train; all three must hold, and 0 asks for nothing.

    `files` that were added, removed, changed or moved; their `share` of all; the largest `drift` that is found between
    the images that came or went and those that stayed (docs/bias.md).
    """

    files: int = Field(1, ge=1)
    share: Share = 0.0
    drift: Share = 0.0


class OperateParams(Section):
    """The server of `graft up`, what it starts by itself and whom it tells; unattended runs. No stage reads this.

    `leave` is what such a run leaves in git: a branch of its own, or the user's branch moved on.
    """

    database: Annotated[Text, AfterValidator(_database)] = ""
    port: int = Field(4200, ge=1024, le=65535)
    schedule: ScheduleParams = ScheduleParams()
    overlap: Literal["wait", "drop"] = "wait"
    notify: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")], ...] = ()
    on_change: OnChangeParams = OnChangeParams()
    leave: Literal["branch", "fast_forward"] = "branch"


class Params(Section):
    """The whole of `params.yaml`."""

    seed: int = Field(0, ge=0, lt=2**31)
    ingest: IngestParams = IngestParams()
    quality: QualityParams = QualityParams()
    bias: BiasParams = BiasParams()
    augment: AugmentParams = AugmentParams()
    select: SelectParams = SelectParams()
    train: TrainParams = TrainParams()
    evaluate: EvaluateParams = EvaluateParams()
    register_: RegisterParams = Field(RegisterParams(), alias="register")
    audit: AuditParams = AuditParams()
    operate: OperateParams = OperateParams()
