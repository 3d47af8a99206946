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
_BETWEEN_WORDS = re.compile(r"([\s,;'\"()\[\]]+)")


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
        params=params.model_dump(mode="json", by_alias=True, exclude={"audit"}),
        declared=declared,
        not_said=tuple(name for name, text in declared.items() if not text.strip()),
        bias=by_hash(read_json(ws.bias), hashes),
        gate=by_hash(read_json(ws.gate), hashes),
        evaluation=by_hash(read_json(ws.evaluation), hashes) if EVALUATION in subject.artifacts else None,
        recompute=Recompute(COMMAND, {bias: subject.artifacts[bias]}),
    )
    return report, lists


def by_hash(node: Any, hashes: dict[str, str]) -> Any:
    """A report in which each name of a file of the data has become the sha256 of its bytes."""
    if isinstance(node, dict):
        return {
            key: [hashes[path] for path in value if path in hashes] if key == "evidence" else by_hash(value, hashes)
            for key, value in node.items()
            if key not in ("mistakes", "path")
        }
    if isinstance(node, list):
        return [by_hash(one, hashes) for one in node]
    if isinstance(node, str):
        return "".join(hashes.get(word, word) for word in ([node] if node in hashes else _BETWEEN_WORDS.split(node)))
    return node


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
