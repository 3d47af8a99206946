"""A new bundle against the champion, on the promotion split, both from the image files themselves."""

from pathlib import Path

import numpy as np
import pandas as pd

from tasks.contracts.files import read_table
from tasks.contracts.samples import usable
from tasks.contracts.workspace import Workspace
from tasks.predict.predict import predict_samples
from tasks.register.bundle import load_bundle
from tasks.register.promotion import Correct, Decision, decide


def compare(ws: Workspace, champion: Path, champion_data: Path, margin: float) -> Decision:
    """Predict the promotion split with `models/bundle` and with the bundle at `champion`, and apply the rule.

    `champion_data` is the checked table that the champion was made from: images not in it are new.
    """
    rows = usable(read_table(ws.checked), "promotion")
    if rows.empty:
        return Decision(False, "the promotion split is empty, so nothing can be compared")
    known = set(read_table(champion_data)["sha256"])
    is_new = np.array([digest not in known for digest in rows["sha256"]])
    ours, theirs = (_correct(bundle, ws.raw, rows) for bundle in (ws.bundle, champion))
    return decide(ours, theirs, is_new, margin)


def _correct(bundle: Path, raw: Path, rows: pd.DataFrame) -> Correct:
    found = predict_samples(load_bundle(bundle), raw, rows)
    return np.array([p.label == label for p, label in zip(found, rows["label"], strict=True)])
