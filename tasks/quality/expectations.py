"""The data contract: what must hold of the checked table, as a Great Expectations suite.

Only its engine and its result are used; the page is drawn from our own record.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from tasks.contracts.environment import prepare_environment
from tasks.contracts.reasons import REASONS
from tasks.contracts.records import SPLITS, Expectation

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.datasource.fluent.interfaces import Batch
    from great_expectations.expectations.expectation import Expectation as Rule

VERDICTS = ("keep", "warn", "quarantine")
_EXAMPLES = 5


def check_contract(checked: pd.DataFrame, min_kept: float) -> tuple[Expectation, ...]:
    """Hold the checked table against the contract.

    Columns path, sha256, label, split, verdict, reasons, pixels_crc32.
    """
    prepare_environment()
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # Prefect's root handler would show its chatter
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("checked")
    out = []
    for name, table, rules in _parts(checked, min_kept):
        asset = source.add_dataframe_asset(name)
        batch = asset.add_batch_definition_whole_dataframe(name).get_batch({"dataframe": table})
        out += _validated(batch, rules)
    return tuple(out)


def _parts(checked: pd.DataFrame, min_kept: float) -> list[tuple[str, pd.DataFrame, list["Rule"]]]:
    """(name, rows, rules) of each batch; `notes` of a rule are the sentence that a reader sees."""
    from great_expectations import expectations as gx

    table = checked[["path", "sha256", "label", "split", "verdict"]].assign(
        with_pixels=checked["pixels_crc32"].notna().astype(float),
        kept=(checked["verdict"] != "quarantine").astype(float),
        unknown_reasons=[float(len(set(reasons) - set(REASONS))) for reasons in checked["reasons"]],
    )
    kept = table[table["kept"] == 1]
    classes = sorted(table["label"].dropna().unique())
    return [
        (
            "all",
            table,
            [
                gx.ExpectColumnValuesToNotBeNull(column="path", notes="every row names a file"),
                gx.ExpectColumnValuesToBeUnique(column="path", notes="no file has two rows"),
                gx.ExpectColumnValuesToMatchRegex(
                    column="sha256", regex="^[0-9a-f]{64}$", notes="a content hash is 64 hex digits"
                ),
                gx.ExpectColumnValuesToBeInSet(
                    column="verdict", value_set=list(VERDICTS), notes="every verdict is keep, warn or quarantine"
                ),
                gx.ExpectColumnValuesToBeBetween(
                    column="unknown_reasons", max_value=0, notes="every reason is on the published list"
                ),
                gx.ExpectColumnMeanToBeBetween(
                    column="kept", min_value=min_kept, notes=f"at least {min_kept:.0%} of the files are kept"
                ),
            ],
        ),
        (
            "kept",
            kept,
            [
                gx.ExpectColumnValuesToNotBeNull(column="label", notes="every kept image has a label"),
                gx.ExpectColumnValuesToNotBeNull(column="sha256", notes="every kept image has a content hash"),
                gx.ExpectColumnValuesToBeUnique(column="sha256", notes="no content is kept twice"),
                gx.ExpectColumnValuesToNotBeNull(column="split", notes="every kept image is in a split"),
                gx.ExpectColumnValuesToBeInSet(
                    column="split", value_set=list(SPLITS), notes=f"splits are {', '.join(SPLITS)}"
                ),
                gx.ExpectColumnValuesToBeBetween(
                    column="with_pixels", min_value=1, notes="every kept image has prepared pixels"
                ),
            ],
        ),
        (
            "train",
            kept[kept["split"] == "train"],
            [
                gx.ExpectColumnDistinctValuesToContainSet(
                    column="label", value_set=classes, notes="every class has a kept image in train"
                )
            ],
        ),
    ]


def _validated(batch: "Batch", rules: Sequence["Rule"]) -> list[Expectation]:
    import great_expectations as gx

    results = batch.validate(gx.ExpectationSuite("contract", expectations=list(rules))).results
    return [_record(result) for result in results]


def _record(result: "ExpectationValidationResult") -> Expectation:
    config = result.expectation_config
    found = result.result or {}
    examples = found.get("partial_unexpected_list") or found.get("partial_missing_list") or []
    return Expectation(
        expectation=str(config.type if config else ""),
        column=str(config.kwargs.get("column", "") if config else ""),
        rule=str(config.notes if config else ""),
        success=bool(result.success),
        unexpected=int(found.get("unexpected_count") or found.get("missing_count") or 0) if not result.success else 0,
        examples=tuple(dict.fromkeys(str(one) for one in examples))[:_EXAMPLES] if not result.success else (),
    )
