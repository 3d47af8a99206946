"""What a photograph says of its owner and its place stays in the photograph, from the scan to the last export."""

import base64
import gzip
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator
from PIL import ExifTags, Image, PngImagePlugin, TiffImagePlugin

from flows.workspaces import init
from tasks.audit.document import draft
from tasks.audit.ledger import document, enter, find_entry
from tasks.contracts.params_file import load_params, override
from tasks.contracts.workspace import Workspace
from tasks.exports.schema import COMMITTED
from tasks.exports.write import write_exports
from tasks.report.page import write_page
from tests.conftest import CLASSES, draw, write_images
from tests.flows.conftest import SETTINGS, commit, run_stages

SECRETS = ("Quilvane", "quilvane@", "0099887766", "SN-4711-XQ", "Zennor Cove")
PLACES = ("50.1934", "50.1989", "-5.5667", "5612.345")
PLACE = {1: "N", 2: (50.0, 11.0, 5612.345 / 100), 3: "W", 4: (5.0, 34.0, 0.12), 29: "2024:05:06"}
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><o>Hedwig Quilvane</o><p>50.1934,-5.5667</p></x:xmpmeta>"
KEPT_APART = ("data/raw", ".dvc/cache", ".git")  # the files themselves, and the copies that DVC and git keep of them
pytestmark = pytest.mark.slow


def exif():
    """A block such as a camera with a talkative owner writes."""
    block = Image.Exif()
    block[ExifTags.Base.Make] = "Testcam"
    block[ExifTags.Base.Model] = "T1 0099887766 quilvane@example.org"
    block[ExifTags.Base.Artist] = block[ExifTags.Base.Copyright] = "Hedwig Quilvane"
    block[ExifTags.Base.ImageDescription] = "Zennor Cove, at home with Quilvane"
    block[ExifTags.Base.HostComputer] = "Quilvane's laptop"
    inner = block.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.CameraOwnerName] = "Hedwig Quilvane"
    inner[ExifTags.Base.BodySerialNumber] = inner[ExifTags.Base.LensSerialNumber] = "SN-4711-XQ"
    inner[ExifTags.Base.UserComment] = b"ASCII\0\0\0Quilvane at 50.1934,-5.5667"
    inner[ExifTags.Base.MakerNote] = b"Testcam SN-4711-XQ Quilvane"
    rational = TiffImagePlugin.IFDRational
    gps = {tag: tuple(map(rational, v)) if isinstance(v, tuple) else v for tag, v in PLACE.items()}
    block.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    return block


