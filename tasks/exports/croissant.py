"""The audit as a Croissant 1.0 description of the data set with its responsible-AI properties (JSON-LD).

It names the manifest by its hash and the images by their place below the data set's root; no path of a machine.
"""

import json
import re
from typing import Any

from tasks.contracts.records import SPLITS
from tasks.contracts.text import json_text, visible
from tasks.exports.facts import MANIFEST, Facts
from tasks.exports.responsible import responsible

Json = dict[str, Any]

CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
CONFORMS = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
MIME = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PPM": "image/x-portable-anymap"}  # others: image/ and the name
COLUMNS = {
    "sha256": "The hash of the image's bytes: its identity.",
    "path": "The image's path below data/raw.",
    "label": "The class.",
    "split": "train, val, promotion or test; empty for a file that was left out.",
    "verdict": "keep, warn or quarantine: what the quality checks made of it.",
}
_ADDRESS = re.compile(r"https?://[^\s\"<>]+")


def croissant(facts: Facts, formats: tuple[str, ...] = ()) -> str:
    """The description as JSON-LD; `formats` are Pillow's names of the images' formats, where they are known."""
    document = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS,
        "name": facts.name,
        "description": _description(facts),
        "datePublished": facts.created_at,
        "version": f"{facts.number}.0.0",
        "distribution": [_manifest(facts), _images(formats)],
        "recordSet": [_splits(), *([_labels(facts)] if facts.classes else []), _samples(facts)],
        **_licence(facts.declared.get("licence", "")),
        **_creator(facts.declared.get("owner", "")),
        **responsible(facts),
    }
    return json_text(json.dumps(_readable(document), indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def _description(facts: Facts) -> str:
    purpose = f" {facts.declared['purpose']}" if "purpose" in facts.declared else ""
    return (
        f"{facts.samples} images of {len(facts.classes)} classes, as of audit {facts.number} by graft "
        f"(root hash {facts.root_sha256}).{purpose}"
    )


def _licence(text: str) -> Json:
    """As an address only where it is a web address: what else is written there is a name, no link."""
    if not text:
        return {}
    return {"license": text if _ADDRESS.fullmatch(text) else {"@type": "CreativeWork", "name": text}}


def _creator(text: str) -> Json:
    return {"creator": {"@type": "Organization", "name": text}} if text else {}


def _manifest(facts: Facts) -> Json:
    return {
        "@type": "cr:FileObject",
        "@id": "manifest",
        "name": "manifest",
        "description": "One row for each file that was found.",
        "contentUrl": MANIFEST,
        "encodingFormat": "application/x-parquet",
        "sha256": facts.manifest_sha256,
    }


def _images(formats: tuple[str, ...]) -> Json:
    kinds = sorted({MIME.get(name, f"image/{name.lower()}") for name in formats})
    return {
        "@type": "cr:FileSet",
        "@id": "images",
        "name": "images",
        "description": "The image files; the manifest has the hash of each.",
        "encodingFormat": kinds or "application/octet-stream",
        "includes": "data/raw/**",
    }


def _samples(facts: Facts) -> Json:
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "description": "The manifest's rows.",
        "key": {"@id": "samples/path"},
        "field": [_field(facts, column, words) for column, words in COLUMNS.items()],
    }


def _field(facts: Facts, column: str, words: str) -> Json:
    enumerations = {"split": "splits", **({"label": "labels"} if facts.classes else {})}
    refers = {"references": {"field": {"@id": f"{enumerations[column]}/name"}}} if column in enumerations else {}
    return {
        "@type": "cr:Field",
        "@id": f"samples/{column}",
        "name": column,
        "description": words,
        "dataType": "sc:Text",
        "source": {"fileObject": {"@id": "manifest"}, "extract": {"column": column}},
        **refers,
    }


def _labels(facts: Facts) -> Json:
    return _enumeration("labels", "sc:Enumeration", "The classes, in order.", facts.classes)


def _splits() -> Json:
    return _enumeration("splits", "cr:Split", "Which images are learned from, chosen by, and tested on.", SPLITS)


def _enumeration(name: str, kind: str, words: str, values: tuple[str, ...]) -> Json:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": words,
        "dataType": kind,
        "key": {"@id": f"{name}/name"},
        "field": [{"@type": "cr:Field", "@id": f"{name}/name", "name": "name", "dataType": "sc:Text"}],
        "data": [{f"{name}/name": value} for value in values],
    }


def _readable(data: Any) -> Any:
    """Every text made visible, wherever it stands."""
    if isinstance(data, str):
        return visible(data)
    if isinstance(data, dict):
        return {key: _readable(value) for key, value in data.items()}
    return [_readable(value) for value in data] if isinstance(data, list | tuple) else data
