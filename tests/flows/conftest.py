"""Workspaces on small real images; the costly ones are made once for all tests."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from flows.stages import STAGES, Outcome, bring_up_to_date, track_raw
from flows.unattended import retrain_once
from flows.workspaces import init
from tasks.contracts.params_file import override
from tasks.contracts.run_records import Trigger
from tasks.contracts.workspace import Workspace
from tests.conftest import write_images
from tests.flows.unattended import QUICK, in_process, tree_of

BIN = Path(sys.executable).parent
SETTINGS = ["train.epochs=2", "bias.permutations=20", "select.folds=3", "evaluate.resamples=200"]


def make(folder: Path, settings: list[str] = SETTINGS) -> Workspace:
    """A committed workspace with three classes of 40 images, one file cut short, and quick params."""
    ws = init(folder / "flowers", write_images(folder / "photos", 40))
    broken = ws.raw / "circles" / "cut.png"
    broken.write_bytes((ws.raw / "circles" / "0_000.png").read_bytes()[:900])
    override(ws.params, settings)
    commit(ws, "settings")
    return ws


def commit(ws: Workspace, message: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", "add", "--all", "."], cwd=ws.root, check=True)
    subprocess.run(["git", *identity, "commit", "--quiet", "--allow-empty", "-m", message], cwd=ws.root, check=True)


def run_stages(ws: Workspace, until: str = STAGES[-1]) -> dict[str, Outcome]:
    """Every stage brought up to date in this process, without Prefect."""
    track_raw(ws)
    return {name: bring_up_to_date(ws, name) for name in STAGES[: STAGES.index(until) + 1]}


def graft(ws: Workspace, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The door as a user calls it."""
    command = [str(BIN / "graft"), "--workspace", str(ws.root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace after `graft run` through Prefect's embedded engine. Not to be changed: copy it."""
    ws = make(tmp_path_factory.mktemp("finished run"))
    done = graft(ws, "run", "--offline")
    assert done.returncode == 0, done.stderr
    (ws.private / "screen.txt").write_text(done.stdout, encoding="utf-8")
    (ws.private / "lines.txt").write_text(done.stderr, encoding="utf-8")
    return ws


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished workspace that a test may change."""
    return Workspace(Path(shutil.copytree(finished.root, tmp_path / "copy of it", symlinks=True)))


def first_version(folder: Path, settings: Sequence[str]) -> Workspace:
    """A small workspace whose first version an unattended run made, its files as they were."""
    ws = init(folder / "flowers", write_images(folder / "photos", 14))
    override(ws.params, [*settings])
    commit(ws, "settings")
    before = tree_of(ws)
    run = retrain_once(ws, Trigger("a first model"), in_process)
    assert (run.state, run.version) == ("done", "model@1")
    assert tree_of(ws) == before
    return ws


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Workspace:
    """A first version with quick settings. Not to be changed."""
    return first_version(tmp_path_factory.mktemp("unattended"), QUICK)


@pytest.fixture
def ws(trained, tmp_path) -> Workspace:
    """A copy of it that a test may change; some modules have another one of that name."""
    return Workspace(Path(shutil.copytree(trained.root, tmp_path / "a copy", symlinks=True)))
