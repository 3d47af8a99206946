"""What the quality stage has to say, most serious first."""

from collections.abc import Iterable

import pandas as pd

from tasks.contracts.reasons import REASONS
from tasks.contracts.records import SPLITS, Expectation, Finding, Severity, Statistic
from tasks.evaluate.metrics import wilson
from tasks.quality.verdicts import ALWAYS_OUT

_EVIDENCE = 10
_FEW = 10  # kept images of a class in a split, below which its scores say little
_REMEDIES = {
    "conflicting_labels": "decide which label is right and delete the other copies",
    "duplicate": "nothing to do: one copy is kept, the one in test where there is one",
    "group_crosses_splits": "give each group one split in the table's column `split`",
    "missing_file": "correct the paths in the table, or delete the rows",
    "no_label": "put the files in a class folder, or give them a label in the table",
    "leaves_folder": "copy the files into data/raw; links out of it are not followed",
    "unreadable": "check the permissions, and that names are UTF-8",
    "too_many_pixels": "make the images smaller, or raise quality.limits.max_megapixels",
    "too_many_bytes": "make the files smaller, or raise quality.limits.max_megabytes",
    "unsupported_format": "convert them to JPEG or PNG",
    "odd_size": "take better originals, or lower quality.limits.min_side_px",
}
_REFETCH = "fetch the files again from where they come from"
_LOOK = "look at them; if they are as they should be, change quality.limits or quality.quarantine"


def find(checked: pd.DataFrame, pairs: pd.DataFrame, contract: Iterable[Expectation]) -> tuple[Finding, ...]:
    """All findings about the checked table: the contract, each reason, leaks between splits, thin classes."""
    findings = [
        *_broken_rules(contract, len(checked)),
        *_reasons(checked),
        *_leaks(pairs, len(checked)),
        *_thin_classes(checked),
    ]
    rank = {"error": 0, "warn": 1, "info": 2}
    return tuple(sorted(findings, key=lambda finding: rank[finding.severity]))


def _broken_rules(contract: Iterable[Expectation], rows: int) -> list[Finding]:
    return [
        Finding(
            check="contract",
            severity="error",
            subject=rule.column,
            statistic=Statistic("unexpected", float(rule.unexpected), rows, estimator="count"),
            message=f"the data contract is broken: {rule.rule}",
            remedy=f"see {', '.join(rule.examples)}" if rule.examples else "",
        )
        for rule in contract
        if not rule.success
    ]


def _reasons(checked: pd.DataFrame) -> list[Finding]:
    rows = checked[["path", "reasons", "verdict"]].explode("reasons").dropna(subset="reasons")
    findings = []
    for reason in REASONS:
        hit = rows[rows["reasons"] == reason]
        if hit.empty:
            continue
        out = bool((hit["verdict"] == "quarantine").all())
        severity: Severity = "warn" if out and reason != "duplicate" else "info"
        findings.append(
            Finding(
                check=reason,
                severity=severity,
                subject="images",
                statistic=wilson(reason, len(hit), len(checked)),
                message=f"{_images(len(hit))}: {REASONS[reason]}{' (quarantined)' if out else ''}",
                remedy=_REMEDIES.get(reason, _REFETCH if reason in ALWAYS_OUT else _LOOK),
                evidence=tuple(sorted(hit["path"])[:_EVIDENCE]),
            )
        )
    return findings


def _leaks(pairs: pd.DataFrame, rows: int) -> list[Finding]:
    crossing = pairs[pairs["cross_split"]]
    if crossing.empty:
        return []
    return [
        Finding(
            check="duplicates_across_splits",
            severity="warn",
            subject="split",
            statistic=wilson("duplicates_across_splits", len(crossing), rows),
            message=f"{len(crossing)} copies stand in another split than their original; quarantined, so none leaks",
            remedy="correct the column `split`: equal images belong in one split",
            evidence=tuple(sorted(crossing["b"])[:_EVIDENCE]),
        )
    ]


def _thin_classes(checked: pd.DataFrame) -> list[Finding]:
    sizes = split_sizes(checked)
    findings = []
    for split in SPLITS:
        counts = {label: of_class[split] for label, of_class in sizes.items()}
        thin = sorted((n, label) for label, n in counts.items() if n < _FEW)
        if thin:
            fewest, label = thin[0]
            findings.append(
                Finding(
                    check="small_classes",
                    severity="warn" if fewest == 0 else "info",
                    subject=split,
                    statistic=Statistic("fewest_images", float(fewest), sum(counts.values()), estimator="count"),
                    message=f"classes with fewer than {_FEW} images in {split}: {len(thin)} of {len(counts)}; "
                    f"{label!r} has {fewest}",
                    remedy="add images of these classes, or read their scores with their intervals",
                )
            )
    return findings


def split_sizes(checked: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Label -> split -> kept images, with every class that any file has and every split, zeros included."""
    kept = checked[checked["verdict"] != "quarantine"].value_counts(["label", "split"]).to_dict()
    labels = sorted(checked["label"].dropna().unique())
    return {label: {split: int(kept.get((label, split), 0)) for split in SPLITS} for label in labels}


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"
