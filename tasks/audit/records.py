"""What stands in the documents of the ledger: of an audit, and of a person's decision on one."""

from dataclasses import dataclass
from typing import Any, Literal

from tasks.contracts.records import SCHEMA_VERSION


@dataclass(frozen=True)
class Git:
    """The commit that was checked out, and whether files differed from it; empty where there is no git."""

    commit: str
    dirty: bool


@dataclass(frozen=True)
class Subject:
    """The data of an audit. `root_sha256` is that of the sorted samples; `samples` and `bytes` count kept images.

    `found == kept + quarantined`, and `reasons` counts why. `splits` has the root hash of each split alone.
    `artifacts` are files of the workspace and their sha256; `table_md5` is the name of `data/checked.parquet` in
    DVC's cache, for a later comparison.
    """

    root_sha256: str
    samples: int
    bytes: int
    found: int
    kept: int
    quarantined: int
    reasons: dict[str, int]
    split_sizes: dict[str, dict[str, int]]
    splits: dict[str, str]
    files: int
    dvc: str
    git: Git
    artifacts: dict[str, str]
    table_md5: str = ""


@dataclass(frozen=True)
class Entry:
    """What the ledger's line repeats of an audit. `lists` are files beside the document, with their sha256."""

    root_sha256: str
    lists: dict[str, str]
    dvc: str
    git_commit: str
    params_sha256: str
    graft: str
    kind: str = "audit"
    number: int = 0
    created_at: str = ""  # UTC
    previous: str = ""  # sha256 of the line before


@dataclass(frozen=True)
class SignOffEntry:
    """What the ledger's line repeats of a person's decision: on which audit, and on which bytes."""

    audit: int
    audit_sha256: str
    decision: Literal["accepted", "rejected"]
    by: str
    role: str
    graft: str
    kind: str = "sign_off"
    number: int = 0
    created_at: str = ""
    previous: str = ""


@dataclass(frozen=True)
class SignOff:
    """A person's decision on an audit, a document of its own."""

    entry: SignOffEntry
    note: str
    report: str = "sign_off"
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Tool:
    """What made the numbers. `results` are the versions of what each stage gives."""

    graft: str
    python: str
    results: dict[str, int]
    params_sha256: str
    lock_sha256: str  # of requirements.lock, where the workspace has one


@dataclass(frozen=True)
class Recompute:
    """How to make the numbers again, and the sha256 to expect on a like machine."""

    command: str
    expect: dict[str, str]


@dataclass(frozen=True)
class AuditReport:
    """The document. `bias`, `gate` and `evaluation` are the stages' reports, names of files replaced by hashes.

    `evaluation` is there where a model was made from these very samples. `not_said` names what of `declared` is empty.
    """

    entry: Entry
    subject: Subject
    seed: int
    tool: Tool
    params: dict[str, Any]
    declared: dict[str, str]
    not_said: tuple[str, ...]
    bias: dict[str, Any]
    gate: dict[str, Any]
    evaluation: dict[str, Any] | None
    recompute: Recompute
    report: str = "audit"
    schema_version: int = SCHEMA_VERSION
