"""The register stage: the candidate as a bundle. Its version and the champion are git tags, written after the run."""

from typing import Any

from tasks.bias.gate import require_open
from tasks.contracts.files import read_table, sha256_of
from tasks.contracts.model_records import BundleRecord
from tasks.contracts.params import RegisterParams
from tasks.contracts.records import Finding, Statistic, read_json
from tasks.contracts.workspace import Workspace
from tasks.register import provenance
from tasks.register.bundle import write_bundle
from tasks.train.model import RECORD

VERSION = 3


def run(ws: Workspace, params: RegisterParams, seed: int) -> BundleRecord:  # noqa: ARG001
    """Write `models/bundle`.

    Raises GateRefused, or BrokenArtifact where a report that belongs in the bundle is missing.
    """
    require_open(ws.gate)
    model = read_json(ws.candidate / RECORD)
    evaluation = read_json(ws.evaluation)
    sources = (ws.checked, ws.quality, ws.bias, ws.gate, ws.selection, ws.evaluation)
    reports = [read_json(path) for path in sources[1:]]
    record = BundleRecord(
        model=model,
        preprocessing=provenance.preprocessing(model),
        test_accuracy=Statistic(**evaluation["candidate"]["accuracy"]),
        data={path.relative_to(ws.root).as_posix(): sha256_of(path) for path in sources},
        findings=tuple(_finding(f) for report in reports for f in report["findings"]),
        inputs=provenance.input_contract(model),
        backbone=provenance.backbone_origin(model, ws.root),
        data_root_sha256=provenance.data_root(read_table(ws.checked)),
        params=provenance.settings(ws.params),
        environment=provenance.environment(),
    )
    return write_bundle(ws.bundle, ws.candidate, ws.calibration, record, sources[1:])


def _finding(data: dict[str, Any]) -> Finding:
    return Finding(**{**data, "statistic": Statistic(**data["statistic"]), "evidence": tuple(data["evidence"])})
