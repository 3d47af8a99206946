"""Where everything lies in a workspace. Paths only; nothing here reads or writes."""

from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.errors import BadUsage


class At:
    """A place in a workspace, relative to its root; read from a workspace it is the whole path."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __get__(self, ws: "Workspace", _owner: type["Workspace"]) -> Path:
        """The path in `ws`."""
        return ws.root / self.place


@dataclass(frozen=True)
class Workspace:
    """A folder with `dvc.yaml`, `params.yaml`, `data/`, `models/` and `reports/`."""

    root: Path

    params = At("params.yaml")
    decisions = At("decisions.csv")
    contract = At("contract.json")

    raw = At("data/raw")
    manifest = At("data/manifest.parquet")
    checked = At("data/checked.parquet")
    splits = At("data/splits.parquet")
    weights = At("data/weights.parquet")

    start = At("models/start.json")
    augmentation = At("models/augmentation.json")
    candidate = At("models/candidate")
    scratch = At("models/scratch")
    calibration = At("models/calibration")
    bundle = At("models/bundle")
    backbones = At("models/backbones")

    reports = At("reports")
    quality = At("reports/quality.json")
    contract_results = At("reports/contract.json")
    duplicates = At("reports/duplicates.parquet")
    label_errors = At("reports/label_errors.parquet")
    suspects = At("reports/suspects.jpg")
    bias = At("reports/bias.json")
    gate = At("reports/gate.json")
    contact_sheet = At("reports/augmentation.jpg")
    selection = At("reports/selection.json")
    evaluation = At("reports/evaluation.json")
    metrics = At("reports/metrics.json")
    errors = At("reports/errors.jpg")
    plots = At("reports/plots")
    page = At("reports/index.html")
    audit_pages = At("reports/audit")
    runs_page = At("reports/runs.html")

    private = At(".graft")  # caches, locks and run records: never versioned, safe to delete between runs
    cache = At(".graft/cache")
    prepared = At(".graft/cache/prepared")
    checkpoints = At(".graft/checkpoints")
    runs = At(".graft/runs")
    worktrees = At(".graft/worktrees")  # where unattended runs work
    trials = At(".graft/tuning")
    tuning = At(".graft/tuning/tuning.json")  # what a search found is no output of a stage: it depends on the clock


def find_workspace(given: Path | None) -> Workspace:
    """The workspace at `given`; where none is given, the nearest folder from here upwards that is one.

    It is one that holds `dvc.yaml` and `params.yaml`. Raises BadUsage where there is none.
    """
    start = (given or Path()).resolve()
    for folder in (start, *([] if given else start.parents)):
        if (folder / "dvc.yaml").is_file() and (folder / "params.yaml").is_file():
            return Workspace(folder)
    raise BadUsage(
        f"{start} is no workspace (no dvc.yaml and params.yaml{'' if given else ' there or above'}); "
        "make one with `graft init DIR --data FOLDER`"
    )
