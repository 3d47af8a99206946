"""The numbers of the latest audit made anew beside the workspace, and held against what its document says."""

import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from flows.stages import STEPS, only_run, run_step
from tasks.audit.document import by_hash
from tasks.audit.ledger import document, find_entry
from tasks.contracts.files import read_table
from tasks.contracts.params_file import load_params
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace

RELATIVE = 1e-6  # another processor or library may round the last digits otherwise


def recompute(ws: Workspace) -> list[str]:
    """Run the stage `bias` on what the workspace holds and name what comes out otherwise than the audit says."""
    audit = document(ws, find_entry(ws))
    if problem := _other_terms(ws, audit):
        return [f"the numbers cannot be made again: {problem}"]
    with only_run(ws), TemporaryDirectory(dir=ws.private) as folder:
        other = _beside(ws, Path(folder))
        run_step(other, "bias")
        checked = read_table(ws.checked)
        hashes = dict(zip(checked["path"], checked["sha256"].fillna(""), strict=True))
        made = {"bias": by_hash(read_json(other.bias), hashes), "gate": by_hash(read_json(other.gate), hashes)}
    return [f"made again, {line}" for name in made for line in unlike(audit[name], made[name], name)]


def unlike(said: Any, made: Any, where: str) -> Iterator[str]:
    """Each place where two reports differ by more than rounding."""
    if isinstance(said, dict) and isinstance(made, dict) and said.keys() == made.keys():
        for key in said:
            yield from unlike(said[key], made[key], f"{where}.{key}")
    elif isinstance(said, list) and isinstance(made, list) and len(said) == len(made):
        for at, pair in enumerate(zip(said, made, strict=True)):
            yield from unlike(*pair, f"{where}[{at}]")
    elif isinstance(said, float) and isinstance(made, float):
        if not math.isclose(said, made, rel_tol=RELATIVE, abs_tol=RELATIVE):
            yield f"{where} is {made:.6g}, not {said:.6g}"
    elif said != made:
        yield f"{where} is {str(made)[:80]}, not {str(said)[:80]}"


def _other_terms(ws: Workspace, audit: dict[str, Any]) -> str:
    """Why the stage would not do the same work."""
    if missing := [place for place in _inputs(ws) if not (ws.root / place).exists()]:
        return f"{', '.join(missing)} missing here; `dvc pull` brings what was pushed"
    params = load_params(ws.params).model_dump(mode="json", by_alias=True)
    if other := [key for key in ("seed", "bias") if params[key] != audit["params"][key]]:
        return f"params.yaml has another {' and '.join(other)} than the audit"
    made, said = importlib.import_module(STEPS["bias"]).VERSION, audit["tool"]["results"]["bias"]
    return "" if made == said else f"this graft makes version {made} of the results of bias, the audit has {said}"


def _inputs(ws: Workspace) -> list[str]:
    pipeline = YAML(typ="safe").load((ws.root / "dvc.yaml").read_text(encoding="utf-8"))
    return [*pipeline["stages"]["bias"]["deps"], "data/raw"]


def _beside(ws: Workspace, folder: Path) -> Workspace:
    """A workspace whose inputs are links to the real one's and whose outputs are its own."""
    prepared = ws.prepared.relative_to(ws.root).as_posix()
    ws.prepared.mkdir(parents=True, exist_ok=True)  # a clone has none; nothing can be made below a dangling link
    for place in (*_inputs(ws), "params.yaml", prepared):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).symlink_to(ws.root / place)
    return Workspace(folder)
