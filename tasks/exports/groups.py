"""The numbers by group as CSV, under the column names of Aequitas where it has a name for them.

A row is about one class (Aequitas' positive label) in one group: how many images there are, and where a model was
evaluated how often it named the class rightly and wrongly. Aequitas' definitions hold: `ppr` is the group's share of
all images that were called the class, `pprev` the share of the group that was.
"""

from collections.abc import Iterator
from typing import Any

from tasks.contracts.csv_text import csv_text
from tasks.exports.facts import Facts, Report, statistics

COUNTS = ("group_size", "total_entities", "group_label_pos", "group_label_neg", "pp", "pn", "tp", "fp", "fn", "tn")
RATES = ("prev", "ppr", "pprev", "tpr", "tnr", "fpr", "fnr", "precision", "npv", "fdr", "for")
COLUMNS = ("attribute_name", "attribute_value", "label", "split", "status", *COUNTS, *RATES)
HELD_BACK = "held_back"  # the number is too small to be published
_OF_A_STATISTIC = ("name", "value", "low", "high", "n", "status", "estimator", "p_value", "correction")

Row = dict[str, Any]


def groups_csv(facts: Facts) -> str:
    """Composition by attribute, value, class and split, then the outcomes of the model, class by class."""
    rows = [*_composition(facts), *_outcomes(facts)]
    return csv_text(COLUMNS, ([row.get(column) for column in COLUMNS] for row in rows))


def statistics_csv(facts: Facts) -> str:
    """Every number of the audit: where it stands, and all that is needed to trust it."""
    rows = ([place, *(one.get(column) for column in _OF_A_STATISTIC)] for place, one in statistics(facts))
    return csv_text(("place", *_OF_A_STATISTIC), rows)


def _composition(facts: Facts) -> Iterator[Row]:
    cells: list[Report] = list(facts.bias.get("cells", ()))
    if not cells:
        cells = _of_groups(facts.bias["composition"])
    sizes = _sizes(cells)
    for cell in cells:
        images = cell["images"]
        size = sizes[cell["attribute"], cell["value"], cell["split"]]
        yield {
            "attribute_name": cell["attribute"],
            "attribute_value": cell["value"],
            "label": cell["label"],
            "split": cell["split"],
            "status": HELD_BACK if images is None else "measured",
            "group_size": size,
            "group_label_pos": images,
            "group_label_neg": None if size is None or images is None else size - images,
        }


def _of_groups(composition: dict[str, dict[str, int | None]]) -> list[Report]:
    """The cells of a report that counts one declared group only, all splits together."""
    return [
        {"attribute": "group", "value": value, "label": label, "split": "all", "images": images}
        for label, counts in composition.items()
        for value, images in counts.items()
    ]


def _sizes(cells: list[Report]) -> dict[tuple[str, str, str], int | None]:
    """Images with a value in a split; None where one of its classes is held back."""
    sizes: dict[tuple[str, str, str], int | None] = {}
    for cell in cells:
        key, images = (cell["attribute"], cell["value"], cell["split"]), cell["images"]
        before = sizes.get(key, 0)
        sizes[key] = None if before is None or images is None else before + images
    return sizes


def _outcomes(facts: Facts) -> Iterator[Row]:
    """Each class against the others, over all images of the split that was evaluated."""
    if facts.evaluation is None:
        return
    evaluation = facts.evaluation
    table: list[list[int]] = evaluation["candidate"]["confusion"]
    total = sum(map(sum, table))
    for i, label in enumerate(evaluation["classes"]):
        right, pos, called = table[i][i], sum(table[i]), sum(row[i] for row in table)
        counts = {"tp": right, "fp": called - right, "fn": pos - right, "tn": total - pos - called + right}
        yield {
            "attribute_name": "all",
            "attribute_value": "all",
            "label": label,
            "split": evaluation["split"],
            "status": "measured" if total else "not_measurable",
            "total_entities": total,
            "ppr": _share(called, called),
            **outcome(counts),
        }


def outcome(counts: dict[str, int]) -> Row:
    """The counts and rates of a group from its true and false positives and negatives, but for `ppr`."""
    tp, fp, fn, tn = (counts[name] for name in ("tp", "fp", "fn", "tn"))
    size = tp + fp + fn + tn
    return {
        **counts,
        "group_size": size,
        "group_label_pos": tp + fn,
        "group_label_neg": fp + tn,
        "pp": tp + fp,
        "pn": fn + tn,
        "prev": _share(tp + fn, size),
        "pprev": _share(tp + fp, size),
        "tpr": _share(tp, tp + fn),
        "fnr": _share(fn, tp + fn),
        "fpr": _share(fp, fp + tn),
        "tnr": _share(tn, fp + tn),
        "precision": _share(tp, tp + fp),
        "fdr": _share(fp, tp + fp),
        "npv": _share(tn, fn + tn),
        "for": _share(fn, fn + tn),
    }


def _share(part: int, whole: int) -> float | None:
    """None where there is nothing to take a share of: it is left empty, not zero."""
    return part / whole if whole else None
