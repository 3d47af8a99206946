"""The list of backbones, and one of them in full: what it is, what it costs here, what it was made from."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.backbone.catalog import Entry, search_entries, weights_folder
from tasks.backbone.catalog import entries as all_entries
from tasks.backbone.cost import gmacs_of, measure
from tasks.backbone.timm_zoo import is_installed, timm_names
from tasks.contracts.errors import BadUsage, one_line
from tasks.contracts.params_file import load_params
from tasks.contracts.workspace import Workspace, find_workspace

SOURCES = ("embedded", "local", "torchvision", "timm")
_NOT_HERE = ("embedded", "to download", "missing")
MEASURED = ("embedded", "local")  # in a list; of the others only one that was asked for


def workspace_of(given: Path | None) -> Workspace | None:
    """The workspace that is given or around here, None where none was given and none is here. Raises BadUsage."""
    try:
        return find_workspace(given)
    except BadUsage:
        if given:
            raise
        return None


def rows(words: str | None, ws: Workspace | None) -> list[dict[str, Any]]:
    """What there is on every entry, cheapest first within a source: all, or those that `words` finds.

    Sides are those for the images of `ws`, or outside a workspace those that the networks were trained at.
    Raises BadUsage (nothing is called so) and BrokenArtifact (a card that cannot be read).
    """
    folder, root = weights_folder(), ws.root if ws else None
    found = search_entries(words, folder, root) if words else all_entries(folder, root)
    prepared_px = load_params(ws.params).quality.prepared_px if ws else None
    sides = [one.side_px(prepared_px or one.input_px) for one in found]
    costs = gmacs_of(zip(found, sides, strict=True))
    alone = len(found) == 1
    made = [_row(*one, alone=alone) for one in zip(found, sides, costs, strict=True)]
    return sorted(made, key=lambda row: (SOURCES.index(row["source"]), row["gmacs"], row["name"]))


def table(shown: list[dict[str, Any]]) -> str:
    """The list for people: a header and one line for each."""
    lines = [("NAME", "PARAMS", "MB", "PX", "GMACS", "MS", "WEIGHTS", "TRAINED ON, LICENCE")]
    lines += [
        (
            row["name"],
            f"{row['parameters'] / 1e6:.1f} M",
            f"{row['megabytes']:.1f}",
            str(row["side_px"]),
            f"{row['gmacs']:.3f}",
            f"{row['timing']['forward_ms']:.2f}" if row["timing"] else "",
            row["where"] if row["where"] in _NOT_HERE else "here",
            one_line(f"{row['data']}, {row['data_size']}; {row['licence']}"),
        )
        for row in shown
    ]
    name, where = (max(len(line[column]) for line in lines) for column in (0, 6))
    text = [
        f"{n:<{name}}  {p:>8}  {mb:>7}  {px:>4}  {g:>8}  {ms:>6}  {w:<{where}}  {rest}"
        for n, p, mb, px, g, ms, w, rest in lines
    ]
    return "\n".join([*text, "", *_legend(shown)])


def timm_line() -> str:
    """How many networks of timm there are beside the list, and how to see some; empty where timm is not installed."""
    if not is_installed():
        return ""
    return f"\ntimm has {len(timm_names()):,} more: `graft backbones timm/resnet18` lists those whose names begin so."


def in_full(row: dict[str, Any]) -> str:
    """One entry for people."""
    lines = [
        ("name", row["name"]),
        ("network", f"{row['network']}, {row['parameters']:,} parameters, {row['megabytes']:.1f} MB"),
        ("weights", row["where"]),
        ("input", f"made for {row['input_px']} px, takes {_sides(row)}; here {row['side_px']} px"),
        ("cost", f"{row['gmacs']:.3f} GMACs an image at {row['side_px']} px"),
        ("", _timing(row)),
        ("trained on", f"{row['data']} ({row['data_size']})"),
        ("licence", row["licence"]),
    ]
    if card := row["card"]:
        lines += [
            ("made by", f"{card['recipe_version']}: {_pairs(card['recipe'])}"),
            ("", f"{card['images_seen']:,} images in {card['seconds']:,.0f} s on {card['device']}"),
            ("knows", card["knows"]),
            ("knows not", card["knows_not"]),
            ("panel", _pairs(card["panel"]) if card["panel"] else "not measured"),
            ("sha256", card["sha256"]),
        ]
    return "\n".join(f"{what:<12}{one_line(text)}".rstrip() for what, text in lines)


def _row(entry: Entry, side_px: int, gmacs: float, *, alone: bool) -> dict[str, Any]:
    timed = alone or entry.source in MEASURED
    timing = measure(entry, side_px, gmacs, training=alone) if timed else None
    return {
        **asdict(entry),
        "where": entry.where,
        "data_size": entry.data_size,
        "side_px": side_px,
        "gmacs": gmacs,
        "timing": asdict(timing) if timing else None,
    }


def _legend(shown: list[dict[str, Any]]) -> list[str]:
    devices = {row["timing"]["device"]: None for row in shown if row["timing"]}
    device = f" ({'; '.join(devices)})" if devices else ""
    return [
        "PX: the side of an image here. GMACS: billions of multiply-adds of its forward pass.",
        f"MS: its milliseconds, measured now{device}; of the others `graft backbones NAME` measures it.",
    ]


def _sides(row: dict[str, Any]) -> str:
    return "no other" if row["smallest_px"] == row["input_px"] else f"{row['smallest_px']} px and up"


def _timing(row: dict[str, Any]) -> str:
    timing = row["timing"]
    if not timing:
        return "not measured: a single image would take long without a GPU"
    what = f"{timing['forward_ms']:.2f} ms an image forward"
    if timing["training_ms"] is not None:
        what += f", {timing['training_ms']:.2f} ms in a training step of all layers"
    return f"{what} (batch {timing['batch']}, {timing['device']})"


def _pairs(found: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in found.items())
