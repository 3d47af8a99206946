"""The screen that a run ends with: what was found, chosen and measured, drawn from the reports alone."""

from pathlib import Path
from typing import Any

from flows.stages import REPORTS
from tasks.contracts.errors import one_line
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace
from tasks.register.registry import Version

SHOWN_FINDINGS = 8


def summarise(ws: Workspace, stages: set[str], version: Version | None) -> dict[str, Any]:
    """The figures of the reports of these stages; what was not brought up to date is absent."""
    paths = [ws.root / place for stage in REPORTS if stage in stages for place in REPORTS[stage]]
    reports = {path.stem: read_json(path) for path in paths}
    found: dict[str, Any] = {"findings": [f for report in reports.values() for f in report["findings"]]}
    if quality := reports.get("quality"):
        found["images"] = {key: quality[key] for key in ("found", "kept", "warned", "quarantined")}
    if gate := reports.get("gate"):
        found["gate"] = "passed" if gate["passed"] else "refused"
    if selection := reports.get("selection"):
        found["backbone"] = {"name": selection["chosen"]["name"], "why": selection["why"]}
        found["left_out"] = selection["left_out"]
    if evaluation := reports.get("evaluation"):
        found["test_accuracy"] = evaluation["candidate"]["accuracy"]
        found["scratch_accuracy"] = evaluation["scratch"]["accuracy"] if evaluation["scratch"] else None
        found["difference"] = evaluation["difference"]
    if version:
        found["version"] = {"name": version.name, "champion": version.champion, "why": version.note["decision"]["why"]}
    return found


def screen(found: dict[str, Any], page: Path) -> str:
    """The same for people: one screen of at most some twenty lines."""
    lines = [""]
    if images := found.get("images"):
        lines.append(
            f"images      {images['found']:,} found = {images['kept']:,} kept ({images['warned']:,} with a warning) "
            f"+ {images['quarantined']:,} quarantined"
        )
    lines += _findings(found["findings"])
    if gate := found.get("gate"):
        lines.append(f"gate        {gate}")
    if backbone := found.get("backbone"):
        lines.append(f"backbone    {backbone['why']}")
        lines += _left_out(found["left_out"])
    if "test_accuracy" in found:
        lines.append(f"test        {_accuracy(found['test_accuracy'])}, {found['test_accuracy']['n']} images")
        if scratch := found["scratch_accuracy"]:
            lines.append(f"  scratch   {_accuracy(scratch)} for the same network from random weights")
            lines.append(f"  gain      {_points(found['difference'])}")
    if version := found.get("version"):
        role = "champion" if version["champion"] else "not the champion"
        lines.append(f"registered  {version['name']}, {role}: {version['why']}")
    if audit := found.get("audit"):
        lines.append(f"audit       {audit['number']}, {audit['document']}")
        lines.append(f"receipt     {audit['receipt']} (keep it where nobody can rewrite it)")
    lines.append(f"report      {page}")
    return "\n".join(lines)


def _findings(findings: list[dict[str, Any]]) -> list[str]:
    counts = {s: sum(f["severity"] == s for f in findings) for s in ("error", "warn", "info")}
    worst = sorted(findings, key=lambda f: ("error", "warn", "info").index(f["severity"]))
    lines = ["findings    " + ", ".join(f"{n} {severity}" for severity, n in counts.items())]
    lines += [f"  {f['severity']:<9} {one_line(f['message'])}" for f in worst[:SHOWN_FINDINGS]]
    if len(worst) > SHOWN_FINDINGS:
        lines.append(f"  ...       {len(worst) - SHOWN_FINDINGS} more on the report page")
    return lines


def _left_out(left_out: list[dict[str, Any]]) -> list[str]:
    if not left_out:
        return []
    names, first = ", ".join(one["name"] for one in left_out), left_out[0]
    return [f"  left out  {names}: {first['why']}", f"            {first['remedy']}"]


def _accuracy(statistic: dict[str, Any]) -> str:
    value, low, high = (share(statistic[key]) for key in ("value", "low", "high"))
    return f"accuracy {value} (95 % interval {low} to {high})"


def _points(statistic: dict[str, Any]) -> str:
    if statistic["value"] is None:
        return "not measured"
    value, low, high = (100 * statistic[key] for key in ("value", "low", "high"))
    return f"{value:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})"


def share(value: float | None) -> str:
    """A share of 1 in per cent."""
    return "not measured" if value is None else f"{value:.1%}"
