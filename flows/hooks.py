"""Git hooks that have graft look after a commit or a merge, beside whatever hooks there are."""

import shlex
import sys
from pathlib import Path

from flows.logs import RUN_ID
from flows.workspaces import git
from tasks.contracts.errors import BadUsage
from tasks.contracts.files import replacing
from tasks.contracts.workspace import Workspace

HOOKS = ("post-commit", "post-merge")
REMEDY = "`graft watch --install-hook` replaces them"
_BEGIN, _END = "# >>> graft watch >>>", "# <<< graft watch <<<"
_SHELLS = ("sh", "bash", "dash", "zsh", "ksh")


def install(ws: Workspace) -> list[Path]:
    """Append graft's lines to the hooks, once, in place of those of an earlier graft; returns the files written.

    Raises BadUsage where a hook is not a shell script, or graft's lines in it are cut short: nothing is written then.
    """
    paths = _paths(ws)
    for path in paths:
        if path.exists() and not _is_shell(path):
            raise BadUsage(f"{path} is no shell script; have it call `graft watch --once` itself")
    texts = {path: _without(path) + _lines(ws) for path in paths}
    return [path for path, text in texts.items() if _write(path, text)]


def remove(ws: Workspace) -> list[Path]:
    """Take graft's lines out again; a hook that held nothing else is removed. Returns the files that changed.

    Raises BadUsage where graft's lines in a hook are cut short: nothing is changed then.
    """
    texts = {path: _without(path) for path in _paths(ws) if path.exists() and _BEGIN in _read(path)}
    for path, rest in texts.items():
        if rest.strip() in ("", "#!/bin/sh"):
            path.unlink()
        else:
            _write(path, rest)
    return list(texts)


def stale(ws: Workspace) -> list[Path]:
    """The hooks whose lines are of an earlier graft, of another place or cut short; a hook without any is not one."""
    ours = _lines(ws)
    return [path for path in _paths(ws) if path.exists() and _BEGIN in (text := _read(path)) and ours not in text]


def _paths(ws: Workspace) -> list[Path]:
    folder = Path(git(ws, "rev-parse", "--git-path", "hooks"))
    return [(ws.root / folder / name) for name in HOOKS]


def _lines(ws: Workspace) -> str:
    """Of git's own variables none may reach the look. What a run commits, wherever it works, is looked at by nobody."""
    look = shlex.join([str(Path(sys.executable).with_name("graft")), "--workspace", str(ws.root), "--quiet", "watch"])
    return "\n".join(
        (
            _BEGIN,
            f'[ -n "${{{RUN_ID}:-}}" ] || case "$(git rev-parse --show-toplevel)" in */.graft/worktrees/*) ;; *)',
            "  (unset $(git rev-parse --local-env-vars)",
            f"   nohup {look} --once >/dev/null 2>&1 &) ;;",
            "esac",
            _END,
            "",
        )
    )


def _is_shell(path: Path) -> bool:
    first = path.read_bytes().partition(b"\n")[0].decode(errors="replace")
    return first.startswith("#!") and any(part.rsplit("/", 1)[-1] in _SHELLS for part in first[2:].split())


def _without(path: Path) -> str:
    """The hook without graft's lines, ready for more."""
    if not path.exists():
        return "#!/bin/sh\n"
    head, begin, rest = _read(path).partition(_BEGIN)
    _, end, theirs = rest.partition(_END)
    if begin and not end:
        raise BadUsage(f"{path} has {_BEGIN!r} without {_END!r}; take graft's lines out by hand")
    text = head + theirs.removeprefix("\n")
    return text if text.endswith("\n") else text + "\n"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def _write(path: Path, text: str) -> bool:
    """Whether anything was to be written."""
    if path.exists() and _read(path) == text:
        return False
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o755
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="surrogateescape", newline="\n")
        part.chmod(mode | 0o111)
    return True
