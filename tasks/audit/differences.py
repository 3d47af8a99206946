"""Whether the numbers of two audits differ by more than chance, each difference with its test and Holm's correction.

The tests take the audits for independent samples. Where both rest on many of the same images, chance is smaller than
that, so a difference that is called one is one; some that are real stay uncalled.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tasks.bias.significance import holm

_INTERVAL = "z test on the two 95 % intervals"
_SHARES = "z test on two shares"
_LEAST = 5  # images that each cell must be expected to hold, for the normal approximation
_Z95 = 1.959964


@dataclass(frozen=True)
class Difference:
    """A number of both audits. `p_value` is two-sided, Holm-corrected over all numbers, None where `test` says why."""

    name: str
    before: float | None
    after: float | None
    n_before: int
    n_after: int
    test: str
    p_value: float | None = None


def differences(before: dict[str, Any], after: dict[str, Any]) -> tuple[Difference, ...]:
    """Every statistic and class share of two audits' documents that changed, those with the smallest p first."""
    old, new = (dict(_statistics(document["bias"], "")) for document in (before, after))
    found = [_of_statistics(name, old[name], new[name]) for name in old if name in new]
    found += _of_shares(_classes(before), _classes(after))
    changed = [one for one in corrected(found) if one.before != one.after]
    return tuple(sorted(changed, key=lambda one: (math.inf if one.p_value is None else one.p_value, one.name)))


def corrected(found: list[Difference]) -> list[Difference]:
    """The same, each p-value corrected by Holm's method for all of them."""
    tested = [one for one in found if one.p_value is not None]
    p_values = holm([one.p_value for one in tested if one.p_value is not None])
    return [
        *(replace(one, p_value=p_value) for one, p_value in zip(tested, p_values, strict=True)),
        *(one for one in found if one.p_value is None),
    ]


def _statistics(node: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each statistic of a report by the section that it stands in; findings repeat them and are left out."""
    if isinstance(node, dict):
        if {"name", "value", "n"} <= node.keys():
            yield f"{where}: {node['name']}", node
            return
        for key, value in node.items():
            if key != "findings":
                yield from _statistics(value, str(node.get("name", where or key)))
    elif isinstance(node, list):
        for one in node:
            yield from _statistics(one, where)


def _of_statistics(name: str, old: dict[str, Any], new: dict[str, Any]) -> Difference:
    widths = [_half_width(one) for one in (old, new)]
    test, p_value = "no interval, no test", None
    if all(widths) and old["estimator"] == new["estimator"]:
        test, p_value = _INTERVAL, two_sided(new["value"] - old["value"], math.hypot(*widths) / _Z95)
    return Difference(name, old["value"], new["value"], old["n"], new["n"], test, p_value)


def _half_width(one: dict[str, Any]) -> float:
    ends = (one["value"], one["low"], one["high"])
    return 0.0 if None in ends else float(one["high"] - one["low"]) / 2


def _classes(document: dict[str, Any]) -> dict[str, int]:
    """The size of each class; the composition holds back numbers that could name someone, `split_sizes` none."""
    return {label: sum(splits.values()) for label, splits in document["subject"]["split_sizes"].items()}


def _of_shares(old: dict[str, int], new: dict[str, int]) -> list[Difference]:
    """The share of each class among the images that are used."""
    all_old, all_new = sum(old.values()), sum(new.values())
    return [
        _of_share(f"share of {label}", (old.get(label, 0), all_old), (new.get(label, 0), all_new))
        for label in sorted({*old, *new})
        if all_old and all_new
    ]


def _of_share(name: str, old: tuple[int, int], new: tuple[int, int]) -> Difference:
    shares, pooled = [count / of for count, of in (old, new)], (old[0] + new[0]) / (old[1] + new[1])
    test, p_value = "too few images for a test", None
    if min(pooled, 1 - pooled) * min(old[1], new[1]) >= _LEAST:
        spread = math.sqrt(pooled * (1 - pooled) * (1 / old[1] + 1 / new[1]))
        test, p_value = _SHARES, two_sided(shares[1] - shares[0], spread)
    return Difference(name, shares[0], shares[1], old[1], new[1], test, p_value)


def two_sided(difference: float, standard_error: float) -> float:
    """How often chance alone would give at least such a difference, by the normal distribution."""
    return math.erfc(abs(difference) / standard_error / math.sqrt(2))
