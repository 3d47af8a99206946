"""The quality stage: every file read once, measured, judged, compared and given its split. Nothing is deleted."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from tasks.contracts.files import read_table, write_record, write_table, write_text
from tasks.contracts.images import decoder_warnings_off
from tasks.contracts.params import QualityParams
from tasks.contracts.prepared import Store
from tasks.contracts.progress import doing, say
from tasks.contracts.raw import places
from tasks.contracts.reasons import REASONS
from tasks.contracts.records import QualityReport, Statistic
from tasks.contracts.samples import class_order
from tasks.contracts.workspace import Workspace
from tasks.quality import splits
from tasks.quality.decisions import apply_decisions, read_decisions
from tasks.quality.duplicates import exact_duplicates, near_duplicates
from tasks.quality.expectations import hold_contract, read_contract
from tasks.quality.findings import Checks, find, split_sizes
from tasks.quality.integrity import own_rules
from tasks.quality.memory import read_splits, write_splits
from tasks.quality.near import find_near
from tasks.quality.overlaid import Overlaid
from tasks.quality.reading import Caps
from tasks.quality.scan import CODE, prepared_side, scan
from tasks.quality.verdicts import judge, pictured

VERSION = 7

Judge = Callable[[pd.DataFrame], pd.DataFrame]  # what a table's reasons make of each row, by the verdicts' rules


def run(ws: Workspace, params: QualityParams, seed: int) -> QualityReport:
    """Write `data/checked.parquet`, `data/splits.parquet` and the quality reports; pixels go into the cache.

    One row for every row of the manifest, whatever is wrong with the file. The split comes from the table, from
    earlier runs or from the content, not from the seed. Raises BadData on a wrong line of `decisions.csv`, BadUsage
    on a `contract.json` that is missing or cannot be checked.
    """
    promised = read_contract(ws.contract)
    manifest, decisions = read_table(ws.manifest), read_decisions(ws.decisions)
    remembered = read_splits(ws.splits, params.splits)
    store, scanned = _scanned(ws, manifest, params)
    decided = apply_decisions(scanned, decisions)
    rule = partial(judge, params=params, found=pictured(decided.table, params.limits))
    compared, pairs, links = _compared(decided.table, store, ws.cache, rule)
    in_splits = _in_splits(compared, links, remembered, params, rule)
    from tasks.quality.label_check import check_labels, write_labels  # brings torch, which the scan does not need

    with doing("looking for wrong labels"):
        labels = check_labels(ws, _kept(in_splits), store, seed)
    checked = rule(_with_reasons(in_splits, labels.reasons))
    with doing("checking the data contract"):
        held = hold_contract(checked, (*own_rules(checked, params.min_kept), *promised))
    report = _report(checked, Checks(pairs, held.rules, decided.unmatched, labels.findings), labels.statistics)
    write_table(ws.checked, checked)
    write_table(ws.duplicates, pairs)
    write_labels(ws, labels, store)
    write_splits(ws.splits, params.splits, remembered | _split_of(checked))
    write_text(ws.contract_results, held.result)
    write_record(ws.quality, report)
    say(f"quality: {report.found:,} found, {report.kept:,} kept, {report.quarantined:,} quarantined")
    return report


def _scanned(ws: Workspace, manifest: pd.DataFrame, params: QualityParams) -> tuple[Store, pd.DataFrame]:
    """The cache with the pixels, and the manifest with what was read of each file."""
    with decoder_warnings_off():
        side_px = prepared_side(ws.raw, places(manifest), params.prepared_px)
    caps = Caps(side_px, params.limits.max_megapixels, params.limits.max_megabytes)
    store = Store(ws.prepared, side_px)
    found = scan(ws.raw, manifest, caps, store, ws.cache / f"scan-{CODE}.parquet")
    say(f"quality: {found.read:,} files read, {len(manifest) - found.read:,} known from before or not readable")
    return store, found.table


def _compared(
    decided: pd.DataFrame, store: Store, cache: Path, rule: Judge
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The judged table, the pairs of duplicates, and the links between near-duplicates that stay."""
    exact = exact_duplicates(decided)
    distinct = rule(_with_reasons(decided, exact.reasons))
    kept = _kept(distinct)
    overlaid = Overlaid(kept["sha256"].tolist(), cache, store.folder.name)
    with doing(f"comparing {len(kept):,} images"):
        near = near_duplicates(kept, find_near(store.thumbnails(kept["sha256"]), overlaid))
    overlaid.keep()
    pairs = pd.concat([exact.pairs, near.pairs], ignore_index=True)
    return (
        rule(_with_reasons(distinct, near.reasons)),
        pairs.sort_values(["a", "b"], ignore_index=True),
        near.links,
    )


def _in_splits(
    compared: pd.DataFrame, links: pd.DataFrame, remembered: dict[str, str], params: QualityParams, rule: Judge
) -> pd.DataFrame:
    """The final `split` and the `component` of every kept row, null for the others.

    A component is named by the smallest content hash in it.
    """
    kept = _kept(compared)
    found = splits.assign(kept, links, remembered, params.splits)
    names = kept["sha256"].groupby(found.component).transform("min")
    checked = rule(_with_reasons(compared, found.reasons))
    return checked.assign(
        split=found.split.reindex(checked.index).astype("str"),
        component=names.drop(index=list(found.reasons)).reindex(checked.index).astype("str"),
    )


def _report(checked: pd.DataFrame, checks: Checks, label_check: tuple[Statistic, ...]) -> QualityReport:
    counts = Counter(reason for ids in checked["reasons"] for reason in ids)
    verdicts = checked["verdict"].value_counts()
    return QualityReport(
        found=len(checked),
        kept=int((checked["verdict"] != "quarantine").sum()),
        warned=int(verdicts.get("warn", 0)),
        quarantined=int(verdicts.get("quarantine", 0)),
        reasons={reason: counts[reason] for reason in REASONS if counts[reason]},
        classes=class_order(checked["label"].dropna().unique()),
        split_sizes=split_sizes(checked),
        contract=checks.contract,
        findings=find(checked, checks),
        label_check=label_check,
    )


def _kept(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["verdict"] != "quarantine"]


def _split_of(checked: pd.DataFrame) -> dict[str, str]:
    kept = _kept(checked)
    return dict(zip(kept["sha256"], kept["split"], strict=True))


def _with_reasons(table: pd.DataFrame, found: dict[int, str]) -> pd.DataFrame:
    added = [
        [*old, *([found[row]] if row in found else [])] for row, old in zip(table.index, table["reasons"], strict=True)
    ]
    return table.assign(reasons=pd.Series(added, index=table.index, dtype="object"))
