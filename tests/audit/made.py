"""Entries of made-up data, without a table or a pipeline; and the verifier as a stranger runs it."""

import gzip
import subprocess
import sys
from pathlib import Path

from tasks.audit import verifier
from tasks.audit.ledger import enter
from tasks.audit.records import AuditReport, Entry, Git, Recompute, SignOff, SignOffEntry, Subject, Tool
from tasks.audit.verifier import sha256
from tasks.contracts.workspace import Workspace


def verify_alone(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The verifier as somebody runs it who has nothing of graft: no site-packages, no path to this repository."""
    command = [sys.executable, "-I", "-S", verifier.__file__, str(root), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def decide(ws: Workspace, note: str = "") -> str:
    """Enter a sign-off; the receipt."""
    return enter(ws, SignOff(SignOffEntry(1, "ab" * 32, "accepted", "Ada", "auditor", "0.1.0"), note)).receipt


def invent(labels: list[str], text: str, artifacts: dict[str, str], marks: list[str]) -> tuple[AuditReport, dict]:
    """An audit of samples with these labels, `text` wherever people or data speak."""
    rows = sorted(verifier.canonical([sha256(f"{i}".encode()), one, "train"]) for i, one in enumerate(labels))
    lines = b"".join(row + b"\n" for row in rows)
    packed = {"samples": gzip.compress(lines, mtime=0), "files": gzip.compress("\n".join(marks).encode(), mtime=0)}
    lists = {f"{kind}-{sha256(data)[:12]}.gz": data for kind, data in packed.items()}
    n = len(labels)
    subject = Subject(
        sha256(lines), n, 10 * n, n, n, 0, {}, {}, {}, len(marks), "", Git("c" * 40, dirty=False), artifacts
    )
    pins = {name: sha256(data) for name, data in lists.items()}
    return AuditReport(
        entry=Entry(subject.root_sha256, pins, subject.dvc, subject.git.commit, "d" * 64, "0.1.0"),
        subject=subject,
        seed=0,
        tool=Tool("0.1.0", "3.11.7", {"bias": 2}, "d" * 64, ""),
        params={"seed": 0},
        declared={"purpose": text},
        not_said=(),
        bias={"findings": [], "said": text},
        gate={"passed": True, "rules": [], "findings": []},
        evaluation=None,
        recompute=Recompute("graft audit verify --recompute", {}),
    ), lists
