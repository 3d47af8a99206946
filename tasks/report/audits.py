"""The pages of the audits: one for each, drawn from its document, and one of all of them."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tasks.audit.ledger import alone, document, sound_entries
from tasks.audit.verifier import canonical, sha256
from tasks.contracts.files import write_text
from tasks.contracts.workspace import Workspace
from tasks.report import answers, data, overview
from tasks.report.page import Links, environment, links_of

INDEX = "index.html"


@dataclass(frozen=True)
class Row:
    """An audit in the list of all; `share`: its kept images in per cent of the most that an audit had."""

    number: int
    page: str
    created_at: str
    passed: bool
    counts: dict[str, int]
    kept: int
    share: float
    root: str
    same: bool
    decisions: tuple[dict[str, Any], ...]


def write_audit_pages(ws: Workspace) -> Path:
    """Draw the page of every audit of the ledger and the index of all; equal documents give equal bytes.

    Raises BrokenArtifact where anything of the ledger is missing or is not what was entered, a decision too: nothing is
    drawn of what is not sure.
    """
    with alone(ws):  # nobody is half-way through an entry
        known = sound_entries(ws)
    audits = [(entry, document(ws, entry)) for entry in known if entry["kind"] == "audit"]
    for entry, made in audits:
        write_text(ws.audit_pages / page_of(entry), render_audit(made, receipt_of(entry), _decisions(known, entry)))
    index = ws.audit_pages / INDEX
    write_text(index, _render_index(known, audits, links_of(ws, index)))
    return index


def page_of(entry: dict[str, Any]) -> str:
    """The name of an audit's page."""
    return f"{entry['number']:04}.html"


def page_in(ws: Workspace, number: int) -> str:
    """Where the page of the audit with that number lies, relative to the workspace."""
    return (ws.audit_pages / page_of({"number": number})).relative_to(ws.root).as_posix()


def receipt_of(entry: dict[str, Any]) -> str:
    """`NUMBER:SHA256` of an entry's line."""
    return f"{entry['number']}:{sha256(canonical(entry))}"


def render_audit(made: dict[str, Any], receipt: str, decisions: tuple[dict[str, Any], ...]) -> str:
    """One audit's page as HTML."""
    found = overview.findings_of((made["bias"], made["gate"], made["evaluation"]))
    rules = made["gate"]["rules"]
    return (
        environment()
        .get_template("audit.html")
        .render(
            document=made,
            others=(),
            receipt=receipt,
            decisions=decisions,
            findings=found,
            failing=sum(not rule["passed"] for rule in rules),
            failing_rules=[rule for rule in rules if not rule["passed"]],
            waived=[rule for rule in rules if rule["waiver"]],
            unmeasured=_unmeasured(made),
            sources=SimpleNamespace(bias=made["bias"], gate=made["gate"]),
            composition=data.composition(made["bias"]),
            outcome_answers=answers.answers(made["evaluation"] or {}),
            **answers.bias_views(made["bias"]),
        )
    )


def _render_index(
    known: list[dict[str, Any]], audits: list[tuple[dict[str, Any], dict[str, Any]]], others: Links
) -> str:
    most = max((made["subject"]["kept"] for _, made in audits), default=0) or 1
    rows, before = [], ""
    for entry, made in audits:
        subject = made["subject"]
        rows.append(
            Row(
                number=entry["number"],
                page=page_of(entry),
                created_at=entry["created_at"],
                passed=made["gate"]["passed"],
                counts=overview.findings_of((made["bias"], made["gate"], made["evaluation"])).counts,
                kept=subject["kept"],
                share=round(100 * subject["kept"] / most, 2),
                root=subject["root_sha256"][:12],
                same=subject["root_sha256"] == before,
                decisions=_decisions(known, entry),
            )
        )
        before = subject["root_sha256"]
    receipt = receipt_of(known[-1]) if known else "none"
    return environment().get_template("audits.html").render(rows=rows[::-1], receipt=receipt, others=others)


def _decisions(known: list[dict[str, Any]], entry: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """What people decided on an audit."""
    return tuple(one for one in known if one["kind"] == "sign_off" and one["audit"] == entry["number"])


def _unmeasured(node: Any) -> int:
    """The statistics in a document that have no value."""
    if isinstance(node, dict):
        own = node.get("status") in ("too_small", "not_measurable", "skipped") and "estimator" in node
        return own + sum(_unmeasured(value) for value in node.values())
    return sum(_unmeasured(value) for value in node) if isinstance(node, list) else 0
