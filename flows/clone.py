"""Where a workspace is on this machine, for the runs of a worker that serves a server elsewhere."""

import os
from pathlib import Path

CLONE = "GRAFT_CLONE"  # in the environment of such runs: the worker's clone of the workspace


def here(workspace: Path) -> Path:
    """The worker's clone, or without such a worker the path as it was deployed."""
    return Path(os.environ.get(CLONE) or workspace)
