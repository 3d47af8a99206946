"""The train stage: the candidate by the chosen strategy, and the same network from scratch as its control."""

import shutil
import sys
from dataclasses import dataclass
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
from tasks.train.ranks import current, joined
from tasks.train.settings import strategies_of
from tasks.train.strategies import Scratch
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
    BadEnvironment (device, memory) and BrokenArtifact (weights).
    """
    require_open(ws.gate)
    if params.processes > 1 and not current().is_joined:
        run_joined("tasks.train.step", (ws.root, params.model_dump_json(), seed), params.processes)
        return _read_back(ws)
    task, classes = open_task(ws, params, seed)
    wanted, scratch = strategies_of(params), Scratch()
    asked = (*wanted, scratch) if params.control else wanted
    found = {strategy.name: transfer(task, strategy) for strategy in dict.fromkeys(asked)}
    control = found.get(scratch.name)
    attempts = tuple(found[strategy.name].on_val for strategy in wanted)
    best = max(attempts, key=rank)
    if len(attempts) > 1:
        said = ", ".join(f"{attempt.strategy} {attempt.val_accuracy:.3f}" for attempt in attempts)
        say(f"accuracy on val: {said}; {best.strategy} is the candidate")
    compared = attempts if len(attempts) > 1 else ()
    plain = without_mitigation(ws, task)
    before = transfer(plain, next(one for one in wanted if one.name == best.strategy)) if plain else None
    if current().is_first:
        _save(ws.candidate, task, found[best.strategy], (classes, compared))
        if control:
            _save(ws.scratch, task, control, (classes, ()))
        else:
            say_absent(ws.scratch)
        if before:
            _save(ws.candidate / UNMITIGATED, task, before, (classes, ()))
        shutil.rmtree(ws.checkpoints, ignore_errors=True)
    return Trained(best, control.on_val if control else None)


def _save(folder: Path, task: Task, found: Transferred, said: tuple[tuple[str, ...], tuple[Attempt, ...]]) -> None:
    classes, compared = said
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
    )
    save_model(folder, found.net, record)


def _read_back(ws: Workspace) -> Trained:
    """What the processes wrote."""
    return Trained(_attempt(ws.candidate), _attempt(ws.scratch) if is_trained(ws.scratch) else None)


def _attempt(folder: Path) -> Attempt:
    model = read_json(folder / RECORD)
    kept = model["history"][model["best_epoch"] - 1]
    return Attempt(model["strategy"], kept["val_accuracy"], kept["val_loss"])


def _main() -> None:
    """One of several processes, as `run_joined` or torchrun starts it."""
    root, params, seed = sys.argv[1:]
    with joined():
        run(Workspace(Path(root)), TrainParams.model_validate_json(params), int(seed))


if __name__ == "__main__":
    answer(_main)
