"""What the quality stage has to say, most serious first."""

from dataclasses import dataclass

import pandas as pd

from tasks.contracts.reasons import REASONS
from tasks.contracts.records import SPLITS, Expectation, Finding, Severity, Statistic
from tasks.evaluate.metrics import wilson
from tasks.ingest.labels import alike_labels
from tasks.quality.decisions import Decision
from tasks.quality.outcomes import about_contract
from tasks.quality.verdicts import ALWAYS_OUT

_EVIDENCE = 10
_FEW = 10  # kept images of a class in a split, below which its scores say little
_MUCH = 0.1  # share of all images in one component
_REMEDIES = {
    "conflicting_labels": "decide which label is right and delete the other copies",
    "duplicate": "nothing to do: one copy is kept, the one in test where there is one",
    "near_duplicate": "nothing to do: the one in test, promotion or val is kept",
    "bridges_splits": "nothing to do: they resemble images of more than one split, and would leak",
    "excluded": "nothing to do: a row of decisions.csv drops them",
    "relabelled": "nothing to do: a row of decisions.csv gives their label",
    "group_crosses_splits": "give each group one split in the table's column `split`",
    "missing_file": "correct the paths in the table, or delete the rows",
    "no_label": "put the files in a class folder, or give them a label in the table",
    "leaves_folder": "copy the files into data/raw; links out of it are not followed",
    "unreadable": "check the permissions, and that names are UTF-8",
    "too_many_pixels": "make the images smaller, or raise quality.limits.max_megapixels",
    "too_many_bytes": "make the files smaller, or raise quality.limits.max_megabytes",
    "unsupported_format": "convert them to JPEG or PNG",
    "odd_size": "take better originals, or change quality.limits.min_side_px or odd_size",
    "heavy_compression": "look for the originals; a model may learn the blocks if one class has more of them",
    "has_border": "crop them before graft, above all if one class has more frames than the others",
    "outlier": "look at them: they are unusual, which need not be wrong; drop in decisions.csv what does not belong",
}
_ENDINGS = {
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "bmp": "BMP",
    "tif": "TIFF",
    "tiff": "TIFF",
    "gif": "GIF",
}
_REFETCH = "fetch the files again from where they come from"
_LOOK = "look at them; if they are as they should be, change quality.limits or quality.quarantine"


@dataclass(frozen=True)
class Checks:
    """What the checks of the whole data set gave, beside the verdict on each file."""

    pairs: pd.DataFrame  # as in `reports/duplicates.parquet`
    contract: tuple[Expectation, ...]
    unmatched: tuple[Decision, ...]  # decisions that name no image
    labels: tuple[Finding, ...]  # of the label check


def find(checked: pd.DataFrame, checks: Checks) -> tuple[Finding, ...]:
    """All findings about the checked table and what was compared in it."""
    findings = [
        *about_contract(checks.contract, len(checked)),
        *checks.labels,
        *_reasons(checked),
        *_leaks(checks.pairs, len(checked)),
        *_near(checks.pairs, len(checked)),
        *_near_of_two_labels(checks.pairs, checked),
        *_large_component(checked),
        *_alike_labels(checked),
        *_unmatched(checks.unmatched),
        *_thin_classes(checked),
        *_misnamed(checked),
        *_locations(checked),
    ]
    rank = {"error": 0, "warn": 1, "info": 2}
    return tuple(sorted(findings, key=lambda finding: rank[finding.severity]))


def _reasons(checked: pd.DataFrame) -> list[Finding]:
    rows = checked[["path", "reasons", "verdict"]].explode("reasons").dropna(subset="reasons")
    findings = []
    for reason in REASONS:
        hit = rows[rows["reasons"] == reason]
        if hit.empty or reason == "suspect_label":  # of which the label check says more
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
            message=f"{len(crossing)} pairs of equal or nearly equal images were declared in different splits; "
            "the copies outside test, promotion or val are quarantined, so none leaks",
            remedy="correct the column `split`: what is alike belongs in one split",
            evidence=tuple(sorted(set(crossing["b"]))[:_EVIDENCE]),
        )
    ]


def _near(pairs: pd.DataFrame, rows: int) -> list[Finding]:
    near = pairs[pairs["kind"] != "exact"]
    if near.empty:
        return []
    images = sorted({*near["a"], *near["b"]})
    kinds = ", ".join(f"{count} {kind}" for kind, count in near["kind"].value_counts().items())
    return [
        Finding(
            check="near_duplicates",
            severity="info",
            subject="images",
            statistic=wilson("near_duplicates", len(images), rows),
            message=f"{_images(len(images))} are almost the same as another ({kinds} pairs); "
            "those of one label are kept, in one split",
            remedy="reports/duplicates.parquet lists the pairs; drop in decisions.csv what should not count twice",
            evidence=tuple(images[:_EVIDENCE]),
        )
    ]


