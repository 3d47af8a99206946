"""The model card of a bundle (README.md), with the front matter that Hugging Face reads.

Labels, findings and licences are text of strangers: in the front matter quoted strings, in the body code spans.
"""

import json
from typing import Any

from tasks.contracts.errors import one_line
from tasks.contracts.model_records import BundleRecord
from tasks.contracts.text import shortened, visible
from tasks.exports.card import LICENCES

MOST_CLASSES, MOST_FINDINGS = 200, 100
_TASK = {"type": "image-classification", "name": "Image classification"}
_HUB_NAMES = {"bsd-3-clause": "bsd-3-clause", "cc-by-nc-4.0 (swag)": "cc-by-nc-4.0"}


def card(record: BundleRecord) -> str:
    """What a person who finds this folder needs to know, in Markdown under YAML."""
    model, accuracy = record.model, record.test_accuracy
    backbone = model["backbone"]
    classes, found = model["classes"], record.findings
    named = ", ".join(_inert(c) for c in classes[:MOST_CLASSES]) + ", ..." * (len(classes) > MOST_CLASSES)
    findings = "".join(f"- {f.severity}: {_inert(f.message)}\n" for f in found[:MOST_FINDINGS]) or "- none\n"
    if len(found) > MOST_FINDINGS:
        findings += f"- {len(found) - MOST_FINDINGS:,} more in `reports/`\n"
    files = "".join(f"- `{path}`: sha256 `{digest}`\n" for path, digest in sorted(record.data.items()))
    root = f"- all samples with label and split: sha256 `{record.data_root_sha256}`\n" * bool(record.data_root_sha256)
    origin = record.backbone
    return (
        f"---\n{front_matter(record)}---\n\n"
        f"# Image classifier\n\n"
        f"{len(classes)} classes: {named}.\n\n"
        f"- Test accuracy {_percent(accuracy.value)} (95 % interval {_percent(accuracy.low)} to "
        f"{_percent(accuracy.high)}, {accuracy.n} images)\n"
        f"- Backbone `{backbone['name']}` ({backbone['source']}), weights sha256 `{backbone['weights_sha256']}`\n"
        f"- The backbone was made from {_inert(origin.get('data', 'not said'))}; "
        f"its licence: {_inert(origin.get('licence', 'not said'))}\n"
        f"- Strategy {model['strategy']}, {model['train_images']} training images, seed {model['seed']}\n"
        f"- Input: upright, centre-cropped to {model['prepared_px']} px, resized to {backbone['input_px']} px, RGB\n\n"
        f"`graft predict` checks every file and the golden samples before it answers.\n\n"
        f"## Findings of the checks\n\n{findings}\n## Made from\n\n{root}{files}"
    )


def front_matter(record: BundleRecord) -> str:
    """YAML whose every value is JSON, which is YAML that nothing in a value can leave."""
    entries: dict[str, Any] = {
        **_licence(record.backbone.get("licence", "")),
        "library_name": "graft",
        "pipeline_tag": "image-classification",
        "tags": ["graft", "image-classification", "transfer-learning"],
        "metrics": ["accuracy"],
        "model-index": _results(record),
    }
    lines = (f"{key}: {json.dumps(value, ensure_ascii=True)}\n" for key, value in entries.items() if value)
    return "".join(lines)


def _results(record: BundleRecord) -> list[dict[str, Any]]:
    """What was measured; nothing where the accuracy could not be."""
    if record.test_accuracy.value is None:
        return []
    data = {"type": "image-folder", "name": f"sha256 {record.data_root_sha256 or 'not said'}", "split": "test"}
    metric = {"type": "accuracy", "value": round(record.test_accuracy.value, 6), "name": "Test accuracy"}
    return [{"name": "graft-model", "results": [{"task": _TASK, "dataset": data, "metrics": [metric]}]}]


def _licence(text: str) -> dict[str, str]:
    """That of the backbone, for the weights come from it; the hub wants a name from its list or `other`."""
    known = text.partition(",")[0].strip().lower()
    known = _HUB_NAMES.get(known, known)
    if known in LICENCES:
        return {"license": known}
    return {"license": "other", "license_name": "see-backbone"} if known not in ("", "not said", "none") else {}


def _percent(share: float | None) -> str:
    return "not measured" if share is None else f"{100 * share:.1f} %"


def _inert(text: str) -> str:
    """A data value that Markdown shows as it is: no markup, no link, no line break."""
    code = visible(one_line(shortened(text))).replace("`", "'")
    return f"`{code or ' '}`"
