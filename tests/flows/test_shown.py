"""What a server shows of a stage is no part of the work: where it is gone, or DVC's files are broken, that is said."""

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.shown import show_stage
from flows.stages import Outcome
from tasks.contracts.workspace import Workspace

pytestmark = pytest.mark.filterwarnings("ignore:Artifact creation outside of a flow:FutureWarning")


def said(ws: Workspace, stage: str, capfd) -> str:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        show_stage(ws, Outcome(stage, "ran", "it has not run yet"))
    return capfd.readouterr().err


def test_a_server_that_is_gone_is_said_and_stops_no_stage(tmp_path, capfd):
    shown = said(Workspace(tmp_path), "select", capfd)  # a stage without assets
    assert "select is not shown on the server (" in shown
    assert "assets" not in shown


def test_assets_that_dvc_cannot_tell_are_said_and_stop_no_stage(tmp_path, capfd):
    (tmp_path / "dvc.lock").write_text("<<<<<<< HEAD\n", encoding="utf-8")
    shown = said(Workspace(tmp_path), "ingest", capfd)
    assert "the assets of ingest are not shown on the server (" in shown
    assert "dvc.lock is not as DVC writes it" in shown
    assert "ingest is not shown on the server (" in shown  # the rest was tried nonetheless
