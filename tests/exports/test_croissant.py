import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tasks.exports.croissant import croissant
from tasks.exports.facts import facts_of
from tests.exports.documents import DECLARED, document, made_hostile
from tests.hostile import HOSTILE

TEXTS = tuple(HOSTILE.values())
MLCROISSANT = Path(sys.executable).with_name("mlcroissant")


def validate(text, folder):
    """What `mlcroissant validate` says of it."""
    path = folder / "croissant.json"
    path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [MLCROISSANT, "validate", "--jsonld", path], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def calm():
    return json.loads(croissant(facts_of(document()), ("JPEG", "PNG", "MPO")))


def test_mlcroissant_accepts_it(tmp_path):
    code, said = validate(croissant(facts_of(document()), ("JPEG", "PNG")), tmp_path)
    assert (code, "Done." in said) == (0, True), said
    assert [line for line in said.splitlines() if "@context" in line or "error" in line.lower()] == []


def test_mlcroissant_sees_a_broken_one(tmp_path, calm):
    calm = json.loads(json.dumps(calm))
    calm["recordSet"][2]["field"][0]["source"]["fileObject"]["@id"] = "elsewhere"
    assert validate(json.dumps(calm), tmp_path)[0] != 0


@pytest.mark.parametrize("shift", [0, 17])
def test_mlcroissant_accepts_hostile_text(shift, tmp_path):
    text = croissant(facts_of(made_hostile(document(), TEXTS, shift)), ("JPEG",))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text)
    code, said = validate(text, tmp_path)
    assert code == 0, said


def test_what_people_declared_is_in_the_responsible_properties(calm):
    assert calm["rai:dataCollection"] == (
        "Sources: scikit-image; Period: 2001-02-03 to 2004-05-06; Population: Fourteen well-known photographs."
    )
    assert calm["rai:dataCollectionTimeFrame"] == ["2001-02-03", "2004-05-06"]
    assert calm["rai:dataUseCases"] == ["Telling photographs apart."]
    assert calm["rai:personalSensitiveInformation"] == ["Personal data: One face.", "Legal basis: Public domain"]
    assert calm["rai:dataAnnotationProtocol"][0] == "Annotation: By file name, by one person."
    assert calm["rai:dataReleaseMaintenancePlan"] == "Answered for by R. Curator"


def test_what_was_measured_is_there_and_what_was_not_is_not_shown_as_absent(calm):
    (worst, *_) = calm["rai:dataBiases"]
    assert worst.startswith("[error] corner: The corners alone tell the class in 46.0 % of images")
    assert "95 % interval 0.396 to 0.525; n = 224" in worst
    limits = calm["rai:dataLimitations"]
    assert limits[0] == "Not to be used for: People."
    assert "Not measured, which is not the same as absent: cat x west: not measurable (n = 0): no image" in limits
    assert limits[-1] == "Not declared by the owner: consent"
    assert calm["rai:dataCollectionMissingData"] == "site: 12 images without a value"


def test_it_names_the_manifest_by_hash_and_no_place_on_this_machine(calm):
    manifest, images = calm["distribution"]
    assert manifest["sha256"] == "9a" * 32
    assert manifest["contentUrl"] == "data/checked.parquet"
    assert images["includes"] == "data/raw/**"
    assert images["encodingFormat"] == ["image/jpeg", "image/png"]
    assert not re.search(r'"/|file:|[A-Z]:\\\\', json.dumps(calm))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("https://example.org/licence", "https://example.org/licence"),
        ("javascript:alert(1)", {"@type": "CreativeWork", "name": "javascript:alert(1)"}),
        ("https://example.org/ javascript:x", {"@type": "CreativeWork", "name": "https://example.org/ javascript:x"}),
    ],
)
def test_only_a_web_address_is_a_link(said, expected):
    assert json.loads(croissant(facts_of(document(DECLARED | {"licence": said}))))["license"] == expected


def test_without_declarations_it_says_so(tmp_path):
    text = croissant(facts_of(document(dict.fromkeys(DECLARED, ""))))
    assert validate(text, tmp_path)[0] == 0
    bare = json.loads(text)
    assert {"license", "creator", "rai:dataUseCases", "rai:dataCollection"}.isdisjoint(bare)
    assert bare["rai:dataLimitations"][-1].startswith("Not declared by the owner: purpose, not to be used for")


def test_the_records_can_be_read(tmp_path):
    """By mlcroissant itself, from a folder that has the data where the description says."""
    (tmp_path / "data").mkdir()
    rows = {"sha256": ["aa"], "path": ["cat/1.jpg"], "label": ["cat"], "split": ["train"], "verdict": ["keep"]}
    pd.DataFrame(rows).to_parquet(tmp_path / "data/checked.parquet")
    text = json.loads(croissant(facts_of(document()), ("JPEG",)))
    text["distribution"][0]["sha256"] = hashlib.sha256((tmp_path / "data/checked.parquet").read_bytes()).hexdigest()
    (tmp_path / "croissant.json").write_text(json.dumps(text), encoding="utf-8")
    script = (
        "import sys, mlcroissant; d = mlcroissant.Dataset(sys.argv[1])\n"
        "print([{k: v.decode() for k, v in r.items()} for r in d.records('samples')])\n"
        "print([r['labels/name'] for r in d.records('labels')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "croissant.json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert "'samples/path': 'cat/1.jpg'" in done.stdout
    assert "astronaut" in done.stdout
