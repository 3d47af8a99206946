"""The audit as the card of a data set (README.md), with the front matter that Hugging Face reads.

Every value is text of strangers: in the front matter a quoted string, in the body Markdown that says just that.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tasks.contracts.records import SPLITS
from tasks.contracts.text import markdown, shortened
from tasks.exports.facts import DECLARED, SEVERITIES, Facts, in_words, not_measured

MOST_CLASSES, MOST_FINDINGS, MOST_LIMITS, LONGEST = 200, 100, 100, 2000
# The identifiers of the hub that a person is likely to have declared; another licence goes under its own name.
LICENCES = frozenset(
    (
        "afl-3.0",
        "agpl-3.0",
        "apache-2.0",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "cc",
        "cc-by-2.0",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-nc-4.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-4.0",
        "cc-by-nd-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc0-1.0",
        "cdla-permissive-2.0",
        "gpl-3.0",
        "mit",
        "odbl",
        "odc-by",
        "openrail",
        "pddl",
        "unlicense",
    )
)
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
LARGEST = "1M<n<10M"
_TAGS = ["graft", "audited"]
_WORDS = {"error": "Errors", "warn": "Warnings", "info": "Notes"}


def card(facts: Facts) -> str:
    """The whole README.md."""
    parts = [
        f"# {markdown(facts.name)}",
        f"Described by audit {facts.number} of {markdown(facts.created_at)}, made by graft from the files themselves.",
        f"Root hash: `{_hex(facts.root_sha256)}`",
        *_declared(facts),
        *_composition(facts),
        *_findings(facts),
        *_limits(facts),
    ]
    return f"---\n{front_matter(facts)}---\n\n" + "\n\n".join(parts) + "\n"


def is_card(text: str) -> bool:
    """Whether a README.md is one that graft made, as its tags say."""
    return text.startswith("---\n") and f"\ntags: {json.dumps(_TAGS)}\n" in text.partition("\n---\n")[0] + "\n"


def front_matter(facts: Facts) -> str:
    """YAML whose every value is JSON, which is YAML that nothing in a value can leave."""
    size = next((words for most, words in SIZES if facts.samples < most), LARGEST)
    entries: dict[str, Any] = {
        "pretty_name": facts.name,
        **_licence(facts.declared.get("licence", "")),
        "task_categories": ["image-classification"],
        "size_categories": [size],
        "tags": _TAGS,
    }
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in entries.items())


def _licence(text: str) -> dict[str, str]:
    known = text.strip().lower()
    if known in LICENCES:
        return {"license": known}
    name = re.sub(r"[^a-z0-9.]+", "-", known)[:60].strip("-.")
    return {"license": "other", "license_name": name} if name else {"license": "unknown"}


def _declared(facts: Facts) -> list[str]:
    lines = [f"- **{DECLARED[key]}:** {markdown(said, LONGEST)}" for key, said in facts.declared.items()]
    unsaid = f"Not declared: {', '.join(facts.unsaid)}." if facts.unsaid else ""
    return ["## What its owner declares", *(["\n".join(lines)] if lines else []), *([unsaid] if unsaid else [])]


def _composition(facts: Facts) -> list[str]:
    gate = "passed" if facts.gate["passed"] else "closed: the data are not fit to train on as they are"
    lines = ["## Composition", f"{facts.samples:,} images, {len(facts.classes):,} classes. The audit's gate is {gate}."]
    sizes = list(facts.split_sizes.items())
    if sizes:
        rows = ([label, *(str(counts.get(split, 0)) for split in SPLITS)] for label, counts in sizes[:MOST_CLASSES])
        lines.append(_table(("class", *SPLITS), rows))
    if len(sizes) > MOST_CLASSES:
        lines.append(f"{len(sizes) - MOST_CLASSES:,} more classes are in the audit's JSON.")
    return lines


def _findings(facts: Facts) -> list[str]:
    found = facts.findings
    lines = ["## What the audit found"]
    if not found:
        return [*lines, "Nothing, of what it could measure."]
    for severity in SEVERITIES:
        own = [one for one in found[:MOST_FINDINGS] if one["severity"] == severity]
        if own:
            lines += [f"### {_WORDS[severity]}", "\n".join(_finding(one) for one in own)]
    if len(found) > MOST_FINDINGS:
        lines.append(f"{len(found) - MOST_FINDINGS:,} more are in the audit's JSON.")
    return lines


def _finding(one: dict[str, Any]) -> str:
    remedy = f" What to do: {markdown(one['remedy'], LONGEST)}" if one["remedy"] else ""
    said = f"{markdown(one['message'], LONGEST)} {markdown(in_words(one['statistic']), LONGEST)}."
    return f"- **{markdown(one['check'])}** of {markdown(one['subject'])}: {said}{remedy}"


def _limits(facts: Facts) -> list[str]:
    unmeasured = not_measured(facts)
    lines = ["## Limits", "What could not be measured is not shown as absent."]
    if unmeasured:
        lines.append("\n".join(f"- {markdown(one, LONGEST)}" for one in unmeasured[:MOST_LIMITS]))
    if len(unmeasured) > MOST_LIMITS:
        lines.append(f"{len(unmeasured) - MOST_LIMITS:,} more are in the audit's JSON.")
    return lines


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *([markdown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _hex(text: str) -> str:
    """A hash as it is; what is none is not shown inside code, where nothing can be escaped."""
    return text if re.fullmatch(r"[0-9a-f]+", text) else shortened("".join(filter(str.isalnum, text)), 64)
