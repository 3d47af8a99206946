"""What an audit's document says, as the exports need it: the only place here that knows how a document is laid out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tasks.contracts.errors import BrokenArtifact

Report = dict[str, Any]

SEVERITIES = ("error", "warn", "info")
DECLARED = {  # in the order in which a reader wants them
    "purpose": "Purpose",
    "out_of_scope": "Not to be used for",
    "population": "Population",
    "sources": "Sources",
    "period": "Period",
    "licence": "Licence",
    "consent": "Consent",
    "personal_data": "Personal data",
    "legal_basis": "Legal basis",
    "annotation": "Annotation",
    "assumptions": "Assumptions",
    "owner": "Owner",
}
MANIFEST = "data/checked.parquet"


@dataclass(frozen=True)
class Facts:
    """An audit: what it was about, what people declared, and the reports it holds.

    `unsaid` names what nobody declared; `counts` has the files found, kept, quarantined, and why.
    """

    number: int
    created_at: str
    root_sha256: str
    samples: int
    manifest_sha256: str
    declared: dict[str, str]
    unsaid: tuple[str, ...]
    counts: Report
    split_sizes: dict[str, dict[str, int]]  # label -> split -> kept images
    bias: Report
    gate: Report
    evaluation: Report | None

    @property
    def name(self) -> str:
        """What the data set is called, as nobody names it."""
        return f"Data set {self.root_sha256[:12]}"

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels."""
        return tuple(self.split_sizes)

    @property
    def findings(self) -> list[Report]:
        """Every finding about the data, the worst first."""
        found = [*self.bias["findings"], *self.gate["findings"]]
        return sorted(found, key=lambda finding: SEVERITIES.index(finding["severity"]))


def facts_of(document: Report) -> Facts:
    """The facts of an audit's document. Raises BrokenArtifact where it is none."""
    try:
        entry, subject, said = document["entry"], document["subject"], document["declared"]
        return Facts(
            number=entry["number"],
            created_at=entry["created_at"],
            root_sha256=subject["root_sha256"],
            samples=subject["samples"],
            manifest_sha256=subject["artifacts"][MANIFEST],
            declared={key: said[key] for key in DECLARED if said.get(key, "").strip()},
            unsaid=tuple(words.lower() for key, words in DECLARED.items() if not said.get(key, "").strip()),
            counts={key: subject[key] for key in ("found", "kept", "quarantined", "reasons")},
            split_sizes=subject["split_sizes"],
            bias=document["bias"],
            gate=document["gate"],
            evaluation=document["evaluation"],
        )
    except (KeyError, TypeError) as error:
        raise BrokenArtifact(f"this is no document of an audit (no {error}); `graft audit list` names them") from None


def statistics(facts: Facts) -> Iterator[tuple[str, Report]]:
    """(where it stands, statistic) of every number of the audit, in the documents' order."""
    for report in (facts.bias, facts.gate, facts.evaluation):
        if report is not None:
            yield from _statistics(report, report["report"])


def _statistics(data: Any, place: str) -> Iterator[tuple[str, Report]]:
    if isinstance(data, dict) and {"name", "value", "n", "status", "estimator"} <= set(data):
        yield place, data
    elif isinstance(data, dict):
        # a finding's statistic, a section's and a class's are found by these, not by their place in a list
        own = next((str(data[key]) for key in ("check", "label", "name") if key in data), "")
        for key, inner in data.items():
            yield from _statistics(inner, f"{place}/{own or key}")
    elif isinstance(data, list | tuple):
        for inner in data:
            yield from _statistics(inner, place)


def in_words(statistic: Report) -> str:
    """A number with what is needed to trust it, in words."""
    if statistic["value"] is None:
        return f"{statistic['name']}: {statistic['status'].replace('_', ' ')} (n = {statistic['n']})"
    said = [f"n = {statistic['n']}", statistic["estimator"]]
    if statistic.get("low") is not None and statistic.get("high") is not None:
        said.insert(0, f"95 % interval {statistic['low']:.4g} to {statistic['high']:.4g}")
    if statistic.get("p_value") is not None:
        said.append(f"p = {statistic['p_value']:.3g}")
    return f"{statistic['name']} = {statistic['value']:.4g} ({'; '.join(said)})"


def not_measured(facts: Facts) -> list[str]:
    """What could not be measured or was not examined, in words: it is not shown as absent."""
    lines = [
        in_words(one) + (f": {one['estimator']}" if one["estimator"] else "")
        for _, one in statistics(facts)
        if one["value"] is None
    ]
    lines += [
        f"{one['name']} was not examined: {one['why_not']}"
        for one in facts.bias.get("attributes", ())
        if one["why_not"]
    ]
    return list(dict.fromkeys(lines))
