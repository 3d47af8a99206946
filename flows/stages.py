"""A stage brought up to date: asked of DVC whether it is stale, run in process, committed into `dvc.lock`.

Beside flows/looks.py the only module that talks to DVC's pipeline. DVC's own driver (`dvc repro`) and this one leave
the same state behind, so either may follow the other.
"""

import importlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from flows.dvc_repo import open_repository, require_trackable
from flows.holding import only_run as only_run
from flows.logs import RUN_ID
from flows.looks import look_once
from flows.splits import bring_back_splits
from tasks.contracts.dvc_files import LOCK, POINTER
from tasks.contracts.errors import BadData, BadEnvironment, BadUsage, one_line
from tasks.contracts.files import write_text
from tasks.contracts.params_file import load_params
from tasks.contracts.progress import say
from tasks.contracts.records import leaves
from tasks.contracts.workspace import Workspace

STEPS = {
    "ingest": "tasks.ingest.step",
    "quality": "tasks.quality.step",
    "bias": "tasks.bias.step",
    "augment": "tasks.augment.step",
    "select": "tasks.backbone.step",
    "train": "tasks.train.step",
    "evaluate": "tasks.evaluate.step",
    "register": "tasks.register.step",
}
STAGES = tuple(STEPS)
REPORTS = {
    "quality": ("reports/quality.json",),
    "bias": ("reports/bias.json", "reports/gate.json"),
    "augment": ("models/augmentation.json",),
    "select": ("reports/selection.json",),
    "evaluate": ("reports/evaluation.json",),
}
LAST_RUN = "outcomes.json"
_DEAR = ("select", "train", "evaluate")

Action = Literal["ran", "restored", "skipped", "not asked for"]


@dataclass(frozen=True)
class Outcome:
    """What became of a stage, and why."""

    stage: str
    action: Action
    why: str


def run_step(ws: Workspace, name: str, version: int | None = None) -> Any:
    """Run a stage's step in this process and return its record; DVC is neither asked nor told.

    Raises BadUsage where `version`, the one that `dvc.yaml` declares, is not the one that the step makes, and where
    `evaluate` names columns that there are not; BadEnvironment where the splits of the last run cannot be had.
    """
    params = load_params(ws.params)
    step = importlib.import_module(STEPS[name])
    if version not in (None, step.VERSION):
        raise BadUsage(
            f"dvc.yaml asks for results version {version} of {name}, this graft makes {step.VERSION}; "
            f"run `graft init {ws.root}` to bring dvc.yaml up to date"
        )
    if name in _DEAR:  # what evaluate would refuse is refused before hours are spent
        from tasks.evaluate.groups import require_columns

        require_columns(ws, params.evaluate)
    if name == "quality":
        bring_back_splits(ws, params.quality.splits)
    return step.run(ws, getattr(params, "register_" if name == "register" else name), params.seed)


def bring_up_to_date(ws: Workspace, name: str, *, force: bool = False) -> Outcome:
    """Skip a fresh stage, restore one that DVC's run cache knows, or run it; then commit it as `dvc repro` would.

    Raises what the step raises; its outputs are then absent, and the next run makes them.
    Raises BadData where an input changed while the stage ran.
    """
    with open_repository(ws) as repo:
        stage = _load(repo, name)
        why = "--force" if force else why_stale(stage)
        if not why:
            return Outcome(name, "skipped", "nothing it depends on has changed")
        _remove_outputs(stage)
        if not force and _restore(repo, stage):
            return Outcome(name, "restored", why)
        stage.save_deps()
        before = _input_hashes(stage)
    say(f"-- {name}: {why}")
    run_step(ws, name)
    with open_repository(ws) as repo:
        stage = _load(repo, name)
        stage.save_deps()
        after = _input_hashes(stage)
        if changed := sorted(path for path in after if after[path] != before[path]):
            raise BadData(f"{', '.join(changed)} changed while {name} ran; run again once nothing writes there")
        _commit(stage)
    return Outcome(name, "ran", why)


def stale_stages(ws: Workspace) -> dict[str, str]:
    """Each stage and why it would run; an empty reason means that it is fresh, and so is all that it reads."""
    reasons: dict[str, str] = {}
    made_by: dict[str, str] = {}
    with open_repository(ws) as repo:
        for name in STAGES:
            stage = _load(repo, name)
            before = dict.fromkeys(made_by[d.def_path] for d in stage.deps if d.def_path in made_by)
            stale = [earlier for earlier in before if reasons[earlier]]
            reasons[name] = why_stale(stage) or (f"it follows {', '.join(stale)}" if stale else "")
            made_by |= {out.def_path: name for out in stage.outs}
    return reasons


