"""How numbers read on the page. The only place where a number becomes text."""

import re
from collections.abc import Callable, Mapping
from typing import Any

_WHY_NOT = {
    "too_small": "too few images",
    "not_measurable": "nothing to measure it on",
    "skipped": "skipped",
    "measured": "no value was recorded",
}
_PERCENT_NAMES = ("accuracy", "recall", "precision", "f1", "calibration_error", "calibration error", " rate", " share")
_IDENTIFIER = re.compile("[a-z0-9_]+")


def count(value: float) -> str:
    """1500 -> `1,500`."""
    return f"{value:,.0f}"


def percent(share: float) -> str:
    """0.8123 -> `81.2 %`."""
    return f"{100 * share:.1f} %"


def points(difference: float) -> str:
    """0.293 -> `+29.3 points`."""
    return f"{100 * difference:+.1f} points"


def decimal(value: float) -> str:
    """1.234 -> `1.23`; small numbers keep two digits: 0.0241 -> `0.024`."""
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def plain(value: float) -> str:
    """A limit or a measure of any kind: 50.0 -> `50`, 1.31 -> `1.31`."""
    return count(value) if float(value).is_integer() else decimal(value)


def p_value(p: float) -> str:
    """0.0123 -> `p = 0.012`; never `p = 0`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def compact(value: float) -> str:
    """11200000 -> `11.2 million`."""
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if abs(value) >= size:
            return f"{value / size:.3g} {word}"
    return count(value)


_UNITS: dict[str, tuple[Callable[[float], str], str]] = {
    "percent": (percent, " %"),
    "points": (points, " points"),
    "decimal": (decimal, ""),
    "count": (count, ""),
}


def unit_of(statistic: Mapping[str, Any]) -> str:
    """The unit that a statistic is shown in, by its name and value."""
    name, value = statistic["name"], statistic["value"]
    if name.endswith("difference"):
        return "points"
    if name.endswith(_PERCENT_NAMES):
        return "percent"
    return (
        "count" if value is not None and float(value).is_integer() and abs(value) > 1 else _count_or_decimal(statistic)
    )


def value_with_interval(statistic: Mapping[str, Any], unit: str = "") -> str:
    """`81.2 % (78.9 to 83.3)`, without the brackets where there is no interval, or why there is no value."""
    if statistic["value"] is None:
        return not_measured(statistic)
    show, suffix = _UNITS[unit or unit_of(statistic)]
    text = show(statistic["value"])
    if statistic["low"] is not None and statistic["high"] is not None:
        text += f" ({show(statistic['low']).removesuffix(suffix)} to {show(statistic['high']).removesuffix(suffix)})"
    if statistic["status"] == "too_small":
        text += f", too few to trust (n = {count(statistic['n'])})"
    return text


def not_measured(statistic: Mapping[str, Any]) -> str:
    """`not measured: too few images (n = 3)`."""
    number = f" (n = {count(statistic['n'])})" if statistic["status"] == "too_small" else ""
    return f"not measured: {_WHY_NOT[statistic['status']]}{number}"


def words(identifier: str) -> str:
    """`no_gain_over_scratch` -> `no gain over scratch`; free text stays as it is."""
    return identifier.replace("_", " ") if _IDENTIFIER.fullmatch(identifier) else identifier


def plural(number: int, one: str, many: str = "") -> str:
    """(1, "image") -> `1 image`; (2, "image") -> `2 images`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def _count_or_decimal(statistic: Mapping[str, Any]) -> str:
    return "count" if "count" in statistic["estimator"] and float(statistic["value"] or 0).is_integer() else "decimal"
