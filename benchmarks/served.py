"""A workspace with a server of its own, as an operator has it: started, asked, and put back between two tries."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.pictures import CLASSES, write_jpegs
from benchmarks.postgres import Postgres, free_port
from flows.leftovers import OF_RUN
from flows.processes import values_of
from flows.server import slug, state_of
from flows.workspaces import AUTHOR, git, init
from tasks.contracts.params_file import override
from tasks.contracts.workspace import Workspace

T = TypeVar("T")

IMAGES, SIDE_PX = 14 * CLASSES, 48
PATIENCE_S = 1800.0  # one of two cores that others need as well can make a run twenty times as long
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
AT_WORK = ("PENDING", "RUNNING", "CANCELLING")
QUICK = (
    "augment.policy=none",
    "bias.gate.min_test_images=0",
    "bias.gate.min_train_images=1",
    "bias.permutations=20",
    "evaluate.resamples=100",
    "quality.prepared_px=32",
    "select.candidates=[formula_resnet18_small]",
    "select.folds=2",
    "train.batch_size=8",
    "train.epochs=1",
    "train.strategy=feature_extraction",
)
_KEPT = "server"  # of `.graft`, between two tries: the server may be up


@dataclass(frozen=True)
class Site:
    """A small workspace, its files as they were before anything ran, and its database where that is not SQLite."""

    ws: Workspace
    pristine: Path
    database: Postgres | None = None

    def graft(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The door as an operator calls it."""
        command = [sys.executable, "-m", "flows.cli", "--workspace", str(self.ws.root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)

    def put_back(self, place: Path | None = None) -> None:
        """The workspace as `place` has it, else as before anything ran; what `graft up` started is left alone."""
        _remove(self.ws.private, _KEPT)
        _remove(self.ws.root, self.ws.private.name)
        shutil.copytree(place or self.pristine, self.ws.root, symlinks=True, dirs_exist_ok=True)

    def copy(self, name: str) -> Path:
        """A copy of the workspace as it is now, without the server, to put back."""
        place = self.pristine.parent / name
        return Path(shutil.copytree(self.ws.root, place, symlinks=True, ignore=shutil.ignore_patterns(_KEPT)))

    def ask(self, path: str, body: object = None) -> Any:
        """The answer of the server's API: of a GET, or of a POST where there is a body."""
        state = state_of(self.ws)
        if state is None:
            raise RuntimeError("no server was started")
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{state.url}/{path}", data, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read() or "null")

    def start(self, flow: str) -> dict[str, Any]:
        """A run of a deployment, due now, as a schedule plans it; returns what the server says of it."""
        deployment = self.ask(f"deployments/name/{flow}/{slug(self.ws)}")
        body = {"parameters": deployment["parameters"], "state": {"type": "SCHEDULED"}}
        run: dict[str, Any] = self.ask(f"deployments/{deployment['id']}/create_flow_run", body)
        return run

    def state(self, run: dict[str, Any]) -> str:
        """The state of a flow run."""
        return str(self.ask(f"flow_runs/{run['id']}")["state_type"])

    def message(self, run: dict[str, Any]) -> str:
        """What the server says of the state of a flow run."""
        return str((self.ask(f"flow_runs/{run['id']}")["state"] or {}).get("message"))

    def at_work(self) -> list[str]:
        """The names of the flow runs of which the server thinks that somebody works on them."""
        wanted = {"flow_runs": {"state": {"type": {"any_": AT_WORK}}}}
        return [run["name"] for run in self.ask("flow_runs/filter", wanted)]


def make_site(folder: Path, database: Postgres | None = None, settings: tuple[str, ...] = ()) -> Site:
    """A committed workspace with few and small pictures, quick params, and a port of its own."""
    ws = init(folder / "flowers", write_jpegs(folder / "photos", IMAGES, (SIDE_PX, SIDE_PX)))
    place = (f"operate.database={database.address}",) if database else ()
    override(ws.params, [*QUICK, f"operate.port={free_port()}", *place, *settings])
    git(ws, *AUTHOR, "commit", "--quiet", "--all", "--message=settings")
    pristine = Path(shutil.copytree(ws.root, folder / "pristine", symlinks=True))
    return Site(ws, pristine, database)


def until(found: Callable[[], T], what: str, seconds: float = PATIENCE_S, pause: float = 0.5) -> T:
    """What `found` gives as soon as it gives something. Raises TimeoutError where it does not in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if it := found():
            return it
        time.sleep(pause)
    raise TimeoutError(f"no {what} in {seconds:.0f} s")


def processes_of(run: dict[str, Any]) -> list[int]:
    """The processes that a worker started for a flow run, and those that these started."""
    return [pid for pid, told in values_of(OF_RUN).items() if told == run["id"]]


def _remove(folder: Path, kept: str) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name == kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def quiet() -> None:
    """No lines of the stages, and no download."""
    os.environ |= {"GRAFT_QUIET": "1", "GRAFT_OFFLINE": "1"}
