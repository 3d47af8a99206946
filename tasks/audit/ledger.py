"""The ledger: a line for each audit and each sign-off, in git, each with the hash of the line before.

A document is written first and then its line, so a document that no line names is of something that was killed
between the two. It is whole, and its line follows from it: whoever writes next enters it.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.audit.records import AuditReport, SignOff
from tasks.audit.verifier import AUDITS, LEDGER, NOTHING, Verdict, check_chain, line_of, sha256
from tasks.contracts.errors import BadUsage, BrokenArtifact
from tasks.contracts.files import replacing
from tasks.contracts.progress import say
from tasks.contracts.records import read_json, to_json
from tasks.contracts.workspace import Workspace

_KEYS = {"number", "kind", "created_at", "previous", "document", "sha256"}  # of every line


@dataclass(frozen=True)
class Entered:
    """A document that is in the ledger, and the receipt to keep elsewhere: `NUMBER:SHA256` of its line."""

    number: int
    document: str
    receipt: str


def enter(ws: Workspace, record: AuditReport | SignOff, lists: dict[str, bytes] | None = None) -> Entered:
    """Give a record the next place in the ledger; one who comes at the same time waits.

    Raises BrokenArtifact, with nothing written, where the ledger is broken: nobody should build on it.
    """
    audits = ws.root / AUDITS
    with alone(ws):
        heads, lines = _sound(audits)
        entry: Any = replace(
            record.entry,
            number=len(heads) + 1,
            previous=[NOTHING, *heads][-1],
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        document = to_json(replace(record, entry=entry)).encode()
        line = line_of(json.loads(document), sha256(document))
        name = json.loads(line)["document"]
        for place, data in {**(lists or {}), name: document, LEDGER: lines + line + b"\n"}.items():
            _write(audits / place, data)
    return Entered(entry.number, f"{AUDITS}/{name}", f"{entry.number}:{sha256(line)}")


def entries(ws: Workspace) -> list[dict[str, Any]]:
    """The lines of the ledger as they stand, oldest first; `graft audit verify` says whether they hold."""
    ledger = ws.root / AUDITS / LEDGER
    try:
        found = [json.loads(line) for line in (ledger.read_bytes().splitlines() if ledger.is_file() else ())]
    except (ValueError, RecursionError):
        found = [None]
    if not all(isinstance(entry, dict) and entry.keys() >= _KEYS for entry in found):
        raise BrokenArtifact(f"{ledger} is not what graft wrote; `graft audit verify` says more")
    return found


def sound_entries(ws: Workspace) -> list[dict[str, Any]]:
    """The lines of the ledger, oldest first, for whoever shows them.

    Raises BrokenArtifact where a line, a document or a list is not what was entered.
    """
    audits, found = ws.root / AUDITS, Verdict()
    if not audits.is_dir() or not any(audits.iterdir()):
        return []
    check_chain(audits, found)
    if found.problems:
        raise BrokenArtifact(f"{found.problems[0]}; `graft audit verify` says more")
    return entries(ws)


def find_entry(ws: Workspace, number: int | None = None) -> dict[str, Any]:
    """An entry; without a number, that of the latest audit. Raises BadUsage where there is none."""
    known = entries(ws)
    wanted = [one for one in known if (one["kind"] == "audit" if number is None else one["number"] == number)]
    if not wanted:
        there = f"known: 1 to {len(known)}" if known else "make one with `graft audit`"
        raise BadUsage(f"{ws.root} has no {'audit' if number is None else f'entry {number}'}; {there}")
    return wanted[-1]


def document(ws: Workspace, entry: dict[str, Any]) -> dict[str, Any]:
    """The document of an entry. Raises BrokenArtifact where it is not what was entered."""
    path = ws.root / AUDITS / entry["document"]
    if path.is_file() and sha256(path.read_bytes()) != entry["sha256"]:
        raise BrokenArtifact(f"{path} has other bytes than were entered; `git log -- {AUDITS}` has what it was")
    return read_json(path)


@contextmanager
def alone(ws: Workspace) -> Iterator[None]:
    """Hold the ledger; the system frees it when the process ends, however it ends."""
    ws.private.mkdir(exist_ok=True)
    (ws.private / ".gitignore").write_text("*\n", encoding="utf-8")
    with (ws.private / "audits.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sound(audits: Path) -> tuple[list[str], bytes]:
    """The hashes of the lines, and the lines, after what a killed writer left was put right."""
    if not audits.is_dir():
        return [], b""
    for part in audits.glob(".*.part"):
        part.unlink()  # whoever writes is alone
    lines = (audits / LEDGER).read_bytes() if (audits / LEDGER).is_file() else b""
    found = Verdict()
    check_chain(audits, found)
    unnamed = all(one.endswith(": no entry names it") for one in found.problems) or not lines
    if unnamed and (line := _not_entered(audits, found.heads)):
        _write(audits / LEDGER, lines + line + b"\n")
        return _sound(audits)
    named = {name for entry in found.entries for name in entry.get("lists", ())}
    lists = (*audits.glob("samples-*.gz"), *audits.glob("files-*.gz"))
    strays = {one for one in lists if one.name not in named and one.stem.endswith(sha256(one.read_bytes())[:12])}
    theirs = {f"{AUDITS}/{stray.name}: no entry names it" for stray in strays}
    if strays and (set(found.problems) == theirs or strays == set(audits.iterdir())):  # nothing else is wrong, or there
        for stray in strays:
            stray.unlink()
        return _sound(audits)
    if found.problems and any(audits.iterdir()):
        raise BrokenArtifact(f"{found.problems[0]}; `git log -- {AUDITS}` has what it was")
    return found.heads, lines


def _not_entered(audits: Path, heads: list[str]) -> bytes:
    """The line of a document that continues the ledger and is not in it."""
    for path in sorted(audits.glob(f"{len(heads) + 1:04}-*.json")):
        try:
            line = line_of(json.loads(path.read_bytes()), sha256(path.read_bytes()))
        except (ValueError, KeyError, TypeError):
            continue
        entry = json.loads(line)
        if (entry["document"], entry["previous"]) == (path.name, [NOTHING, *heads][-1]):
            say(f"{AUDITS}/{path.name} was not in the ledger (a killed audit, or a line that was cut); it is entered")
            return line
    return b""


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as part:
        part.write_bytes(data)
