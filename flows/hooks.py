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
_BEGIN, _END = "# >>> graft watch >>>", "# <<< graft watch <<<"
_SHELLS = ("sh", "bash", "dash", "zsh", "ksh")


def install(ws: Workspace) -> list[Path]:
    """Append graft's lines to the hooks, once; returns the files that were written.

    Raises BadUsage where a hook is not a shell script: nothing is written then.
    """
    paths = _paths(ws)
    for path in paths:
        if path.exists() and not _is_shell(path):
            raise BadUsage(f"{path} is no shell script; have it call `graft watch --once` itself")
    return [path for path in paths if _write(path, _without(path) + _lines(ws))]


def remove(ws: Workspace) -> list[Path]:
    """Take graft's lines out again; a hook that held nothing else is removed. Returns the files that changed."""
    changed = []
    for path in _paths(ws):
        if path.exists() and _BEGIN in path.read_text(encoding="utf-8", errors="surrogateescape"):
            rest = _without(path)
            if rest.strip() in ("", "#!/bin/sh"):
                path.unlink()
            else:
                _write(path, rest)
            changed.append(path)
    return changed


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
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    head, begin, rest = text.partition(_BEGIN + "\n")
    text = head + rest.partition(_END + "\n")[2] if begin else text
    return text if text.endswith("\n") else text + "\n"


def _write(path: Path, text: str) -> bool:
    """Whether anything was to be written."""
    if path.exists() and path.read_text(encoding="utf-8", errors="surrogateescape") == text:
        return False
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o755
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="surrogateescape", newline="\n")
        part.chmod(mode | 0o111)
    return True
