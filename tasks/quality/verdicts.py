"""From measures to reasons and verdicts. Needs the table only: new limits need no image read again."""

from collections.abc import Callable

import pandas as pd

from tasks.contracts.params import Limits, QualityParams
from tasks.contracts.reasons import REASONS

# without pixels, a label or a place of its own an image cannot be used, whatever the params say
_ALWAYS_OUT = (
    "empty unreadable not_a_file leaves_folder not_an_image unsupported_format truncated damaged too_many_pixels "
    "too_many_bytes changed_while_read no_label missing_file conflicting_labels duplicate near_duplicate "
    "group_crosses_splits bridges_splits excluded"
)
ALWAYS_OUT = frozenset(_ALWAYS_OUT.split())
_FEW = 10  # images of a class, below which "a class of colour images" means nothing
_MOSTLY = 0.9

Flags = pd.Series  # of bool, one a row
# reason -> its rule; a measure that is missing (NaN) flags nothing
RULES: dict[str, Callable[[pd.DataFrame, Limits], Flags]] = {
    "dark": lambda t, limits: t["luminance_high"] < limits.dark,
    "bright": lambda t, limits: t["luminance_low"] > limits.bright,
    "low_contrast": lambda t, limits: t["contrast"] < limits.low_contrast,
    "low_information": lambda t, limits: (
        (t["entropy_bits"] < limits.low_information) & (t["contrast"] < limits.low_contrast)
    ),
    "blurry": lambda t, limits: t["sharpness"] < limits.blurry,
    "odd_aspect": lambda t, limits: t["aspect"] > limits.odd_aspect,
    "odd_size": lambda t, limits: t[["width", "height"]].min(axis=1) < limits.min_side_px,
    "greyscale": lambda t, limits: _grey_among_colour(t["colour"], t["label"], limits.greyscale),
}


def judge(table: pd.DataFrame, params: QualityParams) -> pd.DataFrame:
    """`table` with the picture's reasons added to `reasons`, and the column `verdict`.

    `quarantine` where a reason of ALWAYS_OUT or of `params.quarantine` applies, `warn` for any other, else `keep`.
    Picture reasons that stood there before are judged anew. Where a person decided `keep`, only ALWAYS_OUT counts.
    """
    flags = {reason: rule(table, params.limits).fillna(False).to_numpy(bool) for reason, rule in RULES.items()}
    order = list(REASONS)
    reasons = []
    for row, before in enumerate(table["reasons"]):
        now = {reason for reason in before if reason not in RULES} | {r for r in RULES if flags[r][row]}
        reasons.append(sorted(now, key=order.index))
    decided = table["decision"] if "decision" in table else pd.Series(None, index=table.index, dtype="str")
    verdicts = [
        _verdict(set(ids), ruling if isinstance(ruling, str) else "", params)
        for ids, ruling in zip(reasons, decided, strict=True)
    ]
    return table.assign(
        reasons=pd.Series(reasons, index=table.index, dtype="object"),
        verdict=pd.Series(verdicts, index=table.index, dtype="str"),
    )


def _verdict(reasons: set[str], ruling: str, params: QualityParams) -> str:
    if reasons & ALWAYS_OUT:
        return "quarantine"
    if "keep" in ruling.split():
        return "keep"
    if reasons.intersection(params.quarantine):
        return "quarantine"
    return "warn" if reasons - {"relabelled"} else "keep"


def _grey_among_colour(colour: pd.Series, label: pd.Series, limit: float) -> Flags:
    coloured = (colour >= limit).groupby(label).transform("sum")
    measured = colour.notna().groupby(label).transform("sum")
    flags: Flags = (colour < limit) & (measured >= _FEW) & (coloured >= _MOSTLY * measured)
    return flags
