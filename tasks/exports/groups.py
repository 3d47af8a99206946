"""The numbers by group as CSV, under the column names of Aequitas where it has a name for them.

A row is about one class (Aequitas' positive label) in one group: how many images there are, and where a model was
evaluated how often it named the class rightly and wrongly. Aequitas' definitions hold: `pprev` is the share of the
group that was called the class, `ppr` the group's share of all images that were, `pprev_disparity` its `pprev` over
that of the reference group (the impact ratio).
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

from tasks.contracts.csv_text import csv_text
from tasks.exports.facts import Facts, Report, statistics

COUNTS = ("group_size", "total_entities", "group_label_pos", "group_label_neg", "pp", "pn", "tp", "fp", "fn", "tn")
RATES = ("prev", "ppr", "pprev", "tpr", "tnr", "fpr", "fnr", "precision", "npv", "fdr", "for", "pprev_disparity")
COLUMNS = ("attribute_name", "attribute_value", "label", "split", "status", *COUNTS, *RATES)
OUTCOMES = "outcomes by "  # how the evaluation names its sections about groups
HELD_BACK = "held_back"  # the number is too small to be published
_OF_A_STATISTIC = ("name", "value", "low", "high", "n", "status", "estimator", "p_value", "correction")

Row = dict[str, Any]


def groups_csv(facts: Facts) -> str:
    """Composition by attribute, value, class and split, then the outcomes of the model, class by class."""
    rows = [*_composition(facts), *_outcomes(facts), *_outcomes_by_group(facts)]
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


def _outcomes_by_group(facts: Facts) -> Iterator[Row]:
    """Each class in each group of the evaluation: the counts follow from the rates and their numbers of images."""
    evaluation = facts.evaluation or {"sections": ()}
    for section in evaluation.get("sections", ()):
        attribute = section["name"].removeprefix(OUTCOMES)
        rates = {one["name"]: one for one in section["statistics"]}
        names = [name.removesuffix(": accuracy") for name in rates if name.endswith(": accuracy")]
        for name, (k, label) in product(names, enumerate(evaluation["classes"])):
            recall, false = (rates.get(f"{name}: {label}, {what}") for what in ("recall", "false positive rate"))
            if recall is None or false is None:
                continue  # too many groups times classes: their rates were not told
            table: list[list[int]] = evaluation["candidate"]["confusion"]
            ratio = rates.get(f"{name}: called {label}, impact ratio")
            row = {
                "attribute_name": attribute,
                "attribute_value": name.removeprefix(f"{attribute} = "),
                "label": label,
                "split": evaluation["split"],
                "total_entities": sum(map(sum, table)),
                "pprev_disparity": ratio and ratio["value"],
            }
            if recall["status"] == "too_small":
                yield {**row, "status": HELD_BACK}
                continue
            tp, fp = (round((one["value"] or 0.0) * one["n"]) for one in (recall, false))
            counts = {"tp": tp, "fn": recall["n"] - tp, "fp": fp, "tn": false["n"] - fp}
            called = sum(of_class[k] for of_class in table)
            yield {**row, "status": "measured", "ppr": _share(tp + fp, called), **outcome(counts)}


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
