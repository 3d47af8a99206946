"""What `graft audit` does: the audit itself, and all that is done with those that were made.

Each function takes the parsed arguments and returns an exit code. Heavy imports stay behind what needs them.
"""

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.commands import bring_up_to_date, conclude, ready
from flows.output import dump, show
from tasks.contracts.errors import BadUsage, BrokenArtifact
from tasks.contracts.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from flows.stages import Outcome
    from tasks.audit.changes import Changes
    from tasks.audit.ledger import Entered


def audit(arguments: Namespace) -> int:
    """Ingest, quality and bias, and an entry in the ledger; exit 1 where the gate does not pass."""
    from flows.runs import heal, recorded
    from flows.stages import only_run
    from tasks.bias.gate import require_open
    from tasks.contracts.run_records import Trigger
    from tasks.report.audits import page_in, write_audit_pages

    if arguments.markdown and arguments.markdown.is_dir():
        raise BadUsage(f"--markdown {arguments.markdown} is a folder; name a file")
    ws = ready(arguments)

    def start() -> "list[Outcome]":
        from flows.audit import audit as flow

        return flow(ws.root)

    with only_run(ws), recorded(ws, "audit", Trigger("by hand")) as record:
        heal(ws)
        outcomes = bring_up_to_date(ws, start, "bias")
        record.note(stages=tuple(outcomes))
        entered = _enter(ws, arguments.markdown)
        pages = write_audit_pages(ws)
        record.note(why=f"audit {entered.number}", page=page_in(ws, entered.number))
        conclude(ws, outcomes, None, audit={**asdict(entered), "pages": str(pages)}, as_json=arguments.json)
        require_open(ws.gate)
    return 0


def list_audits(arguments: Namespace) -> int:
    """The ledger, an entry in a line."""
    from tasks.audit.ledger import sound_entries
    from tasks.audit.wording import entry_line

    known = sound_entries(find_workspace(arguments.workspace))
    if arguments.json:
        return dump(known)
    return show("\n".join(map(entry_line, known)) or "no audit yet; make one with `graft audit`")


def show_audit(arguments: Namespace) -> int:
    """One document: of the entry with that number, or of the latest audit."""
    from tasks.audit.ledger import document, find_entry
    from tasks.audit.wording import screen

    ws = find_workspace(arguments.workspace)
    found = document(ws, find_entry(ws, arguments.number))
    return dump(found) if arguments.json else show(screen(found))


def pages(arguments: Namespace) -> int:
    """The pages of all audits, drawn anew: a clone has the documents and no page."""
    from tasks.report.audits import write_audit_pages

    path = write_audit_pages(find_workspace(arguments.workspace))
    return dump({"page": str(path)}) if arguments.json else show(str(path))


def export(arguments: Namespace) -> int:
    """An audit in the forms that others read: Croissant, tables, a data-set card, and the schema of the reports."""
    from tasks.audit.ledger import document, find_entry
    from tasks.exports.write import write_exports

    ws = find_workspace(arguments.workspace)
    written = write_exports(ws, document(ws, find_entry(ws, arguments.number)), arguments.folder)
    return dump([str(path) for path in written]) if arguments.json else show("\n".join(map(str, written)))


def diff(arguments: Namespace) -> int:
    """What changed between two audits."""
    from tasks.audit.changes import changes
    from tasks.audit.wording import changed

    found = changes(find_workspace(arguments.workspace), arguments.before, arguments.after)
    return dump(asdict(found)) if arguments.json else show(changed(found))


def verify(arguments: Namespace) -> int:
    """Every hash again, and with `--recompute` the numbers; exit 5, and a line for each thing that is wrong."""
    from tasks.audit.subject import TERMS
    from tasks.audit.verifier import NOTHING, check
    from tasks.contracts.errors import one_line

    ws = find_workspace(arguments.workspace)
    found = check(ws.root, arguments.head, arguments.key)
    problems = list(found.problems)
    if arguments.recompute and not [one for one in problems if one.partition(":")[0] not in TERMS]:
        # with other data there is nothing to compare; whether other terms matter to the numbers, it says itself
        from flows.recompute import recompute

        problems += recompute(ws)
    receipt = f"{len(found.heads)}:{[NOTHING, *found.heads][-1]}"
    code = BrokenArtifact.exit_code if problems else 0
    if arguments.json:
        dump({"problems": problems, "not_here": found.absent, "receipt": receipt})
        return code
    lines = [*(f"wrong: {one}" for one in problems), *(f"not here: {one}" for one in found.absent)]
    count = len(found.heads)
    lines.append(f"{count} entr{'y' if count == 1 else 'ies'}{'' if problems else ', nothing wrong'}; last {receipt}")
    show("\n".join(map(one_line, lines)))
    return code


def keygen(arguments: Namespace) -> int:
    """A pair of keys."""
    from tasks.audit.keys import make_keys

    public = make_keys(arguments.file)
    return show(f"{arguments.file} signs: keep it to yourself. {public} checks: give it to whoever verifies")


def sign(arguments: Namespace) -> int:
    """Sign the ledger as it stands."""
    from tasks.audit.keys import sign as sign_ledger

    receipt = sign_ledger(find_workspace(arguments.workspace), arguments.key)
    return dump({"receipt": receipt}) if arguments.json else show(f"signed up to {receipt}")


def sign_off(arguments: Namespace) -> int:
    """A person's decision on the latest audit, as an entry of its own."""
    from importlib.metadata import version

    from tasks.audit.ledger import document, enter, find_entry
    from tasks.audit.records import SignOff, SignOffEntry
    from tasks.report.audits import write_audit_pages

    ws = find_workspace(arguments.workspace)
    audit = find_entry(ws)
    document(ws, audit)  # nobody decides on what has been changed since
    by, role = arguments.by, arguments.role
    entry = SignOffEntry(audit["number"], audit["sha256"], arguments.decision, by, role, version("graft"))
    entered = enter(ws, SignOff(entry, arguments.note))
    write_audit_pages(ws)
    if arguments.json:
        return dump(asdict(entered))
    return show(f"audit {audit['number']} {arguments.decision}; receipt {entered.receipt}")


def _enter(ws: Workspace, markdown: Path | None) -> "Entered":
    """Write the audit into the ledger, and its summary where one is wanted."""
    from tasks.audit import ledger
    from tasks.audit.document import draft
    from tasks.audit.wording import markdown as summary
    from tasks.contracts.files import write_text
    from tasks.contracts.params_file import load_params

    report, lists = draft(ws, load_params(ws.params))
    entered = ledger.enter(ws, report, lists)
    if markdown:
        document = ledger.document(ws, ledger.find_entry(ws, entered.number))
        write_text(markdown, summary(document, entered.receipt, _since(ws, entered.number)))
    return entered


def _since(ws: Workspace, number: int) -> "Changes | None":
    """What changed since the audit before this one."""
    from tasks.audit.changes import changes
    from tasks.audit.ledger import entries

    before: list[Any] = [one["number"] for one in entries(ws) if one["kind"] == "audit" and one["number"] < number]
    return changes(ws, before[-1], number) if before else None
