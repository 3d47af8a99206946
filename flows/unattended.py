"""One unattended run: a snapshot of the data, a worktree of its own, what changed made anew, a version, a branch.

Prefect is not needed here: `start` brings stages up to date, as tasks of a flow (flows/retrain.py) or in this process.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from shutil import copyfile

from flows import worktrees
from flows.leaving import leave
from flows.publish import publish
from flows.runs import Recorder, heal, recorded
from flows.snapshots import Snapshot, keep, look
from flows.stages import STAGES, Outcome, last_outcomes, only_run, stale_stages
from flows.starting import pin_start
from flows.workspaces import require_current
from tasks.bias.drift import drift
from tasks.contracts.errors import BadData, BadUsage, GateRefused
from tasks.contracts.files import read_table
from tasks.contracts.params import OperateParams
from tasks.contracts.params_file import load_params
from tasks.contracts.progress import say
from tasks.contracts.run_records import RunRecord, Trigger
from tasks.contracts.workspace import Workspace
from tasks.ingest.changes import DataChange, compare, why_not
from tasks.register.registry import Version, data_of, versions
from tasks.register.saved import raw_files
from tasks.report.page import links_of, write_page

Start = Callable[[Workspace, str], list[Outcome]]  # (worktree, last stage) -> what became of each stage

_FOR_A_PERSON = (GateRefused, BadData, BadUsage)  # tried again, they would end as they did


@dataclass(frozen=True)
class Scene:
    """What an unattended run would work on, and how it differs from the latest version.

    `settings` names the committed files that are not as that version had them; without a version all is new.
    """

    commit: str
    snapshot: Snapshot
    base: Version | None
    change: DataChange
    settings: tuple[str, ...]
    key: str

    @property
    def place(self) -> str:
        """What a worktree is of. A commit of the user's in the meantime makes it another: its work would undo it."""
        return f"{self.key} {self.commit}"


@dataclass(frozen=True)
class Work:
    """A run on the workspace `ws` that is due."""

    ws: Workspace
    scene: Scene
    run: Recorder
    start: Start
    policy: OperateParams


def retrain_once(ws: Workspace, trigger: Trigger, start: Start, *, wait: bool = False) -> RunRecord:
    """Train and register what the data as they are now lead to, where the policy finds a run due.

    The user's files, index and branch stay as they are, but for `operate.leave: fast_forward`. A run that was cut off
    is gone on with where it stood. Raises what the stages raise, and Held where another run is at work, unless this one
    is to `wait` for its turn.
    """
    with only_run(ws, wait=wait):
        heal(ws)
        with recorded(ws, "retrain", trigger) as run:
            require_current(ws)
            scene = survey(ws, snapshot=keep(ws))
            policy = load_params(ws.params).operate
            run.note(commit=scene.commit, key=scene.key, change=asdict(scene.change))
            worktree = worktrees.take_up(ws, scene.place)
            if worktree is None and (why := why_not_now(scene, policy)):
                run.note(state="nothing_to_do", why=why)
                return run.record
            work = Work(ws, scene, run, start, policy)
            if worktree is not None:
                say("going on with a run that was cut off")
            _carry_out(work, worktree or _made(work))
        return run.record


def survey(ws: Workspace, snapshot: Snapshot | None = None) -> Scene:
    """What there is to train on; without a `snapshot`, nothing is copied anywhere."""
    commit = worktrees.pinned_commit(ws)
    snapshot = snapshot or look(ws)
    settings = worktrees.settings_at(ws, commit)
    known = versions(ws)
    base = known[-1] if known else None
    before = str(base.note["data"]) if base else ""
    files = raw_files(ws, base) if base and before else {}
    other: tuple[str, ...] = ()
    if base:
        then = worktrees.settings_at(ws, base.commit)
        other = tuple(name for name in settings if settings[name] != then.get(name))
    key = hashlib.sha256(json.dumps([snapshot.hash, sorted(settings.items())]).encode()).hexdigest()
    return Scene(commit, snapshot, base, compare(files, snapshot.files, (before, snapshot.hash)), other, key)


