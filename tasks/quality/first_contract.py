"""The first `contract.json`: what the first data promise of all later ones. Written once; then it is the user's."""

import json
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from tasks.contracts.errors import GraftError
from tasks.contracts.files import write_text
from tasks.contracts.params import IngestParams
from tasks.contracts.params_file import load_params
from tasks.contracts.progress import say
from tasks.contracts.samples import class_order
from tasks.contracts.workspace import Workspace
from tasks.ingest.folders import list_files
from tasks.ingest.shards import read_sidecars
from tasks.ingest.sources import build_manifest
from tasks.ingest.tables import find_table, read_table

FEW_VALUES, SHORT = 20, 100  # so many different values of so many characters are a set, more are free text
_FILES_LEFT = 0.5  # of the first number of files
_MOSTLY_FILLED, _FILLED_LEFT = 0.9, 0.8  # a column that had so many values keeps so many
_MOST_COLUMNS = 100  # of metadata
_MOST_SHARES = {"blurry": 0.5, "low_contrast": 0.5, "suspect_label": 0.2}  # of the kept images, before it is a warning
_ABOUT = (
    "What must hold of the data, checked on every run: a Great Expectations suite. Edit it; docs/checks.md says how."
)
_AGAIN = (
    "It names no classes yet, so a new one passes unseen. "
    "With images in data/raw, remove this file and run `graft init` on the workspace to have them written in."
)

Item = dict[str, Any]


def write_first_contract(ws: Workspace) -> None:
    """Write `contract.json` where there is none, from the data that are there; no image is opened.

    Where there are no data, or they cannot be told apart yet, it is a general one that says how to get another.
    """
    if ws.contract.exists():
        return
    manifest = None
    if ws.raw.is_dir():
        try:
            manifest = _manifest(ws, load_params(ws.params).ingest)
        except GraftError as error:  # the run will refuse with the same words
            say(f"contract.json does not name the classes yet: {error}")
    write_text(ws.contract, first_contract(manifest))
    if manifest is not None:
        classes = manifest["label"].nunique()
        say(f"contract.json is written: it promises the {classes:,} classes and the metadata of these data; edit it")


def first_contract(manifest: pd.DataFrame | None) -> str:
    """The suite as JSON text, for a manifest (columns label and meta_*) or for none."""
    items = [*(_about_classes(manifest) if manifest is not None else []), *_about_reasons()]
    if manifest is not None:
        for name in [column for column in map(str, manifest) if column.startswith("meta_")][:_MOST_COLUMNS]:
            items += _about_column(name, manifest[name])
    notes = _ABOUT if manifest is not None else f"{_ABOUT} {_AGAIN}"
    suite = {"name": "contract", "notes": notes, "expectations": items}
    return json.dumps(suite, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _manifest(ws: Workspace, params: IngestParams) -> pd.DataFrame:
    source = find_table(ws.raw, params.table)
    table = read_table(source, params) if source else None
    listing = list_files(ws.raw, source)
    sidecars = read_sidecars(ws.raw, listing, params)
    return build_manifest(ws.raw, listing, table, params, sidecars.table if sidecars else None)


def _about_classes(manifest: pd.DataFrame) -> list[Item]:
    classes = {"column": "label", "value_set": list(class_order(manifest["label"].dropna()))}
    least = max(1, int(len(manifest) * _FILES_LEFT))
    count = f"there are at least {least:,} files, half of the first {len(manifest):,}"
    return [
        _item("column_distinct_values_to_equal_set", classes, "the classes are those listed, none new and none gone"),
        _item("table_row_count_to_be_between", {"min_value": least}, count, rows="all"),
    ]


def _about_reasons() -> list[Item]:
    return [
        _item(
            "column_mean_to_be_between",
            {"column": f"is_{reason}", "max_value": most},
            f"at most {most:.0%} of the kept images have the reason {reason}",
            severity="warning",
        )
        for reason, most in _MOST_SHARES.items()
    ]


def _about_column(name: str, values: pd.Series) -> list[Item]:
    """Warnings only: metadata may change, but nobody should have to find out by chance."""
    there, shown = values.dropna(), name.removeprefix("meta_")
    about = [(kind, {"column": name, **kwargs}, notes) for kind, kwargs, notes in _promises(shown, values, there)]
    if not about:
        about = [("column_to_exist", {"column": name}, f"there is a column {shown}")]
    return [_item(kind, kwargs, notes, severity="warning") for kind, kwargs, notes in about]


def _promises(shown: str, values: pd.Series, there: pd.Series) -> list[tuple[str, Item, str]]:
    found: list[tuple[str, Item, str]] = []
    if len(there) and len(there) >= _MOSTLY_FILLED * len(values):
        filled = f"{shown} is given for at least {_FILLED_LEFT:.0%} of the images"
        found.append(("column_values_to_not_be_null", {"mostly": _FILLED_LEFT}, filled))
    if types.is_numeric_dtype(there) and not types.is_bool_dtype(there):
        if len(there) and np.isfinite(there.to_numpy(float)).all():
            low, high = float(there.min()), float(there.max())
            room = (high - low) / 2
            near = {"min_value": float(f"{low - room:.6g}"), "max_value": float(f"{high + room:.6g}")}
            found.append(("column_values_to_be_between", near, f"{shown} is near what it was ({low:g} to {high:g})"))
        return found
    words = sorted(there.unique().tolist(), key=str)
    if 0 < len(words) <= FEW_VALUES and all(isinstance(one, str | bool) and len(str(one)) <= SHORT for one in words):
        found.append(("column_values_to_be_in_set", {"value_set": words}, f"{shown} is one of those listed"))
    return found


def _item(kind: str, kwargs: Item, notes: str, *, rows: str = "kept", severity: str = "critical") -> Item:
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity, "notes": notes, "meta": {"rows": rows}}
