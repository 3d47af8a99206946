"""The splits that the last run gave, for a clone that has only `dvc.lock` and the data.

Given anew they would be others: what the model before was tested on, the next would learn from.
"""

import hashlib

from tasks.contracts.dvc_files import locked, locked_params
from tasks.contracts.errors import BadEnvironment, BrokenArtifact
from tasks.contracts.files import replacing
from tasks.contracts.params import SplitShares
from tasks.contracts.workspace import Workspace
from tasks.register.store import opened


def bring_back_splits(ws: Workspace, shares: SplitShares) -> None:
    """Write `data/splits.parquet` as `dvc.lock` names it, where it is not here; other `shares` than then start anew.

    Raises BadEnvironment where DVC's cache and remote lack it or cannot be asked, BrokenArtifact where it was altered.
    """
    place = ws.splits.relative_to(ws.root).as_posix()
    if ws.splits.exists() or not (md5 := _named(ws, place, shares)):
        return
    with opened(ws) as store:
        content = store.content(md5)
    if content is None:
        raise BadEnvironment(
            f"{place}, the splits that the last run gave, is neither here nor at DVC's remote (is that mounted?); "
            "`dvc push` where that run was, or copy the file from there"
        )
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:  # DVC's name for it
        raise BrokenArtifact(f"{place} in DVC's cache or remote has other bytes than the last run gave; bring it anew")
    with replacing(ws.splits) as part:
        part.write_bytes(content)


def _named(ws: Workspace, place: str, shares: SplitShares) -> str:
    """DVC's hash of the splits that count; empty where no run gave any, or of other shares."""
    then, now = locked_params(ws, "quality").get("splits") or {}, shares.model_dump()
    return str(locked(ws, "quality").get(place, {}).get("md5", "")) if now | then == now else ""