def why_stale(stage: Any) -> str:
    """Why DVC would run a stage again, in words; empty where it would not."""
    if not any(out.hash_info for out in stage.outs):
        return "it has not run yet"
    reasons = ["its command in dvc.yaml is modified"] if stage.changed_stage() else []
    for item in (*stage.deps, *stage.outs):
        if status := item.status():
            sections = isinstance(next(iter(status.values())), dict)  # of params, which name their sections
            reasons += _changed_params(item) if sections else [f"{item.def_path} is {status[str(item)]}"]
    return ", ".join(dict.fromkeys(reasons))


def _changed_params(item: Any) -> list[str]:
    before, now = (leaves(values.value) for values in (item.hash_info, item.get_hash()))
    return [
        f"{key}: {before.get(key)} -> {now.get(key)}" for key in {**before, **now} if before.get(key) != now.get(key)
    ]


def track_raw(ws: Workspace) -> None:
    """Commit `data/raw` into `data/raw.dvc`, so that nothing is left modified.

    Raises BadData where it is missing, is no folder, or holds what DVC would stumble over or follow out of it.
    """
    require_trackable(ws)
    with open_repository(ws) as repo:
        if not Path(POINTER).exists():
            repo.add([str(ws.raw)])
            return
        stage = repo.stage.load_one(path=POINTER)  # `add` would first draw a graph of all stages
        stage.add_outs()
        stage.dump()


def track(ws: Workspace, path: Path) -> None:
    """Version one file beside the pipeline: DVC keeps it, git the `.dvc` file beside it."""
    with open_repository(ws) as repo:
        repo.add([str(path)])


def remote(ws: Workspace) -> str:
    """Where DVC pushes by default, found reachable; empty where no remote is set.

    Raises BadEnvironment where it cannot be reached.
    """
    from dvc.exceptions import DvcException

    with open_repository(ws, lock=False) as repo:
        name = repo.config["core"].get("remote")
        if not name:
            return ""
        try:
            place = repo.cloud.get_remote_odb(name)
            url = str(repo.config["remote"][name]["url"])
            place.fs.exists(place.path)
            if place.fs.protocol == "local" and not Path(url).parent.is_dir():  # the last folder is made by DVC
                raise BadEnvironment(f"the DVC remote {name} ({url}) is not there")
        except (DvcException, OSError, RuntimeError) as error:
            raise BadEnvironment(f"the DVC remote {name} cannot be reached ({one_line(str(error))})") from None
        return f"{name} ({url})"


def save_run(ws: Workspace) -> str:
    """Save code, params, metrics and data hashes of a finished run as a DVC experiment of its id; returns its commit.

    The branch, the index and the working tree are left as they are.
    """
    with open_repository(ws, lock=False) as repo:
        files = (LOCK, POINTER, "reports/metrics.json")
        places = [str(ws.root / file) for file in files]
        return str(repo.experiments.save(name=os.environ.get(RUN_ID), include_untracked=places))


def note(ws: Workspace, outcome: Outcome) -> None:
    """Keep what became of a stage, for `graft status --why`; an interrupted run has noted what it did."""
    write_text(
        ws.private / LAST_RUN, json.dumps({**last_outcomes(ws), outcome.stage: asdict(outcome)}, indent=2) + "\n"
    )


def last_outcomes(ws: Workspace) -> dict[str, dict[str, str]]:
    """What became of each stage when a run last came to it."""
    path = ws.private / LAST_RUN
    found: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _load(repo: Any, name: str) -> Any:
    stage = repo.stage.load_one(path="dvc.yaml", name=name)
    for dep in stage.deps:
        look_once(dep)
    return stage


def _restore(repo: Any, stage: Any) -> bool:
    from dvc.stage.cache import RunCacheNotFoundError

    try:
        repo.stage_cache.restore(stage)
    except RunCacheNotFoundError:
        return False
    _commit(stage)
    return True


def _commit(stage: Any) -> None:
    """What DVC's own `Stage.run` does after the command; a stage with outputs outside the cache has no run cache."""
    uncached = any(not out.use_cache for out in stage.outs if not (out.is_metric or out.is_plot))
    stage.save(run_cache=not uncached)
    stage.commit()
    _dump(stage)
    stage.ignore_outs()


def _dump(stage: Any) -> None:
    """Into `dvc.lock`, in the same words as DVC: it would read the file with its comments, of which there are none."""
    from dvc.stage.serialize import to_lockfile
    from dvc.utils.serialize import dump_yaml, load_yaml

    known: dict[str, Any] = load_yaml(LOCK) if Path(LOCK).exists() else {"schema": "2.0"}
    known.setdefault("stages", {}).update(to_lockfile(stage))
    dump_yaml(LOCK, known)


def _remove_outputs(stage: Any) -> None:
    """Not forced: an output that someone altered by hand is still DVC's to remake."""
    stage.remove_outs(ignore_remove=False, force=False)


def _input_hashes(stage: Any) -> dict[str, Any]:
    return {str(dep): dep.hash_info.to_dict() for dep in stage.deps}
