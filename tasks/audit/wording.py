"""Audits in words: for the screen, and in Markdown for a pull request, where nothing of the data's may act."""

from collections.abc import Iterable
from typing import Any

from tasks.audit.changes import Changes, Samples
from tasks.bias.drift import INFO_AT
from tasks.contracts.records import Statistic
from tasks.contracts.text import markdown as inert

_MOST = 20
_SEVERITIES = ("error", "warn", "info")
_LONGEST = 2000


def entry_line(entry: dict[str, Any]) -> str:
    """One entry of the ledger in a line."""
    when = f"{entry['number']:>4}  {entry['created_at'][:16].replace('T', ' ')}"
    if entry["kind"] == "sign_off":
        return _lines([f"{when}  audit {entry['audit']} {entry['decision']} by {entry['by']}, {entry['role']}"])
    return _lines([f"{when}  root {entry['root_sha256'][:12]}  commit {entry['git_commit'][:12] or 'none'}"])


def screen(document: dict[str, Any]) -> str:
    """A document of the ledger on one screen."""
    entry = document["entry"]
    if document["report"] == "sign_off":
        return _lines(filter(None, [entry_line(entry).strip(), document["note"]]))
    subject, tool, git = document["subject"], document["tool"], document["subject"]["git"]
    state = f"{git['commit'] or 'none'}{', and files that differ from it' if git['dirty'] else ''}"
    lines = [
        f"audit       {entry['number']}, {entry['created_at']}, follows {entry['previous'][:12]}",
        f"samples     {_counts(subject)}, root {subject['root_sha256']}",
        f"DVC         {subject['dvc'] or 'none'}",
        f"commit      {state}",
        f"made by     graft {tool['graft']}, Python {tool['python']}, params {tool['params_sha256'][:12]}",
        f"gate        {_gate(document)}",
        *(f"  {one['severity']:<9} {one['message']}" for one in findings(document)[:_MOST]),
        *(f"{name:<15} {text}" for name, text in document["declared"].items() if text.strip()),
        f"not said    {', '.join(document['not_said']) or 'nothing is left out'}",
        f"recompute   {document['recompute']['command']}",
    ]
    return _lines(lines)


def markdown(document: dict[str, Any], receipt: str, since: Changes | None) -> str:
    """A summary for a pull request; text that came with the data is escaped."""
    found = findings(document)
    lines = [
        f"## Audit {document['entry']['number']}: the gate {_gate(document)}",
        "",
        f"{_counts(document['subject'])}. Receipt `{receipt}`",
        "",
        *(f"- **{rule['rule']}**: {inert(rule['message'], _LONGEST)}" for rule in _failing(document)),
        *(f"- {one['severity']}: {inert(one['message'], _LONGEST)}" for one in found[:_MOST]),
        *([f"- and {len(found) - _MOST} more"] if len(found) > _MOST else []),
        *([] if found else ["- nothing found"]),
    ]
    if since:
        lines += ["", f"Since audit {since.before}: {_samples(since.samples)}.", ""]
        lines += [f"- {one.what}: {inert(one.message, _LONGEST)}" for one in since.findings[:_MOST]]
    if document["not_said"]:
        lines += ["", f"Nobody has said yet: {', '.join(document['not_said'])} (section `audit` of params.yaml)."]
    return "\n".join(lines) + "\n"


def changed(found: Changes) -> str:
    """What changed between two audits, line by line."""
    lines = [f"audit {found.before} -> {found.after}: {_samples(found.samples)}"]
    for what, rows in (("relabelled", found.samples.relabelled), ("moved", found.samples.moved)):
        lines += [f"  {what:<10} {one.sha256[:12]} {one.before} -> {one.after}" for one in rows[:_MOST]]
    lines += [f"finding     {one.what}: {one.severity}: {one.message}" for one in found.findings]
    lines += [f"number      {_number(one)}" for one in found.numbers]
    lines += [f"drift       {_drift(one)}" for one in found.drift.statistics if _tells(one)]
    lines += [f"setting     {one}" for one in found.settings]
    return _lines(lines)


def findings(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of the gate and of bias, the worst first."""
    found = [*document["gate"]["findings"], *document["bias"]["findings"]]
    return sorted(found, key=lambda one: _SEVERITIES.index(one["severity"]))


def _lines(lines: Iterable[str]) -> str:
    """Each in one line, with nothing that a terminal would act on."""
    return "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines)


def _number(one: Any) -> str:
    before, after = ("not measured" if value is None else f"{value:.4g}" for value in (one.before, one.after))
    sure = one.test if one.p_value is None else f"p = {one.p_value:.2g}, {one.test}"
    return f"{one.name}: {before} (n {one.n_before}) -> {after} (n {one.n_after}); {sure}"


def _tells(one: Statistic) -> bool:
    """A difference that chance does not explain, or that nothing could be measured; counts of samples stand above."""
    if one.value is None:
        return True
    return one.p_value is not None and one.p_value <= 0.05 and one.value >= INFO_AT


def _drift(one: Statistic) -> str:
    if one.value is None:
        return f"{one.name}: {one.estimator}"
    return (
        f"{one.name}: {one.value:.0%} of the images would have to be others (p = {one.p_value:.2g}, {one.correction})"
    )


def _samples(found: Samples) -> str:
    counts = (("added", found.added), ("removed", found.removed), ("relabelled", found.relabelled))
    parts = [f"{len(rows)} {what}" for what, rows in (*counts, ("in another split", found.moved)) if rows]
    return f"samples {', '.join(parts)}" if parts else "the same samples"


def _counts(subject: dict[str, Any]) -> str:
    return f"{subject['found']:,} found = {subject['kept']:,} kept + {subject['quarantined']:,} quarantined"


def _failing(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for rule in document["gate"]["rules"] if not rule["passed"]]


def _gate(document: dict[str, Any]) -> str:
    return "passed" if document["gate"]["passed"] else "refused"
