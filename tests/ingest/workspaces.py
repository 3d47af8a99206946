"""A workspace with raw data for tests of ingest, and what ingest says of it."""

import pandas as pd
import pytest

from tasks.contracts.errors import BadData
from tasks.contracts.params import IngestParams
from tasks.contracts.workspace import Workspace
from tasks.ingest.step import IngestRecord, run


def put(ws: Workspace, *paths: str, table: str | bytes | None = None) -> None:
    for path in paths:
        (ws.raw / path).parent.mkdir(parents=True, exist_ok=True)
        (ws.raw / path).write_bytes(b"x")
    if table is not None:
        (ws.raw / "metadata.csv").write_bytes(table if isinstance(table, bytes) else table.encode())


def ingest(ws: Workspace, **params) -> IngestRecord:
    return run(ws, IngestParams(**params), seed=0)


def refusal(ws: Workspace, **params) -> str:
    with pytest.raises(BadData) as caught:
        ingest(ws, **params)
    assert "\n" not in str(caught.value)
    assert not ws.manifest.exists()
    return str(caught.value)


def reasons(ws: Workspace) -> dict[str, list[str]]:
    table = pd.read_parquet(ws.manifest)
    return {path: list(ids) for path, ids in zip(table["path"], table["reasons"], strict=True)}


CLASSES = ("cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "dog/4.jpg")
