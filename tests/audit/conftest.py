"""A real workspace, git and DVC, in which two audits, a sign-off and a signature stand; and audits of made-up data."""

import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tasks.audit import verifier
from tasks.audit.document import AuditReport, Entry, Recompute, SignOff, SignOffEntry, Tool, draft
from tasks.audit.keys import make_keys, sign
from tasks.audit.ledger import enter
from tasks.audit.subject import Git, Subject
from tasks.audit.verifier import sha256
from tasks.contracts.params_file import load_params, override
from tasks.contracts.workspace import Workspace
from tests.conftest import write_images
from tests.flows.conftest import commit, make, run_stages


def verify_alone(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The verifier as somebody runs it who has nothing of graft: no site-packages, no path to this repository."""
    command = [sys.executable, "-I", "-S", verifier.__file__, str(root), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def audit_now(ws: Workspace) -> str:
    """Enter an audit of what lies in the workspace; the receipt."""
    return enter(ws, *draft(ws, load_params(ws.params))).receipt


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


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A private and a public key."""
    private = tmp_path_factory.mktemp("keys") / "auditor.pem"
    return private, make_keys(private)


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, Path]) -> tuple[Workspace, str]:
    """A committed, signed workspace and its last receipt; entries 1 and 2 are audits, 3 is a sign-off. Copy it."""
    ws = make(tmp_path_factory.mktemp("audited"), ["bias.permutations=20"])
    run_stages(ws, "bias")
    commit(ws, "data")
    audit_now(ws)
    (ws.raw / "circles" / "0_001.png").rename(ws.raw / "crosses" / "moved.png")
    (ws.raw / "circles" / "0_002.png").unlink()
    write_images(ws.raw, 2, seed=7)
    override(ws.params, ["audit.purpose=telling shapes apart"])
    run_stages(ws, "bias")
    ws.bundle.mkdir(parents=True)
    save_file({"head": np.arange(12, dtype=np.float32)}, ws.bundle / "weights.safetensors")
    commit(ws, "more data")
    audit_now(ws)
    receipt = decide(ws, "looked at by two")
    sign(ws, keys[0])
    commit(ws, "audits")
    return ws, receipt


@pytest.fixture
def copy(audited: tuple[Workspace, str], tmp_path: Path) -> Callable[[], Workspace]:
    """Make a copy that a test may change; without DVC's cache, which no verifier needs."""

    def made() -> Workspace:
        ignored = shutil.ignore_patterns("cache", "prefect")
        return Workspace(Path(shutil.copytree(audited[0].root, tmp_path / "copy", ignore=ignored)))

    return made
