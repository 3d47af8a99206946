"""What `graft doctor` looks at: this machine, its libraries and the workspace. It changes nothing."""

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from packaging.requirements import Requirement

from flows import hooks, server
from flows.workspaces import git, has_identity, require_current
from tasks.contracts.errors import GraftError
from tasks.contracts.params_file import load_params, require_whole
from tasks.contracts.workspace import Workspace

GB = 1e9
DISK_GB = (1.0, 5.0)  # free: less than the first is bad, less than the second a warning; likewise below
MEMORY_GB = (0.5, 2.0)
SHARED_GB = (0.06, 0.25)  # a container's usual 64 MB is too little for loaders in processes of their own
OVER_A_NETWORK = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "lustre", "afs")
CLOCK_SLACK_S = 60

Verdict = Literal["ok", "warn", "bad"]


@dataclass(frozen=True)
class Check:
    """What was found of one thing, and what to do where it is not `ok`."""

    name: str
    verdict: Verdict
    said: str
    remedy: str = ""


def examine(ws: Workspace) -> list[Check]:
    """Every check, also where earlier ones are bad."""
    checks: tuple[Callable[[Workspace], Iterator[Check]], ...] = (
        _libraries, _git, _disk, _memory, _gpu, _surroundings, _clock, _workspace, _hooks, _remote, _server,
    )  # fmt: skip
    return [one for check in checks for one in check(ws)]


