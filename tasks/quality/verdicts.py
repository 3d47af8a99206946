"""From measures to reasons and verdicts. Needs the table only: new limits need no image read again."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.params import Limits, QualityParams
from tasks.contracts.reasons import REASONS
from tasks.quality.measures import FLAT
from tasks.quality.outliers import outlyingness

# without pixels, a label or a place of its own an image cannot be used, whatever the params say
_ALWAYS_OUT = (
    "empty unreadable not_a_file leaves_folder not_an_image unsupported_format truncated damaged too_many_pixels "
    "too_many_bytes changed_while_read no_label missing_file conflicting_labels duplicate near_duplicate "
    "group_crosses_splits bridges_splits excluded"
)
ALWAYS_OUT = frozenset(_ALWAYS_OUT.split())
_ORDER = list(REASONS)
_FEW = 10  # images of a class, below which "a class of colour images" means nothing
_MOSTLY = 0.9
_ONE_TONE_BITS = 1.5
_SHARP = 0.25  # sharpness; a picture that is sharper across than this is one of lines, not one that was smeared
_BLOCKS = 3 / 255  # blockiness; photographs have it below JPEG quality 15 to 20
_WIDER = 2.5  # times the aspect that is typical of the class
_DEVIATIONS = 5  # robust ones, so that a class of all sizes has no odd one

Flags = pd.Series  # of bool, one a row
Rules = dict[str, Callable[[pd.DataFrame, Limits], Flags]]
# reason -> its rule; a measure that is missing (NaN) flags nothing
RULES: Rules = {
    "dark": lambda t, limits: t["luminance_high"] < limits.dark,
    "bright": lambda t, limits: t["luminance_low"] > limits.bright,
    "low_contrast": lambda t, limits: t["contrast"] < limits.low_contrast,
    "low_information": lambda t, _: (t["entropy_bits"] < _ONE_TONE_BITS) & (t["contrast"] < FLAT),
    "blurry": lambda t, limits: (t["sharpness_least"] < limits.blurry) & (t["sharpness"] < _SHARP),
    "odd_aspect": lambda t, limits: t["aspect"] > limits.odd_aspect,
    "odd_size": lambda t, limits: t[["width", "height"]].min(axis=1) < limits.min_side_px,
    "greyscale": lambda t, limits: _grey_among_colour(
        t["colour"].where(t["contrast"] >= 2 * limits.low_contrast), t["label"], limits.greyscale
    ),
    "heavy_compression": lambda t, limits: (t["jpeg_quality"] < limits.heavy_compression) | (t["blockiness"] > _BLOCKS),
    "has_border": lambda t, limits: t["border"] > limits.has_border,
}
_DOUBTFUL: Rules = {
    "low_information": lambda t, limits: (t["detail"] < limits.low_information) & (t["contrast"] < limits.low_contrast),
    "odd_aspect": lambda t, _: _unlike(t["aspect"], t["label"], _WIDER),
    "odd_size": lambda t, limits: _unlike((t["width"] * t["height"]) ** 0.5, t["label"], limits.odd_size),
}
# good images may be nearly flat, or unlike the others of their class, so these only ever warn
MILD: Rules = _DOUBTFUL | {
    "outlier": lambda t, limits: outlyingness(t, _sound(t, limits)) > limits.outlier,
}
PICTURE = frozenset(RULES) | frozenset(MILD)


@dataclass(frozen=True)
class Pictured:
    """What the pictures of a table give, a set of reasons for each row: `strict` by RULES, `mild` by MILD."""

    strict: list[set[str]]
    mild: list[set[str]]


def pictured(table: pd.DataFrame, limits: Limits) -> Pictured:
    """By the measures and labels of `table`; other reasons and verdicts change nothing."""
    return Pictured(_found(RULES, table, limits), _found(MILD, table, limits))


def judge(table: pd.DataFrame, params: QualityParams, found: Pictured | None = None) -> pd.DataFrame:
    """`table` with the picture's reasons added to `reasons`, and the column `verdict`.

    `quarantine` where a reason of ALWAYS_OUT or of `params.quarantine` applies, `warn` for any other, else `keep`.
    What only MILD gives never quarantines. Picture reasons that stood there before are judged anew. Where a
    person decided `keep`, only ALWAYS_OUT counts. `found` is what `pictured` gives of these rows, where it is known.
    """
    found = found or pictured(table, params.limits)
    decided = table["decision"] if "decision" in table else pd.Series(None, index=table.index, dtype="str")
    reasons, verdicts = [], []
    for before, strict, mild, ruling in zip(table["reasons"], found.strict, found.mild, decided, strict=True):
        firm = strict | (set(before) - PICTURE)
        reasons.append(sorted(firm | mild, key=_ORDER.index))
        verdicts.append(_verdict(firm, mild, ruling if isinstance(ruling, str) else "", params))
    return table.assign(
        reasons=pd.Series(reasons, index=table.index, dtype="object"),
        verdict=pd.Series(verdicts, index=table.index, dtype="str"),
    )


def _found(rules: Rules, table: pd.DataFrame, limits: Limits) -> list[set[str]]:
    """What the rules say of each row."""
    found: list[set[str]] = [set() for _ in range(len(table))]
    for reason, rule in rules.items():
        for row in np.flatnonzero(_bools(rule(table, limits))):
            found[row].add(reason)
    return found


def _sound(table: pd.DataFrame, limits: Limits) -> Flags:
    """Where no rule says what is strange; a lack of colour is nothing wrong by itself."""
    rules = [rule for reason, rule in (RULES | _DOUBTFUL).items() if reason != "greyscale"]
    return ~pd.Series(reduce(or_, (_bools(rule(table, limits)) for rule in rules)), index=table.index)


def _bools(flags: Flags) -> NDArray[np.bool_]:
    return flags.fillna(False).to_numpy(bool)


def _verdict(firm: set[str], beside: set[str], ruling: str, params: QualityParams) -> str:
    if firm & ALWAYS_OUT:
        return "quarantine"
    if "keep" in ruling.split():
        return "keep"
    if firm.intersection(params.quarantine):
        return "quarantine"
    return "warn" if (firm | beside) - {"relabelled"} else "keep"


def _grey_among_colour(colour: pd.Series, label: pd.Series, limit: float) -> Flags:
    coloured = (colour >= limit).groupby(label).transform("sum")
    measured = colour.notna().groupby(label).transform("sum")
    flags: Flags = (colour < limit) & (measured >= _FEW) & (coloured >= _MOSTLY * measured)
    return flags


def _unlike(measure: pd.Series, label: pd.Series, times: float) -> Flags:
    """So many times larger or smaller than the median of the class, where that is unusual in the class."""
    size: pd.Series = measure.astype("float64").map(np.log)
    away = (size - size.groupby(label).transform("median")).abs()
    usual = 1.4826 * away.groupby(label).transform("median")
    enough = size.notna().groupby(label).transform("sum") >= _FEW
    flags: Flags = enough & (away > np.maximum(np.log(times), _DEVIATIONS * usual))
    return flags
