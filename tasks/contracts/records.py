"""The records that stages exchange, as frozen dataclasses, and their one way to and from JSON.

Stages meet here and in files; they never import each other's steps.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.text import json_text

SCHEMA_VERSION = 1

SPLITS = ("train", "val", "promotion", "test")
Split = Literal["train", "val", "promotion", "test"]
Severity = Literal["info", "warn", "error"]
Status = Literal["measured", "too_small", "not_measurable", "skipped"]


@dataclass(frozen=True)
class Statistic:
    """A number with what is needed to trust it.

    `low` and `high` bound a 95 % interval where the estimator has one. A value that could not be measured is
    None, with a status that says so: it is never shown as zero. `p_value` is there where a null was tested,
    corrected for multiple tests as `correction` says (where it is empty, as `estimator` says).
    """

    name: str
    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    status: Status = "measured"
    estimator: str = ""
    p_value: float | None = None
    correction: str = ""


@dataclass(frozen=True)
class Section:
    """One question that an audit asks, in words for a reader who is no engineer, and the numbers that answer it."""

    name: str
    question: str
    statistics: tuple[Statistic, ...]


@dataclass(frozen=True)
class Attribute:
    """A column that says something about images: its levels, images without a value, and why it was not examined.

    `values` are the levels as they are told, in their order: ranges of a number, the rarer values together.
    """

    name: str
    levels: int
    missing: int
    why_not: str = ""
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """Images of a label with a value of an attribute in a split; a cell that is not listed has none.

    `images` is None where the number is held back: it is below `bias.small_cell`, or would give another away.
    """

    label: str
    attribute: str
    value: str
    split: str
    images: int | None


@dataclass(frozen=True)
class Mitigation:
    """What is done against a bias: its kind (`overlay`, `association` ...), about what, and by which means.

    `transforms` are what training images are changed by, for `augmentation`; empty for `reweighing`.
    """

    kind: str
    subject: str
    means: str
    transforms: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class PatternMap:
    """Where in the picture a class's own traits lie: one number for each tile, row by row from the top left."""

    label: str
    what: str
    tiles: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Finding:
    """One detected problem: which check, how bad, about what, how sure, and what to do.

    `evidence` holds paths relative to `data/raw`, at most ten.
    """

    check: str
    severity: Severity
    subject: str
    statistic: Statistic
    message: str
    remedy: str = ""
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expectation:
    """One line of the data contract and whether the table meets it; `source` is `graft` or a place in contract.json."""

    expectation: str
    column: str
    rule: str
    success: bool
    unexpected: int
    examples: tuple[str, ...] = ()
    severity: Severity = "error"
    source: str = "graft"


@dataclass(frozen=True)
class QualityReport:
    """What `quality` says: `found == kept + quarantined`; `warned` of the kept carry a reason."""

    found: int
    kept: int
    warned: int
    quarantined: int
    reasons: dict[str, int]
    classes: tuple[str, ...]
    split_sizes: dict[str, dict[str, int]]  # label -> split -> kept images
    contract: tuple[Expectation, ...]
    findings: tuple[Finding, ...]
    label_check: tuple[Statistic, ...] = ()  # how far the search for wrong labels can be trusted
    report: str = "quality"
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class BiasReport:
    """What `bias` says: composition, association of label and metadata, shortcuts."""

    # label -> group value ("all" where no group is declared) -> images, None where the number is held back
    composition: dict[str, dict[str, int | None]]
    imbalance_ratio: Statistic
    associations: tuple[Statistic, ...]  # Cramer's V of the label with each metadata column
    shortcuts: tuple[Statistic, ...]
    findings: tuple[Finding, ...]
    attributes: tuple[Attribute, ...] = ()
    cells: tuple[Cell, ...] = ()
    sections: tuple[Section, ...] = ()
    maps: tuple[PatternMap, ...] = ()
    mitigations: tuple[Mitigation, ...] = ()
    report: str = "bias"
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Waiver:
    """A person's decision to go on in spite of a rule, until the day `expires` where there is one."""

    rule: str
    reason: str
    by: str
    expires: str = ""


@dataclass(frozen=True)
class GateRule:
    """One rule of the gate: what was measured, the limit, and whether it passed or was waived."""

    rule: str
    limit: float
    value: float | None
    passed: bool
    message: str
    waiver: Waiver | None = None


@dataclass(frozen=True)
class GateReport:
    """Whether the stages after the audit may start. A waived rule counts as passed."""

    passed: bool
    rules: tuple[GateRule, ...]
    set_by: str
    findings: tuple[Finding, ...] = ()
    set_on: str = ""
    report: str = "gate"
    schema_version: int = SCHEMA_VERSION


def to_json(record: Any) -> str:
    """A record as JSON: sorted keys, two spaces, one newline at the end; equal records give equal bytes.

    Raises ValueError on NaN or infinity.
    """
    return json_text(json.dumps(asdict(record), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """The report at `path` as plain data.

    Raises BrokenArtifact where it is missing, is not JSON or has another schema version.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BrokenArtifact(f"{path} is missing; run `graft run` to make it") from None
    except ValueError as error:
        raise BrokenArtifact(f"{path} is not JSON ({error}); run `graft run` to make it again") from None
    if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
        raise BrokenArtifact(f"{path} has not schema_version {SCHEMA_VERSION}; run `graft run` to make it again")
    return data


def leaves(values: Any, above: str = "") -> dict[str, Any]:
    """Nested settings by their whole names: {"a": {"b": 1}} is {"a.b": 1}; an empty mapping is a leaf."""
    if not isinstance(values, dict) or not values:
        return {above: values}
    return {k: v for key, value in values.items() for k, v in leaves(value, f"{above}.{key}".lstrip(".")).items()}
