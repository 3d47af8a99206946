"""What changed from one audit to another: in the data, in the numbers, in what was found, and in how it was found."""

import gzip
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from tasks.audit import ledger
from tasks.audit.differences import Difference, differences
from tasks.audit.tables import version_drift
from tasks.audit.verifier import AUDITS, sha256
from tasks.contracts.errors import BadUsage, BrokenArtifact
from tasks.contracts.records import Section, leaves
from tasks.contracts.workspace import Workspace

Sides = dict[str, tuple[tuple[str, str], ...]]  # sha256 -> each (label, split) that it stands with


@dataclass(frozen=True)
class Change:
    """A sample that both audits hold, and its labels or splits before and after."""

    sha256: str
    before: str
    after: str


@dataclass(frozen=True)
class Samples:
    """What became of the samples, by the hash of their bytes."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    relabelled: tuple[Change, ...]
    moved: tuple[Change, ...]  # to another split


@dataclass(frozen=True)
class FindingChange:
    """A finding that is `new`, `gone` or `changed`."""

    what: str
    severity: str
    message: str


@dataclass(frozen=True)
class Changes:
    """From audit `before` to audit `after`; `settings` names params and tools, old and new."""

    before: int
    after: int
    samples: Samples
    numbers: tuple[Difference, ...]
    findings: tuple[FindingChange, ...]
    settings: tuple[str, ...]
    drift: Section  # of the images that came or went against those that stayed


def changes(ws: Workspace, before: int, after: int) -> Changes:
    """Compare two audits. Raises BadUsage where one is none, BrokenArtifact where a file is not what was entered."""
    entries = [ledger.find_entry(ws, number) for number in (before, after)]
    for entry in entries:
        if entry["kind"] != "audit":
            raise BadUsage(f"entry {entry['number']} is a sign-off, no audit")
    old, new = (ledger.document(ws, entry) for entry in entries)
    return Changes(
        before,
        after,
        samples=compare_samples(*(_samples(ws, entry) for entry in entries)),
        numbers=differences(old, new),
        findings=compare_findings(old, new),
        settings=_settings(old, new),
        drift=version_drift(ws, old, new),
    )


def compare_samples(old: Sides, new: Sides) -> Samples:
    """Which samples came, went, or stand with another label or in another split."""
    both = sorted(old.keys() & new.keys())
    return Samples(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        relabelled=_changed(old, new, both, 0),
        moved=_changed(old, new, both, 1),
    )


def _changed(old: Sides, new: Sides, both: list[str], part: int) -> tuple[Change, ...]:
    sides = ((one, *(", ".join(sorted({row[part] for row in side[one]})) for side in (old, new))) for one in both)
    return tuple(Change(*side) for side in sides if side[1] != side[2])


def _samples(ws: Workspace, entry: dict[str, Any]) -> Sides:
    (name,) = (name for name in entry["lists"] if name.startswith("samples"))
    path = ws.root / AUDITS / name
    data = path.read_bytes() if path.is_file() else b""
    if sha256(data) != entry["lists"][name]:
        raise BrokenArtifact(f"{path} is missing or has other bytes than were entered; see `graft audit verify`")
    found = defaultdict(list)
    for line in gzip.decompress(data).decode().splitlines():
        digest, label, split = json.loads(line)
        found[digest].append((label, split))
    return {digest: tuple(rows) for digest, rows in found.items()}


def compare_findings(old: dict[str, Any], new: dict[str, Any]) -> tuple[FindingChange, ...]:
    """Which findings of two documents came, went, or say another thing of the same check, subject and number."""
    before, after = (_findings(document) for document in (old, new))
    found: dict[str, list[tuple[str, str]]] = {"new": [], "gone": [], "changed": []}
    for key in {**after, **before}:
        gone = list((before[key] - after[key]).elements())
        come = list((after[key] - before[key]).elements())
        both = min(len(gone), len(come))
        found["changed"] += come[:both]
        found["new"] += come[both:]
        found["gone"] += gone[both:]
    return tuple(FindingChange(what, *one) for what, those in found.items() for one in those)


def _findings(document: dict[str, Any]) -> defaultdict[tuple[str, ...], Counter[tuple[str, str]]]:
    """How often each severity and message stands for a check, a subject and a number: several may share all three."""
    found: defaultdict[tuple[str, ...], Counter[tuple[str, str]]] = defaultdict(Counter)
    for one in (one for report in ("gate", "bias") for one in document[report]["findings"]):
        found[one["check"], one["subject"], one["statistic"]["name"]][one["severity"], one["message"]] += 1
    return found


def _settings(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, ...]:
    sides = [leaves({key: one[key] for key in ("params", "declared", "tool")}) for one in (old, new)]
    before, after = sides
    names = [
        name for name in {**before, **after} if before.get(name) != after.get(name) and name != "tool.params_sha256"
    ]
    return tuple(f"{name}: {before.get(name)} -> {after.get(name)}" for name in names)
