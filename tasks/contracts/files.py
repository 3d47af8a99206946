"""Whole file or no file: everything is written aside, flushed and renamed into place."""

import glob
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contracts.errors import BadUsage, BrokenArtifact
from tasks.contracts.records import to_json

if TYPE_CHECKING:  # pandas takes a second to import; the door writes files without it
    import pandas as pd

_CURRENT_FOLDER = threading.RLock()


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Meanwhile `folder` is the current one; one thread at a time, since a process has one for all of them.

    Two threads that overlapped would leave the process in the other's folder, which may be gone by then.
    """
    with _CURRENT_FOLDER, chdir(folder):
        yield


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside `path` to write a file to (or to make a folder at); moved to `path` on success only.

    On any error, an interruption included, what was written is removed and the old `path` stays as it was.
    Raises BadUsage where a file would take the place of a folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    for old in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        if old == part or not _is_alive(old.name.split(".")[-2]):
            _remove(old)  # a killed run's
    try:
        yield part
        _flush(part)
        if path.is_dir() and not part.is_dir():
            raise BadUsage(f"{path} is a folder; name a file")
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)  # a folder cannot be renamed over a folder
        part.replace(path)
    finally:
        _remove(part)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_record(path: Path, record: Any) -> None:
    """Write a record as JSON; equal records give equal bytes."""
    write_text(path, to_json(record))


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as parquet without its index; equal tables give equal bytes.

    A column of lists holds lists of text, also where every list is empty.
    """
    import pyarrow as pa

    schema = pa.Schema.from_pandas(table, preserve_index=False)
    for index, field in enumerate(schema):
        if pa.types.is_list(field.type):
            schema = schema.set(index, field.with_type(pa.list_(pa.string())))
    with replacing(path) as part:
        table.to_parquet(part, index=False, schema=schema)


def read_table(path: Path) -> "pd.DataFrame":
    """Read a parquet table that graft wrote.

    Raises BrokenArtifact where it is missing or broken.
    """
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise BrokenArtifact(f"{path} is missing; run `graft run` to make it") from None
    except (OSError, ValueError) as error:
        raise BrokenArtifact(f"{path} is no parquet table ({error}); run `graft run` to make it again") from None


def sha256_of(path: Path) -> str:
    """The hex digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_alive(process: str) -> bool:
    return Path("/proc", process).exists()


def _flush(path: Path) -> None:
    for file in (path, *path.rglob("*")) if path.is_dir() else (path,):
        if file.is_symlink():  # what it points to is not ours to flush
            continue
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
