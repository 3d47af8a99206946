"""Making a workspace: the template's files, a git and a DVC repository, and the first data."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from flows.dvc_repo import make_repository
from tasks.contracts.errors import BadEnvironment, BadUsage, one_line
from tasks.contracts.files import replacing
from tasks.contracts.progress import say
from tasks.contracts.workspace import Workspace
from tasks.ingest.origins import LocalFolder, Origin, bring, find_origin

FILES = (
    "dvc.yaml",
    "params.yaml",
    "decisions.csv",
    ".dvcignore",
    "data/.gitignore",
    "models/.gitignore",
    "models/start.json",
    "reports/.gitignore",
)
SCAFFOLD = (*FILES, "contract.json", ".dvc/config", ".dvc/.gitignore")
AUTHOR = ("-c", "user.name=graft", "-c", "user.email=graft@localhost")


def init(folder: Path, data: str | Path | None = None, *, demo: bool = False) -> Workspace:
    """Make `folder` a workspace, or bring graft's stages in an old one's `dvc.yaml` up to date.

    Nothing of the user's is overwritten, and nothing but graft's own files is committed. `data` is a folder, an archive
    or an address of either, copied to `data/raw`; with `demo`, the demo's images are made there instead. Where there is
    no `contract.json`, one is written from the data.
    Raises BadUsage, BadData or BadEnvironment before anything is written; where data fail on the way, there is a
    workspace without any.
    """
    ws = Workspace(folder.resolve())
    origin = _origin(str(data), ws) if data is not None else None
    _write_template(ws)
    _make_repositories(ws)
    if demo and not ws.raw.exists():
        _make_demo(ws)
    elif origin is not None:
        bring(origin, ws.raw)
    _write_contract(ws)
    _commit_scaffold(ws)
    return ws


def template() -> Path:
    """Where the files of a new workspace come from: the installed package, or the repository that it runs from."""
    packaged = Path(__file__).parent / "template"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent


def require_current(ws: Workspace) -> None:
    """Raise BadUsage where a stage in `dvc.yaml` is not the one that this graft runs: it could pass as fresh."""
    ours, theirs = (_pipeline(folder / "dvc.yaml")["stages"] for folder in (template(), ws.root))
    other = [name for name in ours if theirs.get(name) != ours[name]]
    if other:
        raise BadUsage(
            f"{ws.root / 'dvc.yaml'}: {', '.join(other)} differ from what this graft runs; "
            f"`graft init {ws.root}` brings graft's stages up to date and leaves yours alone"
        )


def git(ws: Workspace, *arguments: str) -> str:
    """What a git command prints, run in the workspace without a shell.

    Raises BadEnvironment with git's own words where it fails.
    """
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=ws.root,
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        raise BadEnvironment("git is not installed; graft keeps its history in it") from None
    except subprocess.CalledProcessError as error:
        raise BadEnvironment(f"git {arguments[0]}: {' '.join(error.stderr.split())}") from None
    return done.stdout.strip()


def has_identity(ws: Workspace) -> bool:
    """Whether git knows in whose name it commits."""
    try:
        git(ws, "var", "GIT_COMMITTER_IDENT")
    except BadEnvironment:
        return False
    return True


def _origin(data: str, ws: Workspace) -> Origin:
    if ws.raw.exists():
        raise BadUsage(f"{ws.raw} is there already; add files to it, or init another folder")
    origin = find_origin(data)
    if isinstance(origin, LocalFolder) and ws.root.is_relative_to(origin.path.resolve()):
        raise BadUsage(f"--data {data} holds the workspace {ws.root} itself; choose a folder outside it")
    return origin


def _write_template(ws: Workspace) -> None:
    source = template()
    for name in FILES:
        if not (ws.root / name).exists():
            with replacing(ws.root / name) as part:
                shutil.copyfile(source / name, part)
    ours, theirs = (_pipeline(folder / "dvc.yaml") for folder in (source, ws.root))
    if any(theirs["stages"].get(name) != stage for name, stage in ours["stages"].items()):
        theirs["stages"].update(ours["stages"])
        with replacing(ws.root / "dvc.yaml") as part:
            YAML().dump(theirs, part)


def _make_repositories(ws: Workspace) -> None:
    if not (ws.root / ".git").exists():
        git(ws, "init", "--quiet", "--initial-branch=main")
    if not (ws.root / ".dvc").is_dir():
        make_repository(ws)


def _make_demo(ws: Workspace) -> None:
    from tasks.ingest.demo import make_demo

    say(f"making the demo's images in {ws.raw}")
    with replacing(ws.raw) as part:
        make_demo(part, seed=0)


def _write_contract(ws: Workspace) -> None:
    from tasks.quality.first_contract import write_first_contract  # brings pandas, which the door does without

    write_first_contract(ws)


def _commit_scaffold(ws: Workspace) -> None:
    """Saved runs and versions hang on commits, and are readable only with graft's own files in them."""
    git(ws, "add", "--", *SCAFFOLD)
    if git(ws, "status", "--porcelain", "--", *SCAFFOLD):
        author = () if has_identity(ws) else AUTHOR
        git(ws, *author, "commit", "--quiet", "--message=A graft workspace", "--", *SCAFFOLD)


def _pipeline(path: Path) -> Any:
    try:
        pipeline = YAML().load(path.read_text(encoding="utf-8"))
        pipeline["stages"].items()
    except (YAMLError, KeyError, TypeError, AttributeError, OSError) as error:
        raise BadUsage(f"{path} is no DVC pipeline ({one_line(str(error))})") from None
    return pipeline
