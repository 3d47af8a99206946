"""A bundle that cannot be misused: whatever is altered, with the list of files made to fit or not, is refused."""

import json
import os
import pickle  # noqa: TID251 - to show that it is never read
import shutil
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image

from flows import cli
from tasks.calibrate.calibration import save_calibration
from tasks.contracts.errors import BrokenArtifact
from tasks.register.bundle import load_bundle
from tasks.register.contents import list_files
from tests.register.conftest import calibration

RECORD, WEIGHTS, LOGITS = "bundle.json", "weights.safetensors", "golden/logits.json"


def edit(bundle, place, change):
    """Change a JSON file of a bundle, and the list of files so that every hash fits again."""
    path = bundle / place
    data = json.loads(path.read_text())
    path.write_text(json.dumps(change(data) or data))
    relist(bundle)


def relist(bundle):
    record = json.loads((bundle / RECORD).read_text())
    record["files"] = list_files(bundle)
    (bundle / RECORD).write_text(json.dumps(record))


def refused(bundle, says):
    with pytest.raises(BrokenArtifact, match=says) as caught:
        load_bundle(bundle)
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)


def test_a_bundle_is_complete(sound):
    loaded = load_bundle(sound)
    record = loaded.record
    assert loaded.classes == ("circles", "crosses", "stripes")
    assert set(record["files"]) == {
        p.relative_to(sound).as_posix() for p in sound.rglob("*") if p.is_file() and p.name != RECORD
    }
    assert {"weights.safetensors", "README.md", LOGITS, "reports/evaluation.json"} <= set(record["files"])
    assert record["inputs"]["formats"] == ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"]
    assert record["backbone"]["licence"] == "Apache-2.0, with graft"
    assert {"torch", "simplejpeg", "opencv-python-headless"} <= set(record["environment"])


def test_its_root_hash_is_the_one_of_an_audit_of_the_same_data(sound, two_versions):
    from tasks.audit.subject import examine
    from tasks.contracts.files import read_table

    quality = {"found": 24, "kept": 24, "quarantined": 0, "reasons": {}, "split_sizes": {}}
    subject = examine(two_versions, read_table(two_versions.checked), quality).subject
    assert load_bundle(sound).record["data_root_sha256"] == subject.root_sha256


def test_the_stage_writes_equal_bytes_again(two_versions, tmp_path):
    from flows.stages import run_step
    from tasks.contracts.workspace import Workspace

    ws = Workspace(shutil.copytree(two_versions.root, tmp_path / "again", symlinks=True))
    before = list_files(ws.bundle), (ws.bundle / RECORD).read_bytes()
    run_step(ws, "register")
    assert (list_files(ws.bundle), (ws.bundle / RECORD).read_bytes()) == before


def test_a_calibration_is_part_of_it(two_versions, tmp_path):
    from flows.stages import run_step
    from tasks.contracts.workspace import Workspace

    ws = Workspace(shutil.copytree(two_versions.root, tmp_path / "calibrated", symlinks=True))
    warm = calibration()
    save_calibration(ws.calibration, replace(warm, record=replace(warm.record, temperature=1.5)))
    run_step(ws, "register")
    found = load_bundle(ws.bundle)
    assert found.calibration.record.temperature == 1.5
    assert {"calibration/calibration.json", "calibration/calibration.safetensors"} <= set(found.record["files"])
    (ws.bundle / "calibration" / "calibration.json").write_text('{"temperature": 0.1}')
    refused(ws.bundle, r"calibration/calibration\.json has other bytes")


def test_the_card_has_metadata_that_the_hub_reads(sound):
    data = ModelCard.load(sound / "README.md").data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "graft", "image-classification")
    assert (data.eval_results[0].metric_type, data.eval_results[0].metric_value) == ("accuracy", 0.7)


@pytest.mark.parametrize("place", ["weights.safetensors", "README.md", "golden/wide.png", "reports/bias.json"])
def test_one_flipped_byte_is_named(bundle, place):
    data = bytearray((bundle / place).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / place).write_bytes(data)
    refused(bundle, f"{place} has other bytes")


@pytest.mark.parametrize("place", ["weights.safetensors", "golden/tall.png", "golden/logits.json", "reports/gate.json"])
def test_a_missing_file_is_named(bundle, place):
    (bundle / place).unlink()
    refused(bundle, f"{place} is missing")


def test_a_missing_record_is_named(bundle):
    (bundle / RECORD).unlink()
    refused(bundle, r"bundle\.json is missing")


