"""The registry's tags in git: read with one command, created together or not at all, under a lock that worktrees share.

Tags are annotated ones in GTO's format, so GTO, DVC and a bare `git tag` read them. They are written by git itself, not
by GTO, whose numbering is a read and a write apart: two at once would take the same number, or leave a version without
the champion that belongs to it.
"""

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tasks.contracts.errors import BadEnvironment, one_line
from tasks.register.history import LOOKS, MODEL, REFUSALS, TAGS, Tag

LOCK = "graft-registry.lock"
TAGGER = "graft <graft@localhost>"
SECONDS_FOR_A_REMOTE = 300.0  # tags and the commits under them; a remote that hangs would hold the run and its lock
_REMOTE = ("push", "fetch", "ls-remote")
_FIELDS = "%(refname)%00%(objecttype)%00%(*objectname)%00%(objectname)%00%(creatordate:unix)%00%(contents)%00%01"


class Taken(Exception):
    """A ref that was to be created is there already: another program, that takes no lock of ours, was faster."""


def read_tags(root: Path) -> list[Tag]:
    """Every ref of the registry. One that is no annotated tag has no message."""
    patterns = (f"{TAGS}{MODEL}@*", f"{TAGS}{MODEL}#*", f"{REFUSALS}*", f"{LOOKS}*")
    said = run_git(root, "for-each-ref", f"--format={_FIELDS}", *patterns)
    return [_tag(record.lstrip("\n")) for record in said.split("\0\1")[:-1]]


def create_tags(root: Path, tags: Sequence[Tag]) -> list[Tag]:
    """Create all the tags or none; they come back with the time that they bear.

    Raises Taken where one of the names is there.
    """
    now = int(time.time())
    orders = ["start"]
    for tag in tags:
        name = tag.ref.removeprefix(TAGS)
        text = f"object {tag.commit}\ntype commit\ntag {name}\ntagger {TAGGER} {now} +0000\n\n{tag.message}\n"
        orders.append(f"create {tag.ref} {run_git(root, 'mktag', given=text).strip()}")
    try:
        run_git(root, "update-ref", "--stdin", given="\n".join([*orders, "commit", ""]))
    except BadEnvironment as error:
        if "already exists" in str(error):
            raise Taken(str(error)) from None
        raise
    return [replace(tag, created=_iso(now)) for tag in tags]


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the registry: of one repository there is one, also for its other worktrees.

    Whoever comes second waits, for what is done under the lock takes milliseconds.
    """
    common = Path(run_git(root, "rev-parse", "--git-common-dir").strip())
    with (root / common / LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_git(root: Path, *arguments: str, given: str | None = None) -> str:
    """What a git command prints, run in `root` without a shell; `given` goes to its standard input.

    Raises BadEnvironment with git's own words where it fails.
    """
    return git_bytes(root, *arguments, given=given).decode(errors="surrogateescape")


def git_bytes(root: Path, *arguments: str, given: str | None = None) -> bytes:
    """The same, as the bytes that they are."""
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=root,
            input=given.encode() if given is not None else None,
            stdin=subprocess.DEVNULL if given is None else None,
            check=True,
            capture_output=True,
            timeout=SECONDS_FOR_A_REMOTE if arguments[0] in _REMOTE else None,
            env={**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
        )
    except FileNotFoundError:
        raise BadEnvironment("git is not installed; graft keeps its registry in it") from None
    except subprocess.TimeoutExpired as error:
        raise BadEnvironment(f"git {arguments[0]}: timed out after {error.timeout:g} s") from None
    except subprocess.CalledProcessError as error:
        raise BadEnvironment(f"git {arguments[0]}: {one_line(error.stderr.decode(errors='replace'))}") from None
    return done.stdout


def _tag(record: str) -> Tag:
    ref, kind, commit, own, when, message, *_ = record.split("\0")
    is_tag = kind == "tag"
    return Tag(ref, commit if is_tag else own, _iso(int(when or 0)), message.strip() if is_tag else "")


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
