"""What graft itself promises of the checked table: always checked, whatever the user's contract says."""

import pandas as pd

from tasks.contracts.reasons import REASONS
from tasks.contracts.records import SPLITS
from tasks.quality.suite import Entry

VERDICTS = ("keep", "warn", "quarantine")


def derived(checked: pd.DataFrame) -> pd.DataFrame:
    """Columns that a rule may name beside those of the table, as 0 or 1 but for the count `unknown_reasons`.

    `kept`, `with_pixels`, and `is_REASON` for each published reason.
    """
    sets = [frozenset(reasons) for reasons in checked["reasons"]]
    columns = {
        "kept": (checked["verdict"] != "quarantine").to_numpy(float),
        "with_pixels": checked["pixels_crc32"].notna().to_numpy(float),
        "unknown_reasons": [float(len(reasons - REASONS.keys())) for reasons in sets],
    }
    flags = {f"is_{reason}": [float(reason in reasons) for reasons in sets] for reason in REASONS}
    return pd.DataFrame(columns | flags, index=checked.index)


def own_rules(checked: pd.DataFrame, min_kept: float) -> tuple[Entry, ...]:
    """Rules about paths, hashes, verdicts, splits and pixels; `min_kept` is a share."""
    classes = sorted(checked["label"].dropna().unique())
    values = "expect_column_values_to"
    return (
        Entry(f"{values}_not_be_null", {"column": "path"}, "all", "every row names a file"),
        Entry(f"{values}_be_unique", {"column": "path"}, "all", "no file has two rows"),
        Entry(
            f"{values}_match_regex",
            {"column": "sha256", "regex": "^[0-9a-f]{64}$"},
            "all",
            "a content hash is 64 hex digits",
        ),
        Entry(
            f"{values}_be_in_set",
            {"column": "verdict", "value_set": list(VERDICTS)},
            "all",
            "every verdict is keep, warn or quarantine",
        ),
        Entry(
            f"{values}_be_between",
            {"column": "unknown_reasons", "max_value": 0},
            "all",
            "every reason is on the published list",
        ),
        Entry(
            "expect_column_mean_to_be_between",
            {"column": "kept", "min_value": min_kept},
            "all",
            f"at least {min_kept:.0%} of the files are kept",
        ),
        Entry(f"{values}_not_be_null", {"column": "label"}, "kept", "every kept image has a label"),
        Entry(f"{values}_not_be_null", {"column": "sha256"}, "kept", "every kept image has a content hash"),
        Entry(f"{values}_be_unique", {"column": "sha256"}, "kept", "no content is kept twice"),
        Entry(f"{values}_not_be_null", {"column": "split"}, "kept", "every kept image is in a split"),
        Entry(
            f"{values}_be_in_set",
            {"column": "split", "value_set": list(SPLITS)},
            "kept",
            f"splits are {', '.join(SPLITS)}",
        ),
        Entry(
            f"{values}_be_between",
            {"column": "with_pixels", "min_value": 1},
            "kept",
            "every kept image has prepared pixels",
        ),
        Entry(
            "expect_column_distinct_values_to_contain_set",
            {"column": "label", "value_set": classes},
            "train",
            "every class has a kept image in train",
        ),
    )