def plant(folder):
    """Talkative photographs in each class: JPEG with EXIF, XMP and a comment, PNG with text."""
    rng, text = np.random.default_rng(5), PngImagePlugin.PngInfo()
    for key in ("Author", "Location", "Comment"):
        text.add_itxt(key, "Hedwig Quilvane, Zennor Cove, 50.1934,-5.5667")
    for label in CLASSES:
        for i in range(4):
            picture = Image.fromarray(draw(label, rng))
            picture.save(folder / label / f"told_{i}.jpg", exif=exif(), xmp=XMP, comment=b"Quilvane", quality=95)
            Image.fromarray(draw(label, rng)).save(folder / label / f"told_{i}.png", pnginfo=text, exif=exif())
    return folder


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A workspace after every stage, an audit, the page and the exports."""
    place = tmp_path_factory.mktemp("told")
    ws = init(place / "ws", plant(write_images(place / "photos", 40)))
    override(ws.params, SETTINGS)
    commit(ws, "data")
    run_stages(ws)
    enter(ws, *draft(ws, load_params(ws.params)))
    write_page(ws)
    write_exports(ws, document(ws, find_entry(ws)), ws.root / "out")
    return ws


def written(ws):
    """Every file that graft wrote, as it is and as whoever opens it sees it: (name, bytes)."""
    for path in sorted(ws.root.rglob("*")):
        name = path.relative_to(ws.root).as_posix()
        if path.is_symlink() or not path.is_file() or name.startswith(KEPT_APART):
            continue
        data = path.read_bytes()
        yield name, data
        if path.suffix == ".parquet":
            yield name, pd.read_parquet(path).to_csv().encode()
        if path.suffix == ".gz":
            yield name, gzip.decompress(data)


def pictures(ws):
    """Every picture that left the data: files, and those within pages."""
    for name, data in written(ws):
        if name.endswith((".jpg", ".png")):
            yield name, data
        if name.endswith(".html"):
            for found in re.findall(rb"data:image/[a-z]+;base64,([A-Za-z0-9+/=]+)", data):
                yield name, base64.b64decode(found)


def test_the_photographs_do_say_it(told):
    """Otherwise nothing was put to the test."""
    with Image.open(told.raw / "circles" / "told_0.jpg") as photograph:
        assert photograph.getexif().get_ifd(ExifTags.IFD.GPSInfo)[4][0] == 5
    data = (told.raw / "circles" / "told_0.jpg").read_bytes()
    assert [secret for secret in SECRETS if secret.encode() in data] == list(SECRETS)
    checked = pd.read_parquet(told.checked)
    assert checked["has_location"].sum() == 24  # it is known that they say a place, not which


def test_no_file_that_graft_wrote_says_whose_or_where(told):
    files = list(written(told))
    names = {name for name, _ in files}
    assert {"reports/index.html", "reports/bias.json", "models/bundle/bundle.json", "out/croissant.json"} <= names
    assert [(name, secret) for name, data in files for secret in SECRETS + PLACES if secret.encode() in data] == []
    utf_16 = [
        (name, secret) for name, data in files for secret in SECRETS + PLACES if secret.encode("utf-16-le") in data
    ]
    assert utf_16 == []


def test_no_picture_that_left_has_metadata(told):
    seen = 0
    for name, data in pictures(told):
        if name.startswith("models/bundle/golden/"):  # drawn, and turned by EXIF on purpose
            continue
        picture, seen = Image.open(io.BytesIO(data)), seen + 1
        assert (dict(picture.getexif()), name) == ({}, name)
        assert not {"exif", "xmp", "comment", "Author", "Comment"} & set(picture.info), name
    assert seen > 3


def test_the_reports_of_a_real_run_follow_our_schema(told):
    validator = Draft202012Validator(json.loads(COMMITTED.read_text(encoding="utf-8")))
    reports = [told.quality, told.bias, told.gate, told.evaluation, *told.root.glob("reports/audits/0*.json")]
    assert len(reports) == 5
    for path in reports:
        found = [error.message for error in validator.iter_errors(json.loads(path.read_text(encoding="utf-8")))]
        assert found == [], path


def test_the_exports_of_a_real_run(told, tmp_path):
    out = told.root / "out"
    assert {path.name for path in out.iterdir()} == {
        "README.md",
        "croissant.json",
        "groups.csv",
        "statistics.csv",
        COMMITTED.name,
    }
    text = "".join(path.read_text(encoding="utf-8") for path in out.iterdir())
    assert str(told.root) not in text
    described = json.loads((out / "croissant.json").read_text(encoding="utf-8"))
    assert described["distribution"][1]["encodingFormat"] == ["image/jpeg", "image/png"]
    shutil.copy(out / "croissant.json", told.root / "croissant.json")
    script = "import sys, mlcroissant as m; print(sum(1 for _ in m.Dataset(sys.argv[1]).records('samples')))"
    read = subprocess.run(
        [sys.executable, "-c", script, told.root / "croissant.json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert read.stdout.strip() == str(len(pd.read_parquet(told.checked))), read.stderr


def test_equal_documents_give_equal_bytes(told, tmp_path):
    again = write_exports(told, document(told, find_entry(told)), tmp_path)
    assert [path.read_bytes() for path in again] == [(told.root / "out" / path.name).read_bytes() for path in again]


def test_a_manifest_of_another_time_says_nothing_about_formats(told, tmp_path):
    old = document(told, find_entry(told))
    old["subject"]["artifacts"]["data/checked.parquet"] = "0" * 64
    write_exports(Workspace(Path(told.root)), old, tmp_path)
    images = json.loads((tmp_path / "croissant.json").read_text(encoding="utf-8"))["distribution"][1]
    assert images["encodingFormat"] == "application/octet-stream"
