"""The header of a safetensors file, looked at before anything is made of it.

The library itself refuses a header that is too long, offsets that overlap, leave holes or pass the end of the file, and
shapes that do not fit them. It takes a name that is there twice, keeping one, and any number of tensors.
"""

import json
from pathlib import Path
from typing import Any

from tasks.contracts.errors import BrokenArtifact, one_line

MOST_TENSORS = 20_000  # the networks of torchvision and timm have at most some thousands
_LONGEST_BYTES = 16_000_000


def check_header(path: Path) -> None:
    """Raise BrokenArtifact where a tensor's name is there twice, or there are more of them than any network has."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _LONGEST_BYTES:
                raise BrokenArtifact(f"{path}: a header of {length} bytes is no network's; get the file anew")
            header = json.loads(file.read(length), object_pairs_hook=lambda pairs: _once(path, pairs))
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenArtifact(f"{path} is no safetensors file ({one_line(str(error))[:150]}); get it anew") from None
    if not isinstance(header, dict) or len(header) > MOST_TENSORS:
        raise BrokenArtifact(f"{path}: more than {MOST_TENSORS} tensors, or none, is no network; get the file anew")


def _once(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BrokenArtifact(f"{path}: {one_line(twice)[:80]!r} is there twice; get the file anew")
    return found
