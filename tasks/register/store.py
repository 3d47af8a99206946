"""DVC's cache and its remote, as objects by hash. Of the steps' modules the only one that imports dvc.

Whether a remote holds an object is asked of the remote itself. DVC's own answer may come from an index of what was
pushed before, which does not know what has gone since.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.contracts.errors import BadEnvironment, one_line
from tasks.contracts.files import working_in
from tasks.contracts.workspace import Workspace
from tasks.register.tries import may_pass, tried


class Store:
    """An open DVC repository, seen as objects: `md5` is DVC's hash of a file, or with `.dir` of a folder's list."""

    def __init__(self, repo: Any, remote: str | None = None) -> None:
        """`remote` is the name of one of DVC's remotes; None: its default."""
        self._repo, self._remote = repo, remote

    @property
    def has_remote(self) -> bool:
        """Whether there is a remote to push to."""
        return bool(self._remote or self._repo.config["core"].get("remote"))

    def place(self, md5: str) -> Path:
        """Where the cache keeps an object, or would."""
        return Path(self._repo.cache.local.oid_to_path(md5))

    def content(self, md5: str) -> bytes | None:
        """What a small object holds (a folder's is its list), from the cache or from the remote; None: neither has it.

        The remote's is not brought into the cache, and nobody has held it against its hash.
        """
        if self.place(md5).is_file():
            return self.place(md5).read_bytes()
        if not self.has_remote:
            return None
        odb = self._repo.cloud.get_remote_odb(self._remote)
        try:
            return bytes(tried("reading from the remote", lambda: odb.fs.cat_file(odb.oid_to_path(md5))))
        except FileNotFoundError:
            return None

    def fetch(self, md5: Iterable[str]) -> None:
        """Bring objects from the remote into the cache; what the remote has not, is not brought."""
        wanted = [_hash(one) for one in md5]
        tried("pulling from the remote", lambda: _transfer(self._repo.cloud.pull, wanted, self._remote))

    def push(self, md5: Iterable[str]) -> None:
        """Bring objects from the cache to the remote: files first, the lists that name them last."""
        wanted = [_hash(one) for one in md5]
        tried("pushing to the remote", lambda: _transfer(self._repo.cloud.push, wanted, self._remote))

    def absent(self, md5: Iterable[str]) -> list[str]:
        """Which objects the remote does not hold, by asking it."""
        wanted = sorted(set(md5))
        odb = self._repo.cloud.get_remote_odb(self._remote)
        return sorted(set(wanted) - set(tried("asking the remote", lambda: odb.oids_exist(wanted))))

    def forget(self) -> None:
        """Drop DVC's own notes of what the remote holds."""
        from dvc_data.hashfile.db import get_index

        get_index(self._repo.cloud.get_remote_odb(self._remote)).clear()


@contextmanager
def opened(ws: Workspace, remote: str | None = None) -> Iterator[Store]:
    """The store of a workspace. Raises BadEnvironment with DVC's words where DVC or the remote fails."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        with working_in(ws.root), Repo(str(ws.root), _wait_for_lock=True) as repo:
            yield Store(repo, remote)
    except (DvcException, OSError, ImportError) as error:  # a remote fails with any; without its driver, the last
        raise BadEnvironment(f"DVC: {one_line(str(error))}") from error


def has_remote(ws: Workspace) -> bool:
    """Whether DVC has a default remote for this workspace."""
    with opened(ws) as store:
        return store.has_remote


class _Heard(logging.Handler):
    """The errors that DVC logs of single objects while it goes on with the others."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the error of a record."""
        if record.exc_info and record.exc_info[1]:
            self.errors.append(record.exc_info[1])


def _transfer(move: Callable[..., Any], wanted: list[Any], remote: str | None) -> None:
    """Move objects. Raises BadEnvironment, from the error that says most, where some failed; not for absent ones."""
    from dvc_objects.errors import ObjectFormatError

    logger, heard = logging.getLogger("dvc_data.hashfile.transfer"), _Heard()
    logger.addHandler(heard)
    propagate, logger.propagate = logger.propagate, False  # else it prints a traceback for each
    try:
        move(wanted, remote=remote)
    finally:
        logger.removeHandler(heard)
        logger.propagate = propagate
    # whether an object is absent or altered is found, and said, by those who read it
    failed = [one for one in heard.errors if not isinstance(one, FileNotFoundError | ObjectFormatError)]
    if failed:
        first = min(failed, key=may_pass)  # what does not pass comes first
        raise BadEnvironment(f"DVC: {len(failed)} of {len(wanted)} objects failed: {one_line(str(first))}") from first


def _hash(md5: str) -> Any:
    from dvc_data.hashfile.hash_info import HashInfo

    return HashInfo("md5", md5)
