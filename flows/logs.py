"""One run, one id, one log: what is said on the way goes to `.graft/logs/RUN.jsonl` too, with secrets masked."""

import json
import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tasks.contracts.text import without_passwords
from tasks.contracts.workspace import Workspace

RUN_ID = "GRAFT_RUN_ID"  # in the environment, so that child processes of a run know which one it is
LOGGERS = {"graft": logging.INFO, "prefect": logging.WARNING, "dvc": logging.WARNING}
KEPT = 200  # logs; the oldest go first
MASK = "***"
_SECRET_NAME = re.compile(r"PASS|TOKEN|SECRET|KEY|AUTH|CREDENTIAL|CONNECTION_URL", re.IGNORECASE)
_SHORTEST_SECRET = 6  # a shorter value, such as `true`, stands in too many innocent words
_ASSIGNED = re.compile(r"((?:password|passwd|token|secret|api_?key)\s*[=:]\s*)[^\s,;&]+", re.IGNORECASE)


def masked(text: str) -> str:
    """`text` without passwords in addresses, what is assigned to a secret's name, and values of secret variables."""
    text = _ASSIGNED.sub(rf"\g<1>{MASK}", without_passwords(text))
    values = {value for name, value in os.environ.items() if _SECRET_NAME.search(name)}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, MASK)
    return text


@contextmanager
def logged(ws: Workspace) -> Iterator[Path]:
    """Write what is said meanwhile to the run's log; gives its path, whose stem is the run's id.

    The id is new unless a parent process set it.
    """
    given = os.environ.get(RUN_ID)
    run = given or f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    folder = ws.private / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run}.jsonl"
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(_Lines(run))
    os.environ[RUN_ID] = run
    mask = _Masking()
    logging.getLogger("graft").addFilter(mask)
    before = {name: logging.getLogger(name).level for name in LOGGERS}
    for name, level in LOGGERS.items():
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(min(level, logger.level or level))
    try:
        yield path
    finally:
        for name, level in before.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(level)
        logging.getLogger("graft").removeFilter(mask)
        handler.close()
        if not given:
            del os.environ[RUN_ID]
        _forget_old(folder)


class _Masking(logging.Filter):
    """Masks what is said before any handler has it: a Prefect server gets it too."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        record.msg, record.args = masked(record.getMessage()), ()
        return True


class _Lines(logging.Formatter):
    """A JSON object in a line for each record; an exception is its last line, not its traceback."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1]:
            text += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "run": self._run,
            "process": record.process,
            "source": record.name,
            "level": record.levelname.lower(),
            "text": masked(text),
        }
        return json.dumps(line, ensure_ascii=False)


def _forget_old(folder: Path) -> None:
    for path in sorted(folder.glob("*.jsonl"))[:-KEPT]:
        path.unlink(missing_ok=True)
