"""The gate between the audit and everything that costs time: rules, waivers, and the door itself."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.contracts.errors import BadUsage, GateRefused, one_line
from tasks.contracts.params import GateParams
from tasks.contracts.records import Finding, GateReport, GateRule, Statistic, Status, Waiver, read_json

CONTRACT = "contract"
MAX_IMBALANCE = "max_imbalance"
MIN_TRAIN = "min_train_images"
MIN_TEST = "min_test_images"
MAX_ASSOCIATION = "max_association"
RULES = (CONTRACT, MAX_IMBALANCE, MIN_TRAIN, MIN_TEST, MAX_ASSOCIATION)
_MOST_NAMES = 5


def judge(
    params: GateParams,
    quality: Mapping[str, Any],
    sizes: Mapping[str, Mapping[str, int]],
    imbalance: Statistic,
    associations: Sequence[Statistic],
) -> GateReport:
    """Every rule's value against its limit; a waived rule passes, and stays on the record.

    `quality` is the quality report as JSON, `sizes` images by label and split. Raises BadUsage as `waivers_of` does.
    """
    waivers = waivers_of(params)
    rules = tuple(
        _waived(rule, waivers.get(rule.rule))
        for rule in (
            _contract(quality),
            _imbalance(imbalance, params.max_imbalance),
            _least(MIN_TRAIN, "train", sizes, params.min_train_images),
            _least(MIN_TEST, "test", sizes, params.min_test_images),
            _association(associations, params.max_association),
        )
    )
    return GateReport(
        passed=all(rule.passed for rule in rules),
        rules=rules,
        set_by=params.set_by,
        set_on=params.set_on,
        findings=tuple(_finding(rule) for rule in rules if not rule.passed or rule.waiver),
    )


def require_open(path: Path) -> None:
    """Let the caller go on where the gate report at `path` says so, and no waiver has expired since.

    Raises GateRefused, one line with every failing rule and how to waive it; BrokenArtifact where there is no report.
    """
    report = read_json(path)
    today = datetime.now(UTC).date().isoformat()
    waivers = [rule["waiver"] for rule in report["rules"] if rule["waiver"]]
    if over := [one for one in waivers if one.get("expires") and one["expires"] <= today]:
        named = "; ".join(f"{one['rule']}, by {one['by']}, until {one['expires']}" for one in over)
        raise GateRefused(
            one_line(f"the gate is closed: a waiver has expired ({named}). Mend the data, or decide anew")
        )
    if report["passed"]:
        return
    failing = [rule for rule in report["rules"] if not rule["passed"]]
    reasons = "; ".join(f"{rule['rule']}: {rule['message']}" for rule in failing)
    example = f"{{rule: {failing[0]['rule']}, reason: ..., by: ...}}"
    raise GateRefused(
        one_line(f"the gate is closed: {reasons}. Mend the data, or add to bias.gate.waivers in params.yaml: {example}")
    )


def waivers_of(params: GateParams) -> dict[str, Waiver]:
    """The waivers by the name of their rule. Raises BadUsage on a waiver for a rule that there is not."""
    for waiver in params.waivers:
        if waiver.rule not in RULES:
            raise BadUsage(one_line(f"bias.gate.waivers: no rule {waiver.rule}; the rules are {', '.join(RULES)}"))
    return {waiver.rule: Waiver(waiver.rule, waiver.reason, waiver.by, waiver.expires) for waiver in params.waivers}


def _waived(rule: GateRule, waiver: Waiver | None) -> GateRule:
    if rule.passed or waiver is None:
        return rule
    return GateRule(rule.rule, rule.limit, rule.value, True, rule.message, waiver)


def _contract(quality: Mapping[str, Any]) -> GateRule:
    broken = [finding for finding in quality["findings"] if finding["severity"] == "error"]
    message = "no check of quality failed"
    if broken:
        said = ["; ".join(filter(None, [one["message"], one.get("remedy")])) for one in broken]
        message = f"{len(broken)} > 0 checks of quality failed ({_named(said, 2)})"
    return GateRule(CONTRACT, 0.0, float(len(broken)), not broken, message)


def _imbalance(ratio: Statistic, limit: float) -> GateRule:
    if ratio.value is None:
        return GateRule(MAX_IMBALANCE, limit, None, False, "not measurable: a class has no training image")
    passed = ratio.value <= limit
    message = f"{ratio.value:.4g} {'<=' if passed else '>'} {limit:g} (largest / smallest class, train)"
    return GateRule(MAX_IMBALANCE, limit, ratio.value, passed, message)


def _least(rule: str, split: str, sizes: Mapping[str, Mapping[str, int]], limit: int) -> GateRule:
    counts = {label: of_split[split] for label, of_split in sizes.items()}
    least = min(counts.values(), default=0)
    passed = least >= limit
    message = f"{least} >= {limit} (smallest class, {split})"
    if not passed:
        short = [label for label in sorted(counts, key=lambda label: (counts[label], label)) if counts[label] < limit]
        message = f"{least} < {limit} ({split} images of {_named(short)})"
    return GateRule(rule, float(limit), float(least), passed, message)


def _association(associations: Sequence[Statistic], limit: float) -> GateRule:
    measured = [one for one in associations if one.value is not None]
    if not measured:
        return GateRule(MAX_ASSOCIATION, limit, None, True, "nothing to measure: no usable metadata column")
    worst = max(measured, key=lambda one: one.value or 0.0)
    value = worst.value or 0.0
    passed = value <= limit
    return GateRule(
        MAX_ASSOCIATION, limit, value, passed, f"{value:.3g} {'<=' if passed else '>'} {limit:g} ({worst.name})"
    )


def _finding(rule: GateRule) -> Finding:
    status: Status = "not_measurable" if rule.value is None else "measured"
    statistic = Statistic(rule.rule, rule.value, 1, status=status, estimator="as the rule says")
    if rule.waiver:
        message = f"{rule.rule} was waived by {rule.waiver.by}: {rule.waiver.reason} ({rule.message})"
        return Finding("gate", "warn", rule.rule, statistic, message)
    remedy = "mend the data, or waive the rule in bias.gate.waivers"
    return Finding("gate", "error", rule.rule, statistic, f"{rule.rule}: {rule.message}", remedy)


def _named(names: Sequence[str], most: int = _MOST_NAMES) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
