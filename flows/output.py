"""The two ways in which a command answers, on stdout. No name that comes with the data steers the terminal."""

import json
import sys
from typing import Any

from tasks.contracts.text import for_terminal, json_text


def dump(data: Any) -> int:
    """For machines: JSON. Returns exit code 0."""
    return show(json_text(json.dumps(data, indent=2, ensure_ascii=False, default=str)))


def show(text: str) -> int:
    """For people: text. Returns exit code 0."""
    sys.stdout.write(for_terminal(text) + "\n")
    return 0
