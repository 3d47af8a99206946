"""The questions that an audit asks, with the numbers that answer them; and who is in the data, as tables and maps."""

from dataclasses import dataclass
from typing import Any

from tasks.bias.attributes import MISSING
from tasks.report.charts import STRENGTH, Mark, mark
from tasks.report.sources import Report

MOST_SECTIONS = 12
MOST_ROWS = 60
MOST_TABLES = 8


@dataclass(frozen=True)
class Row:
    """A statistic, and its place on a line from 0 to 1 where it has one."""

    statistic: Report
    mark: Mark | None


@dataclass(frozen=True)
class Answer:
    """A question and the first MOST_ROWS numbers that answer it; `rest` are in the report's file only."""

    name: str
    question: str
    rows: tuple[Row, ...]
    rest: int


@dataclass(frozen=True)
class AttributeTable:
    """Images by class and value: in each cell those of train and of test, None where a number is held back."""

    name: str
    values: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[int | None, int | None], ...]], ...]


@dataclass(frozen=True)
class TileMap:
    """A grid of tiles: for each its place and side in per cent, and a shade from 0 to 1; `told` says it in words."""

    label: str
    what: str
    told: str
    tiles: tuple[tuple[float, float, float], ...]
    side: float


def answers(report: Report) -> tuple[list[Answer], int]:
    """The sections of a report, at most MOST_SECTIONS, and how many more there are; none in an older report."""
    sections = report.get("sections", [])
    shown = [
        Answer(
            name=one["name"],
            question=one["question"],
            rows=tuple(Row(statistic, _mark(statistic)) for statistic in one["statistics"][:MOST_ROWS]),
            rest=max(0, len(one["statistics"]) - MOST_ROWS),
        )
        for one in sections[:MOST_SECTIONS]
    ]
    return shown, max(0, len(sections) - MOST_SECTIONS)


def bias_views(bias: Report) -> dict[str, Any]:
    """What `bias.html` shows of a bias report, beside the report itself and its composition."""
    return {
        "bias_answers": answers(bias),
        "attribute_tables": attribute_tables(bias),
        "tile_maps": tile_maps(bias),
    }


def attribute_tables(bias: Report) -> tuple[list[AttributeTable], int]:
    """A table for each attribute with cells, at most MOST_TABLES, and how many more there are."""
    cells: dict[str, dict[tuple[str, str, str], int | None]] = {}
    for one in bias.get("cells", []):
        cells.setdefault(one["attribute"], {})[one["label"], one["value"], one["split"]] = one["images"]
    there = [one for one in bias.get("attributes", []) if one["name"] in cells]
    shown = [_table(one["name"], (*one["values"], MISSING), cells[one["name"]]) for one in there[:MOST_TABLES]]
    return shown, max(0, len(there) - MOST_TABLES)


def tile_maps(bias: Report) -> list[TileMap]:
    """Where in the picture a class's own traits lie."""
    return [_tile_map(one) for one in bias.get("maps", [])]


def _mark(statistic: Report) -> Mark | None:
    ends = [statistic[end] for end in ("value", "low", "high")]
    if any(end is None or not 0 <= end <= 1 for end in ends):
        return None
    return mark(statistic["name"], statistic, STRENGTH, "accent")


def _table(name: str, names: tuple[str, ...], cells: dict[tuple[str, str, str], int | None]) -> AttributeTable:
    """Values that have an image; a cell that the report does not tell has none."""
    there = {value for _, value, _ in cells}
    values = tuple(value for value in names if value in there)
    rows = tuple(
        (label, tuple((cells.get((label, v, "train"), 0), cells.get((label, v, "test"), 0)) for v in values))
        for label in dict.fromkeys(label for label, _, _ in cells)
    )
    return AttributeTable(name, values, rows)


def _tile_map(one: dict[str, Any]) -> TileMap:
    grid = one["tiles"]
    most = max((abs(value) for row in grid for value in row), default=0.0) or 1.0
    side = 100 / max(1, len(grid))
    tiles = [
        (round(side * x, 3), round(side * y, 3), round(max(0.0, value) / most, 3))
        for y, row in enumerate(grid)
        for x, value in enumerate(row)
    ]
    strongest = max(tiles, key=lambda tile: tile[2], default=(0.0, 0.0, 0.0))
    place = f"row {round(strongest[1] / side) + 1} from the top, column {round(strongest[0] / side) + 1} from the left"
    told = f"{one['what']}, {one['label']}: strongest in {place} of {len(grid)}"
    return TileMap(one["label"], one["what"], told, tuple(tiles), round(side, 3))
