"""The two ways in which a command answers, on stdout."""

import json
import sys
from typing import Any


def dump(data: Any) -> int:
    """For machines: JSON. Returns exit code 0."""
    return show(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def show(text: str) -> int:
    """For people: text. Returns exit code 0."""
    sys.stdout.write(text + "\n")
    return 0
