"""The whole pipeline as one Prefect flow: from a folder of images to a bundle that can be registered."""

from pathlib import Path

from prefect import flow

from flows.engine import Run, stage_task
from flows.stages import Outcome

ingest = stage_task("ingest")
quality = stage_task("quality")
bias = stage_task("bias")
augment = stage_task("augment")
select = stage_task("select")
train = stage_task("train")
evaluate = stage_task("evaluate")
register = stage_task("register")


@flow(name="pipeline", log_prints=False)
def pipeline(workspace: Path, until: str = "register", force: str | None = None) -> list[Outcome]:
    """Bring every stage up to `until` up to date; `force` names one that runs even if it is fresh."""
    run = Run(workspace, until, force)
    ingested = ingest(run)
    checked = quality(run, ingested)
    audited = bias(run, checked)
    augmented = augment(run, audited)
    selected = select(run, audited)
    trained = train(run, augmented, selected)
    evaluated = evaluate(run, trained)
    registered = register(run, evaluated)
    return [ingested, checked, audited, augmented, selected, trained, evaluated, registered]
