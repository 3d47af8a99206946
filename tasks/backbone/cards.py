"""The card beside the weights of a backbone that graft made: what it was made from, what it knows and what it does not.

`NAME.json` beside `NAME.safetensors`; those that ship with graft and those of a workspace have the same.
"""

import json
import re
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from tasks.contracts.errors import BrokenArtifact, one_line
from tasks.contracts.files import write_record

Colour = tuple[float, float, float]

_KINDS: dict[Any, tuple[type | tuple[type, ...], str]] = {
    str: (str, "text"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    dict[str, Any]: (dict, "an object"),
    dict[str, Any] | None: ((dict, type(None)), "an object or null"),
}


@dataclass(frozen=True)
class Card:
    """What a user must know about saved weights.

    `network` is a name that the catalogue can build; `mean` and `std` are of pixels in [0, 1]; `parameters`, `bytes`
    and `sha256` are of the weights file. `source_images` is 0 where the source data are endless. `seconds` is wall
    time on `device`. `recipe` is all that was set, `panel` the figures on the benchmark panel where it was measured.
    """

    network: str
    input_px: int
    mean: Colour
    std: Colour
    parameters: int
    bytes: int
    sha256: str
    source_data: str
    source_images: int
    images_seen: int
    seconds: float
    device: str
    recipe_version: str
    recipe: dict[str, Any]
    licence: str
    knows: str
    knows_not: str
    panel: dict[str, Any] | None = None


def read_card(path: Path) -> Card:
    """The card at `path`.

    Raises BrokenArtifact, in one line, where it is missing, is no JSON, or a key is missing, unknown or of another
    kind than it should be.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return _card(data)
    except (OSError, ValueError) as error:
        raise BrokenArtifact(f"{path} is no card of a backbone ({one_line(str(error))[:200]})") from None


def write_card(path: Path, card: Card) -> None:
    """Write the card as JSON, whole or not at all; equal cards give equal bytes."""
    write_record(path, card)


def three(values: Any) -> Colour:
    """Three numbers, red, green and blue. Raises ValueError or TypeError where they are none."""
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def is_colour(colour: Colour, *, divides: bool) -> bool:
    """Whether all three are from 0 to 1, and where they are to divide by, none is 0."""
    return all(0 <= part <= 1 for part in colour) and (all(colour) or not divides)


def _card(data: Any) -> Card:
    """Raises ValueError that names what is wrong."""
    if not isinstance(data, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - one kind of error for whatever is in a file
    known = {field.name: field for field in fields(Card)}
    missing = [name for name, field in known.items() if name not in data and field.default is MISSING]
    unknown = [one_line(str(name)) for name in data if name not in known]
    for what, names in (("missing", missing), ("unknown", unknown)):
        if names:
            raise ValueError(f"{what}: {', '.join(names)}")
    values = {name: _value(name, known[name].type, value) for name, value in data.items()}
    if not re.fullmatch(r"[0-9a-f]{64}", values["sha256"]):
        raise ValueError("sha256 is not 64 hexadecimal digits")
    negative = [name for name, value in values.items() if isinstance(value, int | float) and not value >= 0]
    if negative or not values["input_px"]:
        raise ValueError(f"{(negative or ['input_px'])[0]} is too small")
    return Card(**values)


def _value(name: str, kind: Any, value: Any) -> Any:
    if kind is Colour or kind == Colour:
        try:
            colour = three(value)
        except (TypeError, ValueError):
            colour = (-1.0,) * 3
        if not is_colour(colour, divides=name == "std"):
            raise ValueError(f"{name} is not three numbers from 0 to 1")
        return colour
    types, called = _KINDS[kind]
    if not isinstance(value, types) or isinstance(value, bool):
        raise ValueError(f"{name} is not {called}")  # noqa: TRY004
    return value
