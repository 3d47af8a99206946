"""The audit alone, without training: is this data fit to learn from?"""

from pathlib import Path

from prefect import flow

from flows.engine import Run, stage_task
from flows.stages import Outcome

ingest = stage_task("ingest")
quality = stage_task("quality")
bias = stage_task("bias")


@flow(name="audit", log_prints=False)
def audit(workspace: Path) -> list[Outcome]:
    """Bring ingest, quality and bias up to date."""
    run = Run(workspace)
    ingested = ingest(run)
    checked = quality(run, ingested)
    audited = bias(run, checked)
    return [ingested, checked, audited]
