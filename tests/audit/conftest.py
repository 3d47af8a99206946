"""A real workspace, git and DVC, in which two audits, a sign-off and a signature stand; and audits of made-up data."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tasks.audit.document import draft
from tasks.audit.keys import make_keys, sign
from tasks.audit.ledger import enter
from tasks.contracts.params_file import load_params, override
from tasks.contracts.workspace import Workspace
from tests.audit.made import decide
from tests.conftest import write_images
from tests.flows.conftest import commit, make, run_stages


def audit_now(ws: Workspace) -> str:
    """Enter an audit of what lies in the workspace; the receipt."""
    return enter(ws, *draft(ws, load_params(ws.params))).receipt


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A private and a public key."""
    private = tmp_path_factory.mktemp("keys") / "auditor.pem"
    return private, make_keys(private)


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, Path]) -> tuple[Workspace, str]:
    """A committed, signed workspace and its last receipt; entries 1 and 2 are audits, 3 is a sign-off. Copy it."""
    ws = make(tmp_path_factory.mktemp("audited"), ["bias.permutations=20"])
    (ws.root / "requirements.lock").write_text("numpy==2.0.0\n", encoding="utf-8")
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
def copy(audited: tuple[Workspace, str], tmp_path: Path) -> Callable[..., Workspace]:
    """Make a copy that a test may change; the caches, which no verifier needs, only where it is `whole`."""

    def made(*, whole: bool = False) -> Workspace:
        ignored = None if whole else shutil.ignore_patterns("cache")
        return Workspace(Path(shutil.copytree(audited[0].root, tmp_path / "copy", ignore=ignored)))

    return made
