"""The quality stage: every file read once, measured, judged, compared and given its split. Nothing is deleted."""

from collections import Counter

import pandas as pd

from tasks.contracts.files import read_table, replacing, write_record, write_table
from tasks.contracts.images import decoder_warnings_off
from tasks.contracts.params import QualityParams
from tasks.contracts.progress import doing, say
from tasks.contracts.reasons import REASONS
from tasks.contracts.records import QualityReport
from tasks.contracts.workspace import Workspace
from tasks.quality import splits
from tasks.quality.duplicates import find_duplicates
from tasks.quality.expectations import check_contract
from tasks.quality.findings import find, split_sizes
from tasks.quality.scan import Caps, prepared_side, scan
from tasks.quality.verdicts import judge

VERSION = 1


def run(ws: Workspace, params: QualityParams, seed: int) -> QualityReport:  # noqa: ARG001 - steps are called alike
    """Write `data/checked.parquet`, `data/prepared/`, `reports/duplicates.parquet` and `reports/quality.json`.

    One row for every row of the manifest, whatever is wrong with the file. The split comes from the table or from
    the content, not from the seed.
    """
    manifest = read_table(ws.manifest)
    with decoder_warnings_off():
        side_px = prepared_side(ws.raw, manifest["path"], params.prepared_px)
    caps = Caps(side_px, params.limits.max_megapixels, params.limits.max_megabytes)
    with replacing(ws.prepared) as part:
        scanned = scan(ws.raw, manifest, caps, part)
    duplicates = find_duplicates(scanned)
    judged = judge(_with_reasons(scanned, duplicates.reasons), params)
    checked = _in_splits(judged, params)
    with doing("checking the data contract"):
        contract = check_contract(checked, params.min_kept)
    report = QualityReport(
        found=len(checked),
        kept=int((checked["verdict"] != "quarantine").sum()),
        warned=int((checked["verdict"] == "warn").sum()),
        quarantined=int((checked["verdict"] == "quarantine").sum()),
        reasons=_counts(checked["reasons"]),
        classes=tuple(sorted(checked["label"].dropna().unique())),
        split_sizes=split_sizes(checked),
        contract=contract,
        findings=find(checked, duplicates.pairs, contract),
    )
    write_table(ws.checked, checked)
    write_table(ws.duplicates, duplicates.pairs)
    write_record(ws.quality, report)
    say(f"quality: {report.found:,} found, {report.kept:,} kept, {report.quarantined:,} quarantined")
    return report


def _in_splits(judged: pd.DataFrame, params: QualityParams) -> pd.DataFrame:
    """The final `split` of every kept row, null for the others; a group in two splits loses its smaller part."""
    assigned = splits.assign(judged, params.splits)
    kept = judged["verdict"] != "quarantine"
    crossing = dict.fromkeys(splits.crossing(judged["group"][kept], assigned[kept]), "group_crosses_splits")
    checked = judge(_with_reasons(judged, crossing), params)
    return checked.assign(split=assigned.where(checked["verdict"] != "quarantine", None).astype("str"))


def _with_reasons(table: pd.DataFrame, found: dict[int, str]) -> pd.DataFrame:
    added = [
        [*old, *([found[row]] if row in found else [])] for row, old in zip(table.index, table["reasons"], strict=True)
    ]
    return table.assign(reasons=pd.Series(added, index=table.index, dtype="object"))


def _counts(reasons: pd.Series) -> dict[str, int]:
    counts = Counter(reason for ids in reasons for reason in ids)
    return {reason: counts[reason] for reason in REASONS if counts[reason]}
