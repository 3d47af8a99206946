"""`graft tune`: a search on what the stages before training left, under the lock of a run."""

import importlib
import math
from collections import Counter
from dataclasses import dataclass

from flows.publish import registered
from flows.runs import heal, recorded
from flows.stages import STAGES, STEPS, only_run, stale_stages
from tasks.bias.gate import require_open
from tasks.contracts.errors import BadUsage
from tasks.contracts.files import sha256_of, write_record
from tasks.contracts.params_file import load_params, override
from tasks.contracts.run_records import Trigger
from tasks.contracts.workspace import Workspace
from tasks.register.registry import versions
from tasks.report.page import write_page
from tasks.train.opening import open_task
from tasks.tune.budget import parse_budget
from tasks.tune.records import Trial, TuningReport
from tasks.tune.tuning import Limits, Tuning, tune

DEFAULT_BUDGET = "10m"
_NEEDED = STAGES[: STAGES.index("train")]


@dataclass(frozen=True)
class Found:
    """What a search came to: its report, where the page is, and the lines of params.yaml that were changed."""

    report: TuningReport
    page: str
    changes: tuple[str, ...]


def limits(budget: str | None, trials: int | None) -> Limits:
    """The limits that `--budget` and `--trials` set. Raises BadUsage where they are none."""
    if trials is not None and trials < 1:
        raise BadUsage(f"--trials {trials}: expected 1 or more")
    if budget is None and trials is None:
        budget = DEFAULT_BUDGET
    return Limits(parse_budget(budget) if budget else math.inf, trials or math.inf)


def search(ws: Workspace, within: Limits, *, apply: bool) -> Found:
    """Tune, write the record and draw the page; with `apply`, write the best settings into params.yaml.

    Raises BadUsage where a stage before training is missing or stale, GateRefused, and what `tune` raises.
    """
    with only_run(ws):
        _require_fresh(ws)
        with recorded(ws, "tune", Trigger("by hand")) as run:
            heal(ws)
            found = _search(ws, within, apply=apply)
            best = found.report.trials[found.report.best]
            run.note(why=f"best of {len(found.report.trials)} trials: {_said(best)}")
            return found


def _search(ws: Workspace, within: Limits, *, apply: bool) -> Found:
    require_open(ws.gate)
    params = load_params(ws.params)
    task, _ = open_task(ws, params.train, params.seed)
    code = f"train {importlib.import_module(STEPS['train']).VERSION}"
    report = tune(Tuning(task, params, sha256_of(ws.checked), ws.trials, code), within)
    write_record(ws.tuning, report)
    changes = override(ws.params, list(report.settings)) if apply else []
    version = registered(ws, versions(ws))
    return Found(report, str(write_page(ws, version.title if version else "")), tuple(changes))


def screen(found: Found) -> str:
    """The same for people."""
    report = found.report
    present, best = report.trials[report.present], report.trials[report.best]
    more = round(((best.outcome.val_accuracy or 0.0) - (present.outcome.val_accuracy or 0.0)) * report.val_images)
    lines = ["", f"tried       {_counts(report)}", f"present     {_said(present)}"]
    if best.is_present:
        lines.append("best        the present settings: none that was tried does better on val")
    else:
        images = (
            f"{more} more of {report.val_images:,} images right" if more else "as many images right, a smaller loss"
        )
        lines += [f"best        {_said(best)}: {images}", *(f"            --set {line}" for line in report.settings)]
    for one in report.importances:
        shares = [f"{s.name} {s.value:.0%}" for s in one.shares if s.value is not None]
        told = ", ".join(shares[:4]) or f"too few trials to tell (n = {one.trials})"
        lines.append(f"mattered    {one.strategy}: {told}")
    lines += [f"left out    {one.name}: {one.why}" for one in report.left_out]
    lines += [f"params.yaml {change}" for change in found.changes]
    lines.append(
        f"Val chose among {len(report.trials)} trials, so its accuracy flatters the best; test tells: `graft run`"
    )
    if report.settings and not found.changes:
        lines.append("`graft tune --apply` with the same limits writes these settings into params.yaml")
    return "\n".join([*lines, f"page        {found.page}"])


def _require_fresh(ws: Workspace) -> None:
    """Params that were tuned on other data or another backbone would be of no use."""
    stale = {name: why for name, why in stale_stages(ws).items() if why and name in _NEEDED}
    if stale:
        name, why = next(iter(stale.items()))
        raise BadUsage(f"{', '.join(stale)} not up to date ({name}: {why}); `graft run --until select` first")


def _counts(report: TuningReport) -> str:
    parts = []
    for strategy, count in Counter(one.strategy for one in report.trials).items():
        states = Counter(one.outcome.state for one in report.trials if one.strategy == strategy)
        others = [f"{n} {state.replace('_', ' ')}" for state, n in states.items() if state != "finished"]
        parts.append(f"{count} {strategy}" + (f" ({', '.join(others)})" if others else ""))
    return f"{', '.join(parts)}; this call took {report.seconds:.0f} s"


def _said(trial: Trial) -> str:
    outcome = trial.outcome
    return (
        f"val accuracy {100 * (outcome.val_accuracy or 0.0):.1f} %, loss {outcome.val_loss or 0.0:.3f} "
        f"(trial {trial.number}, {trial.strategy})"
    )
