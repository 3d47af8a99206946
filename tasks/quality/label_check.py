"""The label check on a workspace: which images it sees, and what it leaves behind."""

from dataclasses import dataclass, replace

import pandas as pd

from tasks.contracts.files import replacing, write_table
from tasks.contracts.prepared import Store
from tasks.contracts.records import Finding, Statistic
from tasks.contracts.workspace import Workspace
from tasks.quality.label_errors import LabelCheck, embed, find_label_errors, suspects_table
from tasks.quality.suspects import label_findings, shown, suspect_sheet


@dataclass(frozen=True)
class Labels:
    """What was found, and the rows that were looked at: in the order of their content, so names decide nothing."""

    check: LabelCheck
    rows: pd.DataFrame

    @property
    def reasons(self) -> dict[int, str]:
        """Index label -> `suspect_label`."""
        return {int(self.rows.index[one.row]): "suspect_label" for one in self.check.suspects}

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """How far the check can be trusted."""
        return (self.check.accuracy, self.check.noise, self.check.precision, *self.check.recalls)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What to say of the labels."""
        return label_findings(self.check, self.rows["path"].tolist())


def check_labels(ws: Workspace, kept: pd.DataFrame, store: Store, seed: int) -> Labels:
    """Look for wrong labels among the `kept` rows; where a person has ruled on an image, its label is not suspect."""
    rows = kept.sort_values(["sha256", "path"])
    features = embed(store.pixels_of(rows["sha256"]), rows["sha256"].tolist(), ws.cache)
    check = find_label_errors(features, rows["label"].tolist(), rows["component"].tolist(), seed)
    ruled = rows["decision"].notna().to_numpy()
    return Labels(replace(check, suspects=tuple(one for one in check.suspects if not ruled[one.row])), rows)


def write_labels(ws: Workspace, labels: Labels, store: Store) -> None:
    """Write `reports/label_errors.parquet` and the contact sheet."""
    check, rows = labels.check, labels.rows
    pictures = shown(check, store.pixels_of(rows["sha256"]), rows["sha256"].tolist())
    write_table(ws.label_errors, suspects_table(check, rows))
    with replacing(ws.suspects) as part:
        part.write_bytes(suspect_sheet(pictures, len(check.suspects)))
