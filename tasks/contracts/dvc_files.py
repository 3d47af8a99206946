"""What DVC's files say of a workspace, read without DVC: it would take longer to start than to answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.contracts.errors import BadEnvironment, BadUsage
from tasks.contracts.workspace import Workspace

LOCK, POINTER = "dvc.lock", "data/raw.dvc"


def raw_hash(ws: Workspace) -> str:
    """DVC's hash of `data/raw`, as `data/raw.dvc` has it; empty where DVC does not track it."""
    with _read(ws, POINTER) as known:
        return str(known["outs"][0]["md5"]) if known else ""


def locked(ws: Workspace, stage: str) -> dict[str, dict[str, Any]]:
    """What a stage last read and made, by its place: `md5`, `size` in bytes, and `nfiles` of a folder.

    Empty where it never ran. Raises BadEnvironment where `dvc.lock` is not as DVC writes it.
    """
    with _read(ws, LOCK) as known:
        own = _section(known, stage)
        return {
            str(one["path"]): {**one, "md5": str(one["md5"])} for kind in ("deps", "outs") for one in own.get(kind, ())
        }


def locked_params(ws: Workspace, stage: str) -> dict[str, Any]:
    """The stage's section of `params.yaml` when it last ran; empty where it never did."""
    with _read(ws, LOCK) as known:
        return dict(_section(known, stage).get("params", {}).get("params.yaml", {}).get(stage) or {})


def tracked(ws: Workspace, stage: str, place: str) -> dict[str, Any]:
    """DVC's `hash` of what a stage last read or made at `place`, its `bytes`, and of a folder its number of `files`.

    Raises BadUsage where the stage has nothing there or never ran.
    """
    places = locked(ws, stage)
    if place not in places:
        raise BadUsage(f"the stage {stage} has {f'nothing at {place}' if places else 'not run yet'}")
    known = places[place]
    words = {"hash": "md5", "bytes": "size", "files": "nfiles"}
    return {word: known[key] for word, key in words.items() if key in known}


def _section(lock: Any, stage: str) -> dict[str, Any]:
    return dict(lock["stages"].get(stage, {})) if lock else {}


@contextmanager
def _read(ws: Workspace, place: str) -> Iterator[Any]:
    """What the file says, None where there is none; what goes wrong with it meanwhile is the file's fault."""
    path = ws.root / place
    try:
        yield YAML(typ="safe").load(path) if path.exists() else None
    except (YAMLError, ValueError, AttributeError, LookupError, TypeError):
        raise BadEnvironment(f"{path} is not as DVC writes it; `git -C {ws.root} checkout HEAD -- {place}`") from None
