"""`graft models verify`: whatever was changed behind the registry's back is named, with exit code 5."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from flows import cli
from tasks.contracts.errors import BadEnvironment, BrokenArtifact
from tasks.register import registry
from tasks.register.contents import RECORD
from tasks.register.history import TAGS
from tasks.register.saved import bundle_of, data_of, objects, outputs
from tasks.register.store import opened
from tasks.register.tags import run_git


def verified(capsys, ws, *names):
    code = cli.main(["--workspace", str(ws.root), "models", "verify", *names, "--json"])
    return code, json.loads(capsys.readouterr().out)


def object_of(ws, version, place):
    """The path in DVC's cache of an output of a version, made writable."""
    with opened(ws) as store:
        path = store.place(outputs(ws, version)[place])
    path.chmod(0o644)
    return path


def retag(ws, version, change):
    """Rewrite the note of a version's tag, as nobody should."""
    note = {**version.note, **change}
    ref = f"{TAGS}model@v{version.number}.0.0"
    text = f"object {version.commit}\ntype commit\ntag x\ntagger x <x@x> 1700000000 +0000\n\n{json.dumps(note)}\n"
    run_git(ws.root, "update-ref", ref, run_git(ws.root, "mktag", given=text).strip())


def test_what_holds_passes(workspace, capsys):
    code, found = verified(capsys, workspace)
    assert (code, found["problems"], found["absent"]) == (0, [], [])
    assert found["checked"] == ["model@1", "model@2"]


@pytest.mark.parametrize("place", ["data/checked.parquet", "reports/bias.json", "models/augmentation.json"])
def test_a_changed_object_in_the_cache_is_named(workspace, version, place, capsys):
    path = object_of(workspace, version, place)
    path.write_bytes(path.read_bytes() + b" ")
    code, found = verified(capsys, workspace, "model@1")
    assert code == 5
    assert f"{place} has other bytes than were saved" in found["problems"][0]


def test_a_changed_image_or_weight_in_the_cache_is_named_and_never_copied_out(workspace, version, capsys, tmp_path):
    with opened(workspace) as store:
        known = outputs(workspace, version)
        raw = json.loads(store.content(known["data/raw"]))[0]
        weights = next(
            one for one in json.loads(store.content(known["models/bundle"])) if one["relpath"] == "weights.safetensors"
        )
        paths = [store.place(one["md5"]) for one in (raw, weights)]
    for path in paths:
        path.chmod(0o644)
        path.write_bytes(bytes(8) + path.read_bytes()[8:])
    code, found = verified(capsys, workspace, "model@1")
    assert code == 5
    for part in (raw["relpath"], "models/bundle/weights.safetensors", "models/candidate/weights.safetensors"):
        assert any(part in one for one in found["problems"])  # the candidate's weights are the same object
    arguments = ["--workspace", str(workspace.root), "models", "show", "model@1", "--restore", str(tmp_path / "back")]
    assert cli.main(arguments) == 5
    assert not (tmp_path / "back").exists()


def test_a_list_of_a_folder_that_was_changed_is_named(workspace, version, capsys):
    path = object_of(workspace, version, "models/scratch")
    path.write_text(path.read_text().replace("weights", "WEIGHTS"))
    code, found = verified(capsys, workspace, "model@1")
    assert code == 5
    assert "the list of models/scratch has other bytes" in found["problems"][0]


def test_a_list_that_names_a_file_outside_is_refused(workspace, version, monkeypatch):
    from tasks.register.store import Store

    hostile = json.dumps([{"md5": "ab" * 16, "relpath": "../../x"}]).encode()
    name = hashlib.md5(hostile).hexdigest()  # noqa: S324
    monkeypatch.setattr(Store, "content", lambda *_: hostile)
    with opened(workspace) as store, pytest.raises(BrokenArtifact, match="is outside of its folder"):
        objects(store, version, {"models/bundle": f"{name}.dir"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bundle": "ab.dir"}, "for models/bundle"),
        ({"data": "ab.dir"}, "for data/raw"),
        ({"bundle_sha256": "ab" * 32}, "its tag notes"),
    ],
)
def test_a_note_that_was_changed_is_named(workspace, version, change, says, capsys):
    bundle_of(workspace, version)  # a copy is no way around the note
    retag(workspace, version, change)
    code, found = verified(capsys, workspace, "model@1")
    assert code == 5
    assert says in found["problems"][0]