def _libraries(_ws: Workspace) -> Iterator[Check]:
    """The versions that `pyproject.toml` accepts; those of extras are left out."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", "ok" if sys.version_info >= (3, 11) else "bad", python, "install Python 3.11 or newer")
    required = [Requirement(line) for line in metadata.requires("graft") or []]
    wrong = []
    for one in (one for one in required if not one.marker or one.marker.evaluate({"extra": ""})):
        try:
            found = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            found = "missing"
        if found == "missing" or not one.specifier.contains(found, prereleases=True):
            wrong.append(f"{one.name} {found}, not {one.specifier}")
    said = ", ".join(wrong) or f"{len(required)} requirements are met"
    yield Check("libraries", "bad" if wrong else "ok", said, "`pip install graft` again, or `make setup` in a checkout")


def _git(ws: Workspace) -> Iterator[Check]:
    try:
        version = git(ws, "--version")
    except GraftError as error:
        yield Check("git", "bad", str(error), "install git")
        return
    named = has_identity(ws)
    remedy = "`git config --global user.name` and `user.email`; until then graft commits as itself"
    yield Check("git", "ok" if named else "warn", version + ("" if named else ", no identity"), remedy)


def _disk(ws: Workspace) -> Iterator[Check]:
    for name, folder in (("disk", ws.root), ("dvc cache", ws.root / ".dvc" / "cache")):
        place = folder if folder.exists() else folder.parent
        if place.exists():
            yield _room(name, shutil.disk_usage(place).free, DISK_GB, "free some, or `dvc gc --workspace`")
    shared = Path("/dev/shm")  # noqa: S108
    free = shutil.disk_usage(shared).free if shared.is_dir() else 0
    yield _room(str(shared), free, SHARED_GB, "give the container more (--shm-size), or set train.workers: 0")
    if (kind := _file_system(ws.root)).startswith(OVER_A_NETWORK):
        remedy = "flock must work there between hosts (docs/operations.md); a local disk is safer and faster"
        yield Check("file system", "warn", f"{kind}, over a network", remedy)


def _memory(_ws: Workspace) -> Iterator[Check]:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    yield _room("memory", available, MEMORY_GB, "end other programs, or lower train.batch_size and quality.prepared_px")


def _gpu(ws: Workspace) -> Iterator[Check]:
    import torch  # takes a second

    if torch.cuda.is_available():
        yield Check("gpu", "ok", f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
        return
    has_card = Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None
    try:
        is_wanted = load_params(ws.params).train.device == "cuda"
    except GraftError:  # said by another check
        is_wanted = False
    verdict: Verdict = "bad" if is_wanted else "warn" if has_card else "ok"
    said = "torch finds none" + (", though a driver is there" if has_card else "")
    yield Check("gpu", verdict, said, "install the torch that fits the driver, or set train.device: auto")


def _surroundings(_ws: Workspace) -> Iterator[Check]:
    encoding = sys.getfilesystemencoding()
    yield Check("locale", "ok" if encoding == "utf-8" else "warn", f"file names are {encoding}", "set LANG=C.UTF-8")
    home = Path(os.environ.get("HOME", ""))
    is_fine = bool(os.environ.get("HOME")) and os.access(home, os.W_OK)
    yield Check(
        "home", "ok" if is_fine else "warn", str(home) if is_fine else "HOME is unset or not writable", "set HOME"
    )
    mask = os.umask(0)
    os.umask(mask)
    remedy = "`umask 022`: with this one graft cannot read what it writes"
    yield Check("umask", "bad" if mask & 0o700 else "ok", f"{mask:03o}", remedy)


def _clock(ws: Workspace) -> Iterator[Check]:
    try:
        newest = float(git(ws, "log", "-1", "--format=%ct"))
    except (GraftError, ValueError):  # no commit yet
        newest = 0.0
    behind = newest - time.time()
    is_fine = behind < CLOCK_SLACK_S
    said = "not behind the last commit" if is_fine else f"{behind:.0f} s behind the last commit"
    yield Check("clock", "ok" if is_fine else "warn", said, "set the clock (NTP): schedules and versions go by it")


def _workspace(ws: Workspace) -> Iterator[Check]:
    from tasks.quality.suite import read_suite

    checks: tuple[Callable[[], object], ...] = (
        lambda: load_params(ws.params), lambda: require_whole(ws.params),
        lambda: require_current(ws), lambda: read_suite(ws.contract),
    )  # fmt: skip
    found = len(checks)
    for check in checks:
        try:
            check()
        except GraftError as error:
            found -= 1
            yield Check("workspace", "bad", str(error))
    if found == len(checks):
        yield Check("workspace", "ok", f"{ws.root}: params, stages and contract are valid")
    if not ws.raw.is_dir():
        yield Check("data", "warn", "data/raw is missing", "put images there, a folder for each class")


def _hooks(ws: Workspace) -> Iterator[Check]:
    try:
        old = hooks.stale(ws)
    except GraftError:  # no git: said by another check
        return
    if old:
        yield Check(
            "git hooks", "warn", f"{', '.join(path.name for path in old)}: not this graft's lines", hooks.REMEDY
        )


def _remote(ws: Workspace) -> Iterator[Check]:
    from flows.stages import remote

    try:
        where = remote(ws)
    except GraftError as error:
        yield Check("dvc remote", "bad", str(error), "check the address and your access to it")
        return
    remedy = "`dvc remote add --default NAME URL`: without one, data and models are on this disk only"
    yield Check("dvc remote", "ok" if where else "warn", where or "none", remedy)


def _server(ws: Workspace) -> Iterator[Check]:
    if url := os.environ.get("PREFECT_API_URL"):
        up = server.answers(url)
        said = f"{url} (PREFECT_API_URL) {'answers' if up else 'does not answer'}"
        yield Check("server", "ok" if up else "bad", said, "start it, or unset PREFECT_API_URL")
    try:
        params = load_params(ws.params).operate
    except GraftError:  # said by another check
        return
    if urlsplit(params.database).password:
        remedy = f"take it out and set {server.DATABASE}: params.yaml is in git"
        yield Check("database", "warn", "operate.database holds a password", remedy)
    if state := server.state_of(ws):
        whole = state.server.alive and server.answers(state.url) and bool(state.worker and state.worker.alive)
        said = f"{state.ui} {'is up' if whole else 'or its worker is down'}"
        yield Check("server", "ok" if whole else "bad", said, "`graft up`")
        return
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        is_free = listener.connect_ex((server.HOST, params.port)) != 0
    said = f"{params.port} is {'free' if is_free else 'in use'}"
    yield Check("port", "ok" if is_free else "warn", said, "`graft up` will take another; or set operate.port")


def _room(name: str, free: float, limits: tuple[float, float], remedy: str) -> Check:
    verdict: Verdict = "bad" if free < limits[0] * GB else "warn" if free < limits[1] * GB else "ok"
    return Check(name, verdict, f"{free / GB:.1f} GB free", remedy)


def _file_system(path: Path) -> str:
    """The type of the mount that holds `path`: of those above it, the deepest."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()]
    above = [one for one in mounts if path.is_relative_to(one[1].replace("\\040", " "))]
    return max(above, key=lambda one: len(one[1]))[2] if above else ""
