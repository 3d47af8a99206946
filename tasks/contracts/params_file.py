"""`params.yaml`: validated whole before anything runs, and changed with its comments kept."""

import difflib
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.contracts.errors import BadUsage
from tasks.contracts.files import write_text
from tasks.contracts.params import Params


def load_params(path: Path) -> Params:
    """The validated params at `path`.

    Raises BadUsage that lists every problem at once; an unknown key comes with the nearest known one.
    """
    return _validated(_read(path), path)


def require_whole(path: Path) -> None:
    """Raise BadUsage where a stage's section is missing: DVC hashes the file's words, so a default must stand in it."""
    document = _read(path)
    if missing := [key for key in _known_keys([]) if key not in {*document, "audit", "operate"}]:
        raise BadUsage(f"{path.name}: {', '.join(missing)} missing; `graft init DIR` writes a file that has them all")


def override(path: Path, settings: list[str]) -> list[str]:
    """Write each `KEY=VALUE` into the params file, comments kept, after the whole was found valid.

    DVC reads the file itself, so an override that was not written would leave its record untrue.
    Returns a line for each value that changed. Raises BadUsage, with nothing written.
    """
    document = _read(path)
    changes = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise BadUsage(f"--set {setting}: expected KEY=VALUE, as in --set train.epochs=12")
        *parents, last = key.split(".")
        place = document
        for parent in parents:
            place = place.setdefault(parent, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise BadUsage(f"--set {setting}: {'.'.join(parents)} is a value, not a section")
        value = _parse(text, f"--set {setting}")
        if last not in place or place[last] != value:
            changes.append(f"{key}: {place.get(last)} -> {value}")
            place[last] = value
    _validated(document, path)
    if changes:
        text_out = StringIO()
        _yaml().dump(document, text_out)
        write_text(path, text_out.getvalue())
    return changes


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 120
    return yaml


def _parse(text: str, where: str) -> Any:
    try:
        return _yaml().load(text)
    except YAMLError as error:
        raise BadUsage(f"{where} is no YAML: {_first_line(error)}") from None


def _read(path: Path) -> Any:
    try:
        document = _parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise BadUsage(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadUsage(f"{path} is not UTF-8 text") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise BadUsage(f"{path} holds no KEY: VALUE lines")
    return document


def _validated(document: Any, path: Path) -> Params:
    try:
        return Params.model_validate(_plain(document))
    except ValidationError as error:
        problems = "; ".join(_problem(dict(one)) for one in error.errors())
        raise BadUsage(f"{path.name}: {problems}") from None


def _plain(node: Any) -> Any:
    """Round-trip YAML nodes as the builtin types that strict validation accepts."""
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return tuple(_plain(item) for item in node)
    for builtin in (bool, int, float, str):
        if isinstance(node, builtin):
            return builtin(node)
    return node


def _problem(error: dict[str, Any]) -> str:
    place = [str(part) for part in error["loc"] if part not in ("str", "LocalBackbone")]  # the arms of a union
    key = ".".join(place)
    if error["type"] == "extra_forbidden":
        known = _known_keys(place[:-1])
        nearest = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known here: {', '.join(known)}"
        return f"unknown key {key}, {hint}"
    return f"{key}: {error['msg'].removeprefix('Value error, ')} (got {error['input']!r})"


def _known_keys(parents: list[str]) -> list[str]:
    model: Any = Params
    for parent in parents:
        fields = {f.alias or name: f for name, f in model.model_fields.items()}
        annotation = fields[parent].annotation if parent in fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return [f.alias or name for name, f in model.model_fields.items()]


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
