"""What a server shows of a stage is no part of the work: a server that is gone costs a line."""

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.shown import show_stage
from flows.stages import Outcome
from tasks.contracts.workspace import Workspace


@pytest.mark.filterwarnings("ignore:Artifact creation outside of a flow:FutureWarning")
def test_a_server_that_is_gone_is_said_and_stops_no_stage(tmp_path, capfd):
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        show_stage(Workspace(tmp_path), Outcome("ingest", "ran", "it has not run yet"))
    assert "ingest is not shown on the server (" in capfd.readouterr().err
