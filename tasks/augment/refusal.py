"""What to say of changes that turn one class into another, of classes that could not be judged, and of a safe flip."""

from collections.abc import Sequence

from tasks.augment.probes import HALF_TURN, WHOLE_POLICY
from tasks.augment.records import LabelChange, LabelSafety
from tasks.contracts.errors import BadUsage, one_line
from tasks.contracts.params import AugmentParams, ChangeWaiverParams
from tasks.contracts.records import Finding, Severity, Statistic

KEEPS_FROM = 0.9  # of recognised pictures a flip must leave at least so many recognised before it is recommended
_MOST_NAMES = 5
_FLIPS = {"HorizontalFlip": "horizontal_flip", "VerticalFlip": "vertical_flip"}


def worst_changes(safety: LabelSafety) -> tuple[LabelChange, ...]:
    """Of each rule that changes labels its worst case, the worst rule first.

    The policy as a whole does what its parts do: it counts only where none of them is to blame.
    """
    worst: dict[str, LabelChange] = {}
    for change in safety.changes:
        if change.changes_label and (change.rule not in worst or _badness(change) > _badness(worst[change.rule])):
            worst[change.rule] = change
    if len(worst) > 1:
        worst.pop(WHOLE_POLICY, None)
    return tuple(sorted(worst.values(), key=_badness, reverse=True))


def require_known_waivers(waivers: Sequence[ChangeWaiverParams], rules: Sequence[str]) -> None:
    """Raise BadUsage on a waiver for a change that the policy does not make."""
    if unknown := sorted({waiver.rule for waiver in waivers} - set(rules)):
        known = ", ".join(dict.fromkeys(rules)) or "nothing"
        raise BadUsage(f"params.yaml: augment.waivers names {', '.join(unknown)}; the policy has {known}; take it out")


def refused_rules(worst: Sequence[LabelChange], params: AugmentParams) -> tuple[str, ...]:
    """The rules that nobody waived."""
    waived = {waiver.rule for waiver in params.waivers}
    return tuple(change.rule for change in worst if change.rule not in waived)


def refusal_line(worst: Sequence[LabelChange], params: AugmentParams) -> str:
    """One line for all rules that nobody waived: what turns what into what, by how much, and what to set."""
    refused = set(refused_rules(worst, params))
    lines = [f"{_message(change)}; {_remedy(change.rule, params)}" for change in worst if change.rule in refused]
    return one_line(
        f"augmentation would teach wrong labels: {'; '.join(lines)}; "
        "where the labels hold all the same, add {rule: " + worst[0].rule + ", reason: ..., by: ...} to augment.waivers"
    )


def safety_findings(safety: LabelSafety, worst: Sequence[LabelChange], params: AugmentParams) -> list[Finding]:
    """Changes of labels (a warning where a person waived them), classes that were not judged, a flip that is safe."""
    waived = {waiver.rule: waiver for waiver in params.waivers}
    found = []
    for change in worst:
        by = waived.get(change.rule)
        message = _message(change) + (f"; waived by {by.by}: {by.reason}" if by else "")
        severity: Severity = "warn" if by else "error"
        found.append(
            Finding("label_change", severity, change.label, change.share, message, _remedy(change.rule, params))
        )
    return [*found, *_unknown(safety), *_offer(safety)]


def _badness(change: LabelChange) -> tuple[float, str]:
    return change.share.value or 0.0, change.label


def _message(change: LabelChange) -> str:
    share = change.share
    turned = round((share.value or 0) * share.n)
    name = change.rule if change.setting in ("always", "both") else f"{change.rule} ({change.setting})"
    return (
        f"{name} turns {change.label} into {change.becomes}: {turned} of {share.n} pictures of {change.label} "
        f"then pass for {change.becomes} ({share.value:.0%}, 95 % interval {share.low:.0%} to {share.high:.0%}, "
        f"corrected p {share.p_value:.1g})"
    )


def _remedy(rule: str, params: AugmentParams) -> str:
    own = {str(one["transform"]) for one in params.transforms}
    if rule in _FLIPS and rule not in own:
        return f"set augment.{_FLIPS[rule]}: false"
    if rule == HALF_TURN and not own & set(_FLIPS):
        return "set augment.horizontal_flip or augment.vertical_flip to false"
    if params.policy == "own":
        return f"narrow {rule} in augment.transforms or take it out"
    return f"choose a lighter augment.policy, or policy: own without {rule}"


def _unknown(safety: LabelSafety) -> list[Finding]:
    parts = [f"{one.name} ({one.estimator})" for one in safety.unknown[:_MOST_NAMES]]
    if more := len(safety.unknown) - len(parts):
        parts.append(f"{more} more")
    if safety.left_out:
        parts.append(f"{safety.left_out} classes beyond the {safety.classes} that are looked at")
    if not parts:
        return []
    missing = len(safety.unknown) + safety.left_out
    count = Statistic("classes_not_judged", float(missing), safety.classes + safety.left_out)
    message = f"whether augmentation keeps the label was not judged for {', '.join(parts)}"
    remedy = "look at reports/augmentation.jpg for these classes; more training images make the test possible"
    return [Finding("label_safety_unknown", "info", "augmentation", count, message, remedy)]


def _offer(safety: LabelSafety) -> list[Finding]:
    kept = safety.offered
    if kept is None or kept.low is None or kept.low < KEEPS_FROM:
        return []
    message = f"a horizontal flip changes no label here: {kept.value:.0%} of {kept.n} recognised pictures still are"
    remedy = "set augment.horizontal_flip: true, if a mirrored picture may occur"
    return [Finding("flip_is_safe", "info", "augmentation", kept, message, remedy)]
