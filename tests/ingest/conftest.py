"""What every test of ingest may lean on."""

from pathlib import Path

import pytest

from tasks.contracts.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    """A workspace with an empty folder for raw data."""
    (tmp_path / "data/raw").mkdir(parents=True)
    return Workspace(tmp_path)
