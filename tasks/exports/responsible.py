"""Croissant's responsible-AI properties (`rai:`), filled from what people declared and what the audit measured."""

import re
from typing import Any

from tasks.exports.facts import Facts, in_words, not_measured

Json = dict[str, Any]

_DAY = re.compile(r"\b\d{4}-\d{2}-\d{2}\b", re.ASCII)


def responsible(facts: Facts) -> Json:
    """The `rai:` properties that the audit can fill; one that nobody declared is left out, and said to be missing."""
    said, missing = facts.declared, facts.bias.get("attributes", ())
    texts: dict[str, list[str]] = {
        "dataCollection": [_named(facts, key) for key in ("sources", "period", "population") if key in said],
        "dataCollectionTimeFrame": _DAY.findall(said.get("period", "")),
        "dataCollectionMissingData": [
            f"{one['name']}: {one['missing']} images without a value" for one in missing if one["missing"]
        ],
        "dataPreprocessingProtocol": _preparation(facts),
        "dataAnnotationProtocol": [_named(facts, key) for key in ("annotation", "assumptions") if key in said],
        "dataUseCases": [said["purpose"]] if "purpose" in said else [],
        "dataBiases": [_finding(one) for one in facts.findings],
        "dataLimitations": _limitations(facts),
        "personalSensitiveInformation": [
            _named(facts, key) for key in ("personal_data", "legal_basis", "consent") if key in said
        ],
        "dataReleaseMaintenancePlan": [f"Answered for by {said['owner']}"] if "owner" in said else [],
    }
    single = {"dataCollection", "dataCollectionMissingData", "dataReleaseMaintenancePlan"}  # the vocabulary's rule
    return {f"rai:{key}": "; ".join(text) if key in single else text for key, text in texts.items() if text}


def _preparation(facts: Facts) -> list[str]:
    told = facts.counts
    reasons = ", ".join(f"{reason}: {files}" for reason, files in sorted(told["reasons"].items()))
    counts = f"{told['found']} files found = {told['kept']} kept + {told['quarantined']} left out; no file was changed."
    return [f"{counts} Remarks and reasons by number of files: {reasons or 'none'}."]


def _finding(finding: Json) -> str:
    remedy = f" Remedy: {finding['remedy']}" if finding["remedy"] else ""
    return (
        f"[{finding['severity']}] {finding['subject']}: {finding['message']} {in_words(finding['statistic'])}.{remedy}"
    )


def _limitations(facts: Facts) -> list[str]:
    limits = [f"Not to be used for: {facts.declared['out_of_scope']}"] if "out_of_scope" in facts.declared else []
    limits += [f"Not measured, which is not the same as absent: {one}" for one in not_measured(facts)]
    if not facts.gate["passed"]:
        limits.append("The audit's gate is closed: " + "; ".join(_broken(facts)))
    if facts.unsaid:
        limits.append(f"Not declared by the owner: {', '.join(facts.unsaid)}")
    return limits


def _broken(facts: Facts) -> list[str]:
    return [rule["message"] for rule in facts.gate["rules"] if not rule["passed"]]


def _named(facts: Facts, key: str) -> str:
    return f"{key.replace('_', ' ').capitalize()}: {facts.declared[key]}"
