"""A safetensors file of one's own, without a card: its header and the network that it is said to fit."""

import json
import math
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError, safe_open

from tasks.backbone.cards import Colour, is_colour, three
from tasks.backbone.entry import LARGEST_PX, SMALLEST_LAYOUT_PX, Entry, is_side
from tasks.contracts.errors import BadUsage, BrokenArtifact, one_line


def require_file(network: str, weights: str, root: Path) -> None:
    """Raises BadUsage where there is no such file in the workspace `root`."""
    if not (root / weights).is_file():
        raise BadUsage(f"{root / weights} is no file; select.candidates names it as weights of {network}")


def with_header(base: Entry, weights: str, root: Path) -> Entry:
    """`base`, the entry of the network, with what the file `weights` in the workspace `root` says of itself.

    Raises BrokenArtifact (a broken header).
    """
    path = root / weights
    header, parameters = _header(path)
    fixed = base.smallest_px == base.input_px
    return replace(
        base,
        name=f"local/{PurePosixPath(weights).with_suffix('')}",
        source="local",
        parameters=parameters,
        megabytes=path.stat().st_size / 1e6,
        input_px=base.input_px if fixed else max(base.smallest_px, _side(header, path) or base.input_px),
        mean=_colour(header, "mean", path) or base.mean,
        std=_colour(header, "std", path) or base.std,
        data="your own",
        images=0,
        licence="your own",
        file=path,
        url="",
        given=weights,
    )


def _header(path: Path) -> tuple[dict[str, str], int]:
    """The metadata of a safetensors file and how many floating-point numbers it holds."""
    try:
        with safe_open(path, framework="numpy") as file:
            slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118
            numbers = sum(math.prod(one.get_shape()) for one in slices if one.get_dtype() not in ("I64", "BOOL"))
            return file.metadata() or {}, numbers
    except (SafetensorError, OSError) as error:
        raise BrokenArtifact(f"{path} is no safetensors file ({one_line(str(error))}); save it again") from None


def _side(header: dict[str, str], path: Path) -> int | None:
    found: int | None = _parsed(header, "input_px", path)
    if found is None or is_side(found):
        return found
    raise BrokenArtifact(
        f"{path}: input_px in its header is {found!r}, not a side of {SMALLEST_LAYOUT_PX} to {LARGEST_PX}"
    )


def _colour(header: dict[str, str], key: str, path: Path) -> Colour | None:
    found = _parsed(header, key, path)
    if found is None:
        return None
    try:
        colour = three(found)
    except (ValueError, TypeError):
        colour = (math.nan,) * 3
    if is_colour(colour, divides=key == "std"):
        return colour
    raise BrokenArtifact(f"{path}: {key} in its header is {header[key][:40]!r}, not three numbers from 0 to 1")


def _parsed(header: dict[str, str], key: str, path: Path) -> Any:
    try:
        return json.loads(header[key]) if key in header else None
    except ValueError:
        raise BrokenArtifact(f"{path}: {key} in its header is no JSON: {header[key][:40]!r}") from None
