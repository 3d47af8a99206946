"""Stages with nothing to do, beside DVC's own driver in the same workspace."""

from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

from dvc.repo import Repo

from benchmarks.networks import BACKBONE, SIDE_PX
from benchmarks.pictures import CLASSES, write_jpegs
from benchmarks.timing import Figure, Ratio, compare, take_turns
from flows.stages import STAGES, bring_up_to_date, track_raw
from flows.workspaces import init
from tasks.contracts.params_file import override
from tasks.contracts.workspace import Workspace

IMAGES, ROUNDS = 40 * CLASSES, 5
SMALL = (f"select.candidates=[{BACKBONE}]", "select.folds=2", "train.epochs=1", "bias.permutations=20")


def ratios() -> list[Ratio]:
    with TemporaryDirectory() as folder:
        ws = _finished(Path(folder))
        costs = take_turns({"ours": lambda _number: _skip(ws), "dvc": lambda _number: _reproduce(ws)}, ROUNDS)
    per_stage = Figure("ms", lambda seconds: 1000 * seconds / len(STAGES))
    meaning = f"cost of a fresh stage by DVC's own in-process repro, {len(STAGES)} stages; lower is better"
    return [compare("fresh stage", per_stage, costs["ours"], costs["dvc"], meaning)]


def _finished(folder: Path) -> Workspace:
    """A workspace in which every stage has run on a few pictures."""
    ws = init(folder / "workspace", write_jpegs(folder / "photos", IMAGES, (SIDE_PX, SIDE_PX)))
    override(ws.params, list(SMALL))
    track_raw(ws)
    for name in STAGES:
        bring_up_to_date(ws, name)
    return ws


def _skip(ws: Workspace) -> None:
    for name in STAGES:
        outcome = bring_up_to_date(ws, name)
        if outcome.action != "skipped":
            raise RuntimeError(f"{name} was {outcome.action}: {outcome.why}")


def _reproduce(ws: Workspace) -> None:
    with chdir(ws.root), Repo(str(ws.root)) as repo:
        if ran := repo.reproduce(list(STAGES), single_item=True):
            raise RuntimeError(f"DVC ran {ran}")