def why_not_now(scene: Scene, policy: OperateParams) -> str:
    """Why no run is due; empty where one is."""
    return why_not(scene.change, scene.settings, policy.on_change) if scene.base else ""


def _made(work: Work) -> Workspace:
    ws, scene, name = work.ws, work.scene, work.run.record.id
    if edited := worktrees.uncommitted(ws, scene.commit):
        say(f"{', '.join(edited)}: edits that are not committed are not part of this run")
    say(f"{scene.change.words()}; the run works beside your files, on commit {scene.commit[:12]}")
    lineage = scene.base.commit if scene.base else ""
    worktree = worktrees.make_worktree(ws, name, (scene.commit, lineage), scene.snapshot)
    if scene.change.count or stale_stages(worktree)["train"]:  # else another pin would be the only cause to train
        pin_start(ws, worktree)
    worktrees.mark(worktree, scene.place, name)  # a run that was cut off goes on with the start that was pinned
    return worktree


def _carry_out(work: Work, worktree: Workspace) -> None:
    """Make, publish and leave. The worktree stays only where something was cut off that can be gone on with."""
    ws, run = work.ws, work.run
    try:
        with only_run(worktree):
            _make(work, worktree)
    except Exception as error:
        run.note(stages=_outcomes(worktree))
        if isinstance(error, GateRefused):
            run.note(page=_keep_page(work, worktree))
        if isinstance(error, _FOR_A_PERSON) or not worktree.checkpoints.exists():
            worktrees.remove_worktree(ws, worktree)
        raise
    run.note(page=_keep_page(work, worktree))
    worktrees.remove_worktree(ws, worktree)


def _make(work: Work, worktree: Workspace) -> None:
    scene, run, least = work.scene, work.run, work.policy.on_change.drift
    if any(stale_stages(worktree).values()):
        if scene.base and least and not scene.settings:
            work.start(worktree, "bias")
            if why := _too_alike(work.ws, worktree, scene.base, least):
                run.note(state="nothing_to_do", why=why, stages=_outcomes(worktree))
                return
        work.start(worktree, STAGES[-1])
    run.note(stages=_outcomes(worktree))
    version = publish(worktree, _provenance(scene, run.record), partial(_save, scene, run.record))
    run.note(version=version.name, champion=version.champion, why=version.note["decision"]["why"])
    if (
        scene.base
        and version.number <= scene.base.number
        and version.note.get("trigger", {}).get("after") != (scene.snapshot.hash)
    ):
        run.note(state="nothing_to_do", why=f"what came out is {version.name} again")
        return
    run.note(left=leave(work.ws, version.commit, run.record.id, work.policy.leave))


def _save(scene: Scene, record: RunRecord, worktree: Workspace) -> str:
    message = f"graft retrain {record.id}: {record.trigger.reason}\n\n{scene.change.words()}"
    return worktrees.save(worktree, scene.commit, record.id, message)


def _provenance(scene: Scene, record: RunRecord) -> dict[str, object]:
    """What the version's note says of its origin."""
    change = asdict(scene.change)
    return {"run": record.id, **asdict(record.trigger), **change, "settings": list(scene.settings)}


def _too_alike(ws: Workspace, worktree: Workspace, base: Version, least: float) -> str:
    """Why the images that came or went are no reason to train; empty where they differ enough."""
    _, findings = drift(read_table(data_of(ws, base)), read_table(worktree.checked))
    most = max((finding.statistic.value or 0.0 for finding in findings), default=0.0)
    return "" if most >= least else f"the drift is {most:.2f}, below operate.on_change.drift: {least:g}"


def _outcomes(worktree: Workspace) -> tuple[dict[str, str], ...]:
    did = last_outcomes(worktree)
    return tuple(did[name] for name in STAGES if name in did)


def _keep_page(work: Work, worktree: Workspace) -> str:
    """The report page of the run, beside its record: the worktree goes."""
    record = work.run.record
    page = work.ws.runs / f"{record.id}.html"
    copyfile(write_page(worktree, record.version, links_of(work.ws, page)), page)
    return page.relative_to(work.ws.root).as_posix()
