"""The train stage: the candidate by the chosen strategy, and the same network from scratch as its control."""

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.bias.gate import require_open
from tasks.contracts.model_records import Attempt, ModelRecord
from tasks.contracts.params import TrainParams
from tasks.contracts.progress import say
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace
from tasks.train.launch import answer, run_joined
from tasks.train.model import RECORD, UNMITIGATED, count_parameters, is_trained, save_model, say_absent
from tasks.train.opening import open_task, without_mitigation
from tasks.train.pinned import find_start
from tasks.train.ranks import current, joined
from tasks.train.settings import strategies_of
from tasks.train.start import Start, verdict
from tasks.train.strategies import Scratch, Strategy
from tasks.train.transfer import RESULTS, Task, Transferred, rank, transfer

VERSION = RESULTS


@dataclass(frozen=True)
class Trained:
    """How the candidate and its control, if there is one, did on val."""

    candidate: Attempt
    scratch: Attempt | None


def run(ws: Workspace, params: TrainParams, seed: int) -> Trained:
    """Write `models/candidate` and `models/scratch`. A run that was killed goes on where it was.

    Where no control is wanted, `models/scratch` holds a line that says so.
    Where something is done against a bias, the candidate's folder also holds the model that is trained without it.
    Raises GateRefused, BadUsage (frozen stages, a column), BadData (an empty split, a loss that is no number),
    BadEnvironment (device, memory) and BrokenArtifact (weights, a start that is not here).
    """
    require_open(ws.gate)
    if params.processes > 1 and not current().is_joined:
        run_joined("tasks.train.step", (ws.root, params.model_dump_json(), seed), params.processes)
        return _read_back(ws)
    task, classes = open_task(ws, params, seed)
    wanted = strategies_of(params)
    start, why = find_start(ws, params, task, classes)
    tried = _tried(task, wanted, start, with_control=params.control)
    control = next((one for one in tried if one.strategy == Scratch()), None)
    candidates = [one for one in tried if one.strategy in wanted]
    best = max(candidates, key=_order)  # of equals the first: the backbone's
    compared = tuple(one.found.on_val for one in candidates) if len(candidates) > 1 else ()
    if start:
        why = verdict(best.found.on_val, max((one for one in candidates if _other(one, best)), key=_order).found.on_val)
    _say(compared, best.found.on_val, why)
    plain = without_mitigation(ws, best.task)
    before = _Tried(plain, best.strategy, transfer(plain, best.strategy)) if plain else None
    if current().is_first:
        _save(ws.candidate, best, classes, compared, why)
        if control:
            _save(ws.scratch, control, classes)
        else:
            say_absent(ws.scratch)
        if before:
            _save(ws.candidate / UNMITIGATED, before, classes)
        shutil.rmtree(ws.checkpoints, ignore_errors=True)
    return Trained(best.found.on_val, control.found.on_val if control else None)


@dataclass(frozen=True)
class _Tried:
    """One training: what was to be learned, how, and what came out."""

    task: Task
    strategy: Strategy
    found: Transferred


def _tried(task: Task, wanted: tuple[Strategy, ...], start: Start | None, *, with_control: bool) -> list[_Tried]:
    """The wanted strategies and the control from the backbone, then what can be started from a version."""
    asked = (*wanted, Scratch()) if with_control else wanted
    tries = [(task, strategy) for strategy in dict.fromkeys(asked)]
    if start:
        warm = replace(task, start=start, checkpoints=task.checkpoints / "start")
        tries += [(warm, strategy) for strategy in wanted if strategy != Scratch()]
    return [_Tried(one, strategy, transfer(one, strategy)) for one, strategy in tries]


def _order(one: _Tried) -> tuple[float, float]:
    return rank(one.found.on_val)


def _other(one: _Tried, than: _Tried) -> bool:
    return one.found.on_val.start != than.found.on_val.start


def _say(compared: tuple[Attempt, ...], best: Attempt, why: str) -> None:
    if compared:
        names = [one.strategy + (f" from {one.start}" if one.start else "") for one in (*compared, best)]
        said = ", ".join(f"{name} {one.val_accuracy:.3f}" for name, one in zip(names, compared, strict=False))
        say(f"accuracy on val: {said}; {names[-1]} is the candidate")
    say(why)


def _save(
    folder: Path, one: _Tried, classes: tuple[str, ...], compared: tuple[Attempt, ...] = (), why: str = ""
) -> None:
    task, found = one.task, one.found
    frozen, trained = count_parameters(found.net)
    record = ModelRecord(
        backbone=task.backbone,
        classes=classes,
        strategy=found.on_val.strategy,
        head=task.head.kind,
        feature_stages=task.head.feature_stages,
        frozen_parameters=frozen,
        trained_parameters=trained,
        frozen_sha256=found.frozen_sha256 if frozen else "",
        towards_tuned=found.towards_tuned,
        best_epoch=found.fitted.best_epoch,
        history=found.fitted.history,
        seed=task.recipe.seed,
        train_images=len(task.train),
        prepared_px=task.pixels.shape[1],
        compared=compared,
        started_from=found.on_val.start,
        start=why,
        learned=task.start.learned if task.start else {},
    )
    save_model(folder, found.net, record)


def _read_back(ws: Workspace) -> Trained:
    """What the processes wrote."""
    return Trained(_attempt(ws.candidate), _attempt(ws.scratch) if is_trained(ws.scratch) else None)


def _attempt(folder: Path) -> Attempt:
    model = read_json(folder / RECORD)
    kept = model["history"][model["best_epoch"] - 1]
    return Attempt(model["strategy"], kept["val_accuracy"], kept["val_loss"], model["started_from"])


def _main() -> None:
    """One of several processes, as `run_joined` or torchrun starts it."""
    root, params, seed = sys.argv[1:]
    with joined():
        run(Workspace(Path(root)), TrainParams.model_validate_json(params), int(seed))


if __name__ == "__main__":
    answer(_main)
