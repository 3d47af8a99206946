"""The log of a run: a JSON object in a line, one id in all of them, and no secret."""

import json
import logging
import os
import traceback
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flows import cli, operating
from flows.logs import KEPT, RUN_ID, logged, masked
from tasks.contracts.errors import BadEnvironment
from tasks.contracts.images import Undecodable
from tasks.contracts.progress import say
from tasks.contracts.workspace import Workspace


def lines(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_what_is_said_is_in_the_log_of_its_run_and_nowhere_after(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(RUN_ID, raising=False)
    monkeypatch.setattr(logging.getLogger("dvc"), "handlers", [])  # DVC's own write to the screen of an earlier test
    ws = Workspace(tmp_path)
    with logged(ws) as log:
        assert os.environ[RUN_ID] == log.stem
        say("half way\n\x1b[2J")
        logging.getLogger("dvc").warning("a remark")
        with logged(ws) as again:  # a child process
            assert again == log
    say("after")
    assert [(one["run"], one["source"], one["text"]) for one in lines(log)] == [
        (log.stem, "graft", "half way\n\x1b[2J"),
        *[(log.stem, "dvc", "a remark")],
    ]
    assert RUN_ID not in os.environ
    assert "half way" in capsys.readouterr().err


def test_a_traceback_stays_out_and_a_secret_is_masked(tmp_path, monkeypatch):
    monkeypatch.setenv("REMOTE_TOKEN", "abc123def")
    with logged(Workspace(tmp_path)) as log:
        try:
            raise ValueError("postgresql://ada:hunter2@db/x refused abc123def")
        except ValueError:
            logging.getLogger("prefect").exception("failed")
    (line,) = lines(log)
    assert line["text"] == "failed (ValueError: postgresql://***@db/x refused ***)"


@settings(deadline=None)  # of one example, in milliseconds: other work on the machine makes it longer
@given(st.text(st.characters(categories=("L", "N"), include_characters="@:"), min_size=6), st.text())
def test_no_password_survives_in_an_address_or_behind_its_name(secret, around):
    for text in (
        "https://user:{}@host/path",
        "https://{}@host/path",
        "ssh://user:{}@host/path",
        "password={}",
        "api_key: {}",
    ):
        assume(secret not in text)
        assert secret not in masked(f"{around} {text.format(secret)}").removeprefix(masked(around))


def test_what_a_server_hears_is_masked_and_so_is_the_screen(tmp_path, monkeypatch, capsys):
    class Server(logging.Handler):
        """As Prefect's handler of what is said in a flow: it takes the record as it comes."""

        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    heard, server = [], Server()
    monkeypatch.setenv("REMOTE_TOKEN", "abc123def")
    logger = logging.getLogger("graft")
    logger.addHandler(server)
    try:
        with logged(Workspace(tmp_path)):
            say("git push: https://ada:hunter2@host/x refused abc123def at 100 %s")
        assert logger.filters == []
    finally:
        logger.removeHandler(server)
    assert heard == ["git push: https://***@host/x refused *** at 100 %s"]
    assert "hunter2" not in capsys.readouterr().err


def test_what_prefect_keeps_of_a_stage_that_failed_is_masked(tmp_path, monkeypatch):
    from flows import engine

    def fail(*_: object, **__: object) -> None:
        try:
            raise OSError("https://ada:hunter2@host/x")
        except OSError as error:
            raise Undecodable("truncated", f"DVC: {error} refused abc123def") from error

    monkeypatch.setenv("REMOTE_TOKEN", "abc123def")
    monkeypatch.setattr(engine, "bring_up_to_date", fail)
    with pytest.raises(Undecodable, match=r"\(DVC: https://\*\*\*@host/x refused \*\*\*\)") as caught:
        engine.stage_task("ingest").fn(engine.Run(tmp_path))
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))  # nor in what it came from


def test_a_password_in_an_address_is_not_in_the_line_of_an_error(monkeypatch, capsys):
    def fail(*_: object) -> None:
        raise BadEnvironment("git push: fatal: unable to access 'https://ada:hunter2@host/x'")

    monkeypatch.setattr(operating, "find_workspace", fail)
    assert cli.main(["status"]) == 4
    assert "unable to access 'https://***@host/x'" in capsys.readouterr().err


def test_old_logs_go(tmp_path):
    ws = Workspace(tmp_path)
    (ws.private / "logs").mkdir(parents=True)
    for number in range(KEPT + 3):
        (ws.private / "logs" / f"2020010{number:04}.jsonl").touch()
    with logged(ws) as log:
        pass
    kept = sorted(path.stem for path in (ws.private / "logs").iterdir())
    assert len(kept) == KEPT
    assert kept[-1] == log.stem
