"""Three drivers, one result: Prefect's embedded engine, a server with a worker, and DVC alone."""

import os
import subprocess

import pytest

from benchmarks.served import Site, until
from flows.stages import stale_stages
from tasks.contracts.params_file import override
from tests.flows.conftest import BIN, graft, make
from tests.flows.test_pipeline import output_hashes

pytestmark = pytest.mark.slow


def repro(folder):
    ws = make(folder)
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    subprocess.run(["dvc", "repro", "--quiet"], cwd=ws.root, env=environment, check=True)
    return ws


def served(folder):
    """A workspace that a deployed run has brought up to date; server and worker are down again."""
    ws = make(folder)
    override(ws.params, ["operate.port=4290"])
    site = Site(ws, ws.root)
    try:
        up = graft(ws, "up")
        assert up.returncode == 0, up.stderr
        run = site.start("pipeline")
        until(lambda: site.state(run) in ("COMPLETED", "FAILED", "CRASHED"), "end of the run")
        assert site.state(run) == "COMPLETED", site.message(run)
    finally:
        graft(ws, "down")
    return ws


def test_embedded_served_and_repro_end_with_equal_hashes_of_all_outputs(finished, tmp_path):
    (tmp_path / "repro").mkdir()
    (tmp_path / "served").mkdir()
    by_dvc, by_worker = repro(tmp_path / "repro"), served(tmp_path / "served")
    assert output_hashes(by_worker) == output_hashes(by_dvc) == output_hashes(finished)
    assert len(output_hashes(finished)) == 22
    for ws in (by_dvc, by_worker):
        assert not any(stale_stages(ws).values())
