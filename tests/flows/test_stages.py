from pathlib import Path

import dvc.output
import pandas as pd
import pytest

from flows.stages import bring_up_to_date, run_step
from flows.workspaces import init
from tasks.contracts.errors import BadUsage, GraftError
from tasks.contracts.files import write_table
from tasks.contracts.workspace import Workspace
from tests.conftest import write_images


def made(folder: Path, evaluate: str) -> Workspace:
    """A workspace after quality, in which no later stage has run: train cannot get far."""
    ws = Workspace(folder)
    table = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(8)],
            "sha256": [f"{i:064x}" for i in range(8)],
            "split": ["train", "test"] * 4,
            "verdict": "keep",
            "group": None,
            "camera": ["NIKON D90", None] * 4,  # none of test has one
            "meta_site": "north",
        }
    )
    write_table(ws.checked, table)
    ws.params.write_text(f"evaluate: {evaluate}\n", encoding="utf-8")
    return ws


@pytest.mark.parametrize("stage", ["select", "train", "evaluate"])
@pytest.mark.parametrize(
    ("evaluate", "said"),
    [
        ("{attributes: [sex]}", "evaluate.attributes: no column sex in train and test; the columns are site"),
        ("{reference_groups: {sex: f}}", "evaluate.reference_groups: no column sex in train and test"),
        ("{attributes: [EXIF camera]}", "no column EXIF camera"),
    ],
)
def test_names_that_evaluate_would_refuse_are_refused_before_the_training(
    tmp_path: Path, stage: str, evaluate: str, said: str
) -> None:
    with pytest.raises(BadUsage, match=said):
        run_step(made(tmp_path, evaluate), stage)


def test_names_that_are_there_are_not_refused(tmp_path: Path) -> None:
    with pytest.raises(GraftError) as refused:
        run_step(made(tmp_path, "{attributes: [site], reference_groups: {site: north}}"), "train")
    assert "no column" not in str(refused.value)


def test_the_data_are_looked_at_once_before_a_stage_and_once_after(tmp_path: Path, monkeypatch) -> None:
    ws, looks, build = init(tmp_path / "flowers", write_images(tmp_path / "photos", 2)), [], dvc.output.build
    monkeypatch.setattr(dvc.output, "build", lambda *args, **kwargs: looks.append(args[1]) or build(*args, **kwargs))
    assert bring_up_to_date(ws, "ingest").action == "ran"
    assert looks.count(str(ws.raw)) == 2
    write_images(ws.raw, 1, seed=9)
    assert bring_up_to_date(ws, "ingest").action == "ran"
    looks.clear()
    assert bring_up_to_date(ws, "ingest").action == "skipped"
    assert looks.count(str(ws.raw)) == 1
