"""The document of an audit: what was examined, by what, what people say about it, and what was found.

It holds hashes where other reports hold names of files, no path of this machine, and of people only what params say.
"""

import platform
import re
from importlib.metadata import version
from typing import Any

from tasks.audit.records import AuditReport, Entry, Recompute, Tool
from tasks.audit.subject import EVALUATION, examine
from tasks.audit.verifier import sha256
from tasks.contracts.files import read_table, sha256_of
from tasks.contracts.params import Params
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace

COMMAND = "graft audit verify --recompute"
_STAGE = re.compile(r"graft stage (\w+) --results-version (\d+)")
_TEXTS = ("subject", "message", "remedy")  # of a finding or a rule, where the name of a file may stand


def draft(ws: Workspace, params: Params) -> tuple[AuditReport, dict[str, bytes]]:
    """The document, its place in the ledger still open, and the lists that go beside it.

    Raises BrokenArtifact where something that `ingest`, `quality` or `bias` left is missing.
    """
    checked, tool = read_table(ws.checked), _tool(ws)
    evidence = examine(ws, checked, read_json(ws.quality))
    subject, lists = evidence.subject, evidence.lists
    hashes = dict(zip(checked["path"], checked["sha256"].fillna(""), strict=True))
    declared, bias = params.audit.model_dump(), "reports/bias.json"
    report = AuditReport(
        entry=Entry(
            root_sha256=subject.root_sha256,
            lists={name: sha256(data) for name, data in lists.items()},
            dvc=subject.dvc,
            git_commit=subject.git.commit,
            params_sha256=tool.params_sha256,
            graft=tool.graft,
        ),
        subject=subject,
        seed=params.seed,
        tool=tool,
        params=params.model_dump(mode="json", by_alias=True, exclude={"audit", "operate"}),
        declared=declared,
        not_said=tuple(name for name, text in declared.items() if not text.strip()),
        bias=by_hash(read_json(ws.bias), hashes),
        gate=by_hash(read_json(ws.gate), hashes),
        evaluation=by_hash(read_json(ws.evaluation), hashes) if EVALUATION in subject.artifacts else None,
        recompute=Recompute(COMMAND, {bias: subject.artifacts[bias]}),
    )
    return report, lists


def by_hash(report: dict[str, Any], hashes: dict[str, str]) -> dict[str, Any]:
    """A report in which each name of a file of the data has become the sha256 of its bytes.

    Names stand in findings and in the messages of rules; the worst mistakes, which are nothing but names, are left
    out. Anywhere else the same words are classes and groups.
    """
    lengths = sorted(set(map(len, hashes)), reverse=True)
    told = {key: value for key, value in report.items() if key != "mistakes"}
    for place in told.keys() & {"findings", "rules"}:
        told[place] = [_finding_by_hash(one, hashes, lengths) for one in told[place]]
    return told


def _finding_by_hash(one: dict[str, Any], hashes: dict[str, str], lengths: list[int]) -> dict[str, Any]:
    told = {**one, **{key: _text_by_hash(one[key], hashes, lengths) for key in one.keys() & set(_TEXTS)}}
    if "evidence" in one:
        told["evidence"] = [hashes[path] for path in one["evidence"] if path in hashes]
    return told


def _text_by_hash(text: str, hashes: dict[str, str], lengths: list[int]) -> str:
    """The longest name at each place replaced; a look-up for each length, as names may be 100,000 and texts short."""
    told, at = "", 0
    while at < len(text):
        ends = (at + length for length in lengths if at + length <= len(text))
        here = (
            end for end in ends if text[at:end] in hashes and not _in_a_word(text, at) and not _in_a_word(text, end)
        )
        end = next(here, at)
        told += hashes[text[at:end]] if end > at else text[at]
        at = max(end, at + 1)
    return told


def _in_a_word(text: str, at: int) -> bool:
    """Whether a letter or digit stands on both sides: a file named `a` is not in every word with that letter."""
    return 0 < at < len(text) and all(c.isascii() and c.isalnum() for c in text[at - 1 : at + 1])


def _tool(ws: Workspace) -> Tool:
    stages = _STAGE.findall((ws.root / "dvc.yaml").read_text(encoding="utf-8"))
    lock = ws.root / "requirements.lock"
    return Tool(
        graft=version("graft"),
        python=platform.python_version(),
        results={name: int(number) for name, number in stages},
        params_sha256=sha256_of(ws.params),
        lock_sha256=sha256_of(lock) if lock.is_file() else "",
    )