def test_a_tag_that_points_to_another_run_is_named(workspace, capsys):
    first, second = registry.versions(workspace)
    retag(workspace, first, second.note)
    code, found = verified(capsys, workspace, "model@1")
    assert code == 5
    assert found["problems"]


def test_a_deleted_tag_leaves_a_gap_that_is_told(workspace, capsys):
    run_git(workspace.root, "tag", "--delete", "model@v1.0.0")
    code, found = verified(capsys, workspace)
    assert code == 5
    assert any("number 1 is missing" in one for one in found["problems"])


def test_a_copy_of_a_bundle_whose_record_was_changed_is_made_anew(workspace, version, capsys):
    record = bundle_of(workspace, version) / RECORD
    known = record.read_bytes()
    for change in (lambda: record.write_bytes(known.replace(b'"seed": 0', b'"seed": 1')), record.unlink):
        change()
        assert bundle_of(workspace, version) == record.parent
        assert record.read_bytes() == known
    assert verified(capsys, workspace, "model@1")[0] == 0


def test_a_copy_of_a_version_that_notes_no_hash_is_taken_as_it_is(workspace, version):
    record = bundle_of(workspace, version) / RECORD
    record.write_text("changed")
    del version.note["bundle_sha256"]
    assert bundle_of(workspace, version) == record.parent
    assert record.read_text() == "changed"


@pytest.mark.parametrize("moment", ["while it copies", "when it renames"])
def test_of_two_first_uses_the_later_takes_the_copy_of_the_earlier(workspace, version, moment, tmp_path, monkeypatch):
    folder = bundle_of(workspace, version)
    other = folder.rename(tmp_path / "the other's")
    owner, name = (shutil, "copyfile") if moment == "while it copies" else (Path, "replace")
    todo = getattr(owner, name)

    def late(*arguments):
        done = todo(*arguments) if owner is shutil else None
        if other.exists():
            other.rename(folder)
        return done if owner is shutil else todo(*arguments)

    made = (other / RECORD).stat().st_ino
    monkeypatch.setattr(owner, name, late)
    assert bundle_of(workspace, version) == folder
    assert (folder / RECORD).stat().st_ino == made
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_copy_that_cannot_be_made_is_an_error(workspace, version, monkeypatch):
    shutil.rmtree(bundle_of(workspace, version))
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(BadEnvironment, match="disk full"):
        bundle_of(workspace, version)


def test_a_copy_of_a_bundle_that_was_changed_is_told_and_cannot_be_promoted(workspace, capsys):
    second = registry.find_version(workspace, "model@2")
    weights = bundle_of(workspace, second) / "weights.safetensors"
    weights.write_bytes(bytes(8) + weights.read_bytes()[8:])
    code, found = verified(capsys, workspace, "model@2")
    assert code == 5
    assert "has other bytes" in found["problems"][0]
    arguments = ["models", "promote", "model@2", "--by", "Ada", "--reason", "x"]
    assert cli.main(["--workspace", str(workspace.root), *arguments]) == 5
    capsys.readouterr()
    now = registry.history(workspace)
    assert now.champion is not None
    assert now.champion.number == 1
    assert [(one.to, one.by) for one in now.refusals] == [(2, "Ada")]
    assert "has other bytes" in now.refusals[0].problem


def test_what_is_not_here_is_told_and_is_no_fault(workspace, version, capsys):
    object_of(workspace, version, "data/checked.parquet").unlink()
    code, found = verified(capsys, workspace, "model@1")
    assert (code, found["absent"]) == (0, ["model@1: data/checked.parquet"])
    shutil.rmtree(workspace.cache / "checked")
    with pytest.raises(BrokenArtifact, match="not in DVC's cache and no remote is set"):
        data_of(workspace, version)