@pytest.mark.parametrize("place", ["extra.json", ".github/workflows/x.yml", "golden/more.png", "model.pt", "a b.json"])
def test_an_extra_file_is_named(bundle, place):
    (bundle / place).parent.mkdir(parents=True, exist_ok=True)
    (bundle / place).write_text("{}")
    refused(bundle, r"is not on the list|no file that a bundle has")


@pytest.mark.parametrize("kind", ["symlink", "pipe", "folder link"])
def test_what_is_no_file_is_refused(bundle, kind, tmp_path):
    if kind == "pipe":
        os.mkfifo(bundle / "reports" / "more.json")
    elif kind == "symlink":
        (bundle / "README.md").rename(tmp_path / "README.md")
        (bundle / "README.md").symlink_to(tmp_path / "README.md")
    else:
        (bundle / "more").symlink_to(tmp_path)
    refused(bundle, "is a link or a device")


@pytest.mark.parametrize("place", ["../x.json", "/etc/passwd", "a/../../b.json", "a\\b.json", "\u202ex.json", ""])
def test_a_list_that_names_what_is_outside_is_refused(bundle, place):
    edit_list = json.loads((bundle / RECORD).read_text())
    edit_list["files"][place] = "ab" * 32
    (bundle / RECORD).write_text(json.dumps(edit_list))
    refused(bundle, "no file that a bundle has")


def swap(record):
    classes = record["model"]["classes"]
    classes[0], classes[1] = classes[1], classes[0]


def shift(part, name, by):
    def change(record):
        record["model"]["backbone"][name][part] += by
        record["inputs"][name][part] += by

    return change


def narrower(record):
    for values, key in ((record["preprocessing"], "prepared_px"), (record["inputs"], "prepared_px")):
        values[key] -= 1
    record["model"]["prepared_px"] -= 1


def smaller_input(record):
    for values in (record["preprocessing"], record["inputs"], record["model"]["backbone"]):
        values["input_px"] = 48


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (swap, "its labels, its mean or std"),
        (lambda r: r["model"]["classes"].reverse(), "its labels, its mean or std"),
        (shift(0, "mean", 0.002), "its labels, its mean or std"),
        (shift(2, "mean", -0.01), "its labels, its mean or std"),
        (shift(1, "std", 0.005), "its labels, its mean or std"),
        (narrower, "its preprocessing or the decoder changed"),
        (smaller_input, "its labels, its mean or std"),
        (lambda r: r["model"]["classes"].__setitem__(0, "tulip"), "among other classes"),
        (lambda r: r["model"]["backbone"]["mean"].__setitem__(0, 0.1), "not what its model takes"),
        (lambda r: r["inputs"].update(colour="BGR"), "not what its model takes"),
        (lambda r: r["model"].update(feature_stages=1), "does not fit"),
        (lambda r: r["model"].update(head="mlp"), "does not fit"),
        (lambda r: r["model"]["classes"].append("more"), "does not fit"),
        (lambda r: r["model"]["classes"].append("circles"), "make no sense"),
        (lambda r: r["preprocessing"].update(prepared_px="64"), "make no sense"),
        (lambda r: r["preprocessing"].update(prepared_px=10**9), "make no sense"),
        (lambda r: r.pop("files"), "not of this graft's form"),
        (lambda r: r.pop("inputs"), "not of this graft's form"),
        (lambda r: r["model"].pop("backbone"), "not of this graft's form"),
        (lambda r: r["model"]["backbone"].update(network="resnet50"), "does not fit"),
        (lambda r: r["model"]["backbone"].update(mean=[0.5]), "not what its model takes"),
    ],
)
def test_an_edited_record_is_refused_though_every_hash_fits(bundle, change, says):
    record = json.loads((bundle / RECORD).read_text())
    change(record)
    (bundle / RECORD).write_text(json.dumps(record))
    refused(bundle, says)


def rewritten(bundle, picture):
    """Store a golden sample anew, with fitting hashes."""
    for path in bundle.glob("golden/*.png"):
        with Image.open(path) as image:
            image.load()
            picture(path, image)
    relist(bundle)


def swapped_channels(path, image):
    if image.mode == "RGB":
        Image.fromarray(np.asarray(image)[..., ::-1].copy()).save(path, exif=image.getexif())


def orientation_ignored(path, image):
    if image.getexif().get(0x0112, 1) != 1:
        Image.fromarray(np.asarray(image)).save(path)


def squashed(path, image):
    side = min(image.size)
    if image.mode == "RGB" and image.getexif().get(0x0112, 1) == 1:
        image.resize((side, side)).save(path)


