"""What `graft tune` found, as frozen records."""

from dataclasses import dataclass
from typing import Literal

from tasks.contracts.model_records import LeftOut
from tasks.contracts.records import SCHEMA_VERSION, Finding, Statistic

# finished: trained to its end; pruned: behind the others; out_of_time: cut off at the end of the budget;
# too_long: its measured cost did not fit into what was left; diverged: its loss was no number
State = Literal["finished", "pruned", "out_of_time", "too_long", "diverged"]


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: accuracy in [0, 1] and loss in nats on val at the epoch of least loss, if there was one.

    `expected_s` is what a whole trial of this strategy takes, by this one's measured pace; None where none was.
    """

    state: State
    seconds: float
    epochs: int = 0
    best_epoch: int | None = None
    val_accuracy: float | None = None
    val_loss: float | None = None
    expected_s: float | None = None


@dataclass(frozen=True)
class Trial:
    """One setting that was tried; `number` counts all trials by the time of their start."""

    number: int
    strategy: str
    settings: dict[str, bool | int | float | str]
    is_present: bool
    outcome: Outcome


@dataclass(frozen=True)
class Importances:
    """What mattered under one strategy: each setting's share of the variance, which fANOVA estimates."""

    strategy: str
    trials: int
    shares: tuple[Statistic, ...]


@dataclass(frozen=True)
class TuningReport:
    """`.graft/tuning.json`. Only `val` was looked at, `val_images` of them, by every trial.

    `best` is the number of the best finished trial; `settings` are what `--set` takes to have it.
    """

    study: str
    checked_sha256: str  # of the table of checked images that was tuned on
    val_images: int
    trials: tuple[Trial, ...]
    present: int
    best: int
    settings: tuple[str, ...]
    importances: tuple[Importances, ...]
    left_out: tuple[LeftOut, ...]
    interrupted: int  # trials that a killed process or the end of a budget left, and that were started again
    seconds: float  # of the last call
    budget_s: float | None
    findings: tuple[Finding, ...] = ()
    report: str = "tuning"
    schema_version: int = SCHEMA_VERSION