def _near_of_two_labels(pairs: pd.DataFrame, checked: pd.DataFrame) -> list[Finding]:
    label = checked[checked["verdict"] != "quarantine"].set_index("path")["label"]
    ends = pairs.loc[pairs["kind"] != "exact", ["a", "b"]].apply(lambda paths: paths.map(label))
    differ = ends.notna().all(axis=1) & (ends["a"] != ends["b"])
    if not differ.any():
        return []
    found = pairs.loc[differ.index[differ]]
    images = sorted({*found["a"], *found["b"]})
    return [
        Finding(
            check="near_duplicates_of_two_labels",
            severity="warn",
            subject="label",
            statistic=wilson("near_duplicates_of_two_labels", len(images), len(checked)),
            message=f"{_images(len(images))} resemble one of another label, but mirrored, turned or with differences; "
            "they are kept, in one split",
            remedy="look at both; where a label is wrong, relabel in decisions.csv, and `keep` what is right",
            evidence=tuple(images[:_EVIDENCE]),
        )
    ]


def _large_component(checked: pd.DataFrame) -> list[Finding]:
    kept = checked[checked["verdict"] != "quarantine"]
    sizes = kept["component"].value_counts()
    if sizes.empty or sizes.iloc[0] <= max(_FEW, _MUCH * len(kept)):
        return []
    together = kept[kept["component"] == sizes.index[0]]
    return [
        Finding(
            check="large_component",
            severity="warn",
            subject="split",
            statistic=wilson("large_component", len(together), len(kept)),
            message=f"{_images(len(together))} hang together by likeness or group, so all of them are in one split",
            remedy="if they are frames of one video or tiles of one picture, declare the videos or pictures as groups",
            evidence=tuple(sorted(together["path"])[:_EVIDENCE]),
        )
    ]


def _alike_labels(checked: pd.DataFrame) -> list[Finding]:
    groups = alike_labels(checked["label"].dropna().unique())
    return [
        Finding(
            check="alike_labels",
            severity="warn",
            subject=", ".join(group),
            statistic=Statistic("alike_labels", float(len(group)), len(checked), estimator="count"),
            message=f"the labels {', '.join(map(repr, group))} are counted as {len(group)} classes",
            remedy="if they are one class, rename folders or labels; or relabel in decisions.csv",
        )
        for group in groups
    ]


def _unmatched(decisions: tuple[Decision, ...]) -> list[Finding]:
    if not decisions:
        return []
    lines = ", ".join(str(decision.line) for decision in decisions[:_EVIDENCE])
    return [
        Finding(
            check="unmatched_decisions",
            severity="warn",
            subject="decisions.csv",
            statistic=Statistic("unmatched_decisions", float(len(decisions)), len(decisions), estimator="count"),
            message=f"{len(decisions)} decisions name no image, or the first digits of more than one (lines {lines})",
            remedy="write the whole hash, or remove the line if the image is gone for good",
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


def _misnamed(checked: pd.DataFrame) -> list[Finding]:
    endings = checked["path"].str.lower().str.extract(r"\.([a-z]+)$", expand=False).map(_ENDINGS)
    other = checked[checked["format"].notna() & endings.notna() & (endings != checked["format"])]
    return _noted(
        other,
        "ending_and_content_differ",
        "have an ending that is not their content's; graft goes by the content",
        "rename them if other tools go by the ending",
        len(checked),
    )


def _locations(checked: pd.DataFrame) -> list[Finding]:
    return _noted(
        checked[checked["has_location"].fillna(False).astype(bool)],
        "location_in_metadata",
        "carry in their EXIF metadata where they were taken, which can be personal data; graft keeps none of it",
        "strip it before you hand data/raw on",
        len(checked),
    )


def _noted(rows: pd.DataFrame, check: str, what: str, remedy: str, of: int) -> list[Finding]:
    """One finding of severity info where there are any `rows`."""
    if rows.empty:
        return []
    evidence = tuple(sorted(rows["path"])[:_EVIDENCE])
    message = f"{_images(len(rows))} {what}"
    return [Finding(check, "info", "images", wilson(check, len(rows), of), message, remedy, evidence)]


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"
