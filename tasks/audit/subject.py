"""What an audit is about, pinned by hashes: the samples, the files of the data, and what was made of them."""

import gzip
import hashlib
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tasks.audit.records import Git, Subject
from tasks.audit.verifier import AUDITS, marks, sha256
from tasks.contracts.dvc_files import locked, raw_hash
from tasks.contracts.errors import BadData
from tasks.contracts.files import sha256_of
from tasks.contracts.records import SPLITS
from tasks.contracts.samples import usable
from tasks.contracts.workspace import Workspace

TERMS = ("params.yaml", "dvc.yaml", "requirements.lock")  # how the numbers were made, not from what
# git keeps the last ones, from `decisions.csv` on, DVC the others; a clone without DVC's cache has none of those
ARTIFACTS = (
    "data/manifest.parquet",
    "data/checked.parquet",
    "data/splits.parquet",
    "data/weights.parquet",
    "reports/quality.json",
    "reports/contract.json",
    "reports/duplicates.parquet",
    "reports/label_errors.parquet",
    "reports/bias.json",
    "reports/gate.json",
    "models/bundle/bundle.json",
    "models/bundle/weights.safetensors",
    "decisions.csv",
    "contract.json",
    *TERMS,
)
EVALUATION = "reports/evaluation.json"


@dataclass(frozen=True)
class Evidence:
    """A subject, and the files that go beside its document: the list of samples, and of marks of the data's files."""

    subject: Subject
    lists: dict[str, bytes]


def examine(ws: Workspace, checked: pd.DataFrame, quality: dict[str, Any]) -> Evidence:
    """Hash what lies in the workspace: the data's files, the samples that `quality` kept, and the reports.

    Raises BadData where a file is no longer what `quality` read.
    """
    kept = usable(checked)
    rows = kept[["sha256", "label", "split"]].astype(object).where(kept[["sha256", "label", "split"]].notna(), "")
    ordered = sorted(rows.to_numpy().tolist())
    lines = [json.dumps(row) + "\n" for row in ordered]
    splits = {split: [line for line, row in zip(lines, ordered, strict=True) if row[2] == split] for split in SPLITS}
    files = _files(ws, checked)
    subject = Subject(
        root_sha256=_root(lines),
        samples=len(lines),
        bytes=int(kept["bytes"].sum()),
        **{key: quality[key] for key in ("found", "kept", "quarantined", "reasons", "split_sizes")},
        splits={split: _root(of_split) for split, of_split in splits.items()},
        files=len(files),
        dvc=raw_hash(ws),
        git=_git(ws),
        artifacts=_artifacts(ws),
        table_md5=_md5(ws.checked.read_bytes()),
    )
    packed = {"samples": _packed(lines), "files": _packed(f"{mark}\n" for mark in files)}
    return Evidence(subject, {f"{kind}-{sha256(data)[:12]}.gz": data for kind, data in packed.items()})


def _files(ws: Workspace, checked: pd.DataFrame) -> list[str]:
    """The marks of the files in `data/raw`, of which those that were checked have the bytes that were checked."""
    here = list(marks(ws.raw))
    contents = {place: content for place, content, _ in here}
    alone = checked[checked["archive"].isna() & checked["sha256"].notna()]
    for path, content in zip(alone["path"], alone["sha256"], strict=True):
        if contents.get(path) != content:
            raise BadData(f"data/raw/{path} changed since it was checked; run again once nothing writes there")
    return sorted(mark for _, _, mark in here)


def _artifacts(ws: Workspace) -> dict[str, str]:
    places = [*ARTIFACTS, *([EVALUATION] if is_of_this_data(ws) else [])]
    return {place: sha256_of(ws.root / place) for place in places if (ws.root / place).is_file()}


def is_of_this_data(ws: Workspace) -> bool:
    """Whether `reports/evaluation.json` is of a model made from the table of samples as it is now, as DVC knows it."""
    if not ws.evaluation.is_file():
        return False
    known = locked(ws, "evaluate")
    here = {path.relative_to(ws.root).as_posix(): path for path in (ws.checked, ws.evaluation)}
    return all(
        path.is_file() and known.get(place, {}).get("md5") == _md5(path.read_bytes()) for place, path in here.items()
    )


def _root(lines: Iterable[str]) -> str:
    return sha256("".join(lines).encode())


def _packed(lines: Iterable[str]) -> bytes:
    """Equal lines give equal bytes: no time stamp, no name."""
    return gzip.compress("".join(lines).encode(), mtime=0)


def _md5(data: bytes) -> str:
    """DVC's hash; it identifies files here and proves nothing."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _git(ws: Workspace) -> Git:
    commit = _say(ws, "rev-parse", "--verify", "--quiet", "HEAD")
    return Git(commit, bool(_say(ws, "status", "--porcelain", "--", ".", f":(exclude){AUDITS}")))


def _say(ws: Workspace, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=ws.root,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