@pytest.mark.parametrize("mistake", [swapped_channels, orientation_ignored, squashed])
def test_pixels_that_come_out_otherwise_are_noticed(bundle, mistake):
    """Not the file is what would be wrong in life, but the decoder; the network sees the same pixels."""
    rewritten(bundle, mistake)
    refused(bundle, "preprocessing or the decoder changed")


def test_a_resize_without_antialiasing_is_noticed(bundle, monkeypatch):
    import cv2

    from tasks.contracts import images

    monkeypatch.setattr(
        images, "_resized", lambda picture, width, height: cv2.resize(picture, (width, height), None, 0, 0, 0)
    )
    refused(bundle, "preprocessing or the decoder changed")


@pytest.mark.parametrize(
    ("place", "change", "says"),
    [
        (LOGITS, lambda rows: rows[0]["logits"].update(circles=99.0), "its labels"),
        (LOGITS, lambda rows: rows.clear(), "records no golden sample"),
        (LOGITS, lambda _: {"a": 1}, "no record of golden samples"),
        (LOGITS, lambda rows: rows[0].update(file="../../x.png"), "golden"),
        (LOGITS, lambda rows: rows[0]["logits"].update(circles="0.1"), "records no golden sample"),
    ],
)
def test_golden_samples_that_were_edited_are_refused(bundle, place, change, says):
    edit(bundle, place, change)
    refused(bundle, says)


def packed(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(begin, end, shape=(2,), kind="F32"):
    return {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}


HOSTILE = {
    "cut": b"abc",
    "empty": b"",
    "huge header": struct.pack("<Q", 2**62) + b"{}",
    "long header": struct.pack("<Q", 50_000_000) + b"{}",
    "no JSON": packed(b"{" * 50),
    "deep JSON": packed(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "overlapping": packed({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)),
    "over-long": packed({"a": entry(0, 1 << 40, (1 << 38,))}, bytes(8)),
    "twice": packed(b'{"a":%b,"a":%b}' % ((json.dumps(entry(0, 8)).encode(),) * 2), bytes(8)),
    "overflowing shape": packed({"a": entry(0, 8, (1 << 40, 1 << 40))}, bytes(8)),
    "100,000 tensors": packed({f"t{i}": entry(0, 0, (0,)) for i in range(100_000)}),
    "none": packed({}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_weights_are_one_error(bundle, name):
    (bundle / WEIGHTS).write_bytes(HOSTILE[name])
    relist(bundle)
    refused(bundle, "weights.safetensors")


@pytest.mark.parametrize("fault", ["nan", "inf", "shape", "unknown", "missing", "small"])
def test_weights_that_are_none_of_this_network_are_refused(bundle, fault):
    import torch
    from safetensors.torch import load_file, save_file

    state = load_file(bundle / WEIGHTS)
    name = next(key for key in state if key.startswith("head") and key.endswith("weight"))
    if fault in ("nan", "inf"):
        state[name][0, 0] = float(fault)
    elif fault == "shape":
        state[name] = state[name][:, :-1].contiguous()
    elif fault == "unknown":
        state["extra"] = torch.zeros(2)
    elif fault == "missing":
        del state[name]
    else:
        state[name][0] += 0.01
    save_file(state, bundle / WEIGHTS)
    relist(bundle)
    refused(bundle, {"nan": "NaN or infinity", "inf": "NaN or infinity", "small": "its weights"}.get(fault, "not fit"))


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("a pickle ran",)


@pytest.mark.parametrize("place", ["weights.safetensors", "weights.pt", "model.pt2", "weights.bin", "x.pkl"])
def test_a_pickle_is_never_loaded(bundle, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if place.endswith("safetensors"):
        (bundle / place).write_bytes(pickle.dumps(Bomb()))
    else:
        with zipfile.ZipFile(bundle / place, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    record = json.loads((bundle / RECORD).read_text())
    record["files"][place] = "ab" * 32
    (bundle / RECORD).write_text(json.dumps(record))
    refused(bundle, "no file that a bundle has|has other bytes")
    if place.endswith("safetensors"):
        relist(bundle)
        refused(bundle, "weights.safetensors")
    assert not (tmp_path / "a pickle ran").exists()


def test_the_door_names_the_file_and_exits_5(workspace, capsys):
    from tasks.register.registry import find_version
    from tasks.register.saved import bundle_of

    copy = bundle_of(workspace, find_version(workspace))
    (copy / "golden" / "wide.png").write_bytes(b"")
    image = next(workspace.raw.rglob("*.png"))
    assert cli.main(["--workspace", str(workspace.root), "predict", str(image)]) == 5
    assert "golden/wide.png has other bytes" in capsys.readouterr().err
