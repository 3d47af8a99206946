import os
import shutil
from pathlib import Path

import dvc.output
import pandas as pd
import pytest
from dvc.repo import Repo
from dvc.utils.serialize import dump_yaml, modify_yaml
from ruamel.yaml.representer import RepresenterError

from flows.dvc_repo import open_repository
from flows.stages import bring_up_to_date, run_step, stale_stages, track_raw
from flows.workspaces import init
from tasks.contracts.dvc_files import tracked
from tasks.contracts.errors import BadEnvironment, BadUsage, BrokenArtifact, GraftError
from tasks.contracts.files import write_table
from tasks.contracts.params_file import load_params, override
from tasks.contracts.workspace import Workspace
from tasks.quality.memory import read_splits, write_splits
from tasks.register import tries
from tests.conftest import write_images


def made(folder: Path, evaluate: str) -> Workspace:
    """A workspace after quality, in which no later stage has run: train cannot get far."""
    ws = Workspace(folder)
    table = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(8)],
            "sha256": [f"{i:064x}" for i in range(8)],
            "split": ["train", "test"] * 4,
            "verdict": "keep",
            "group": None,
            "camera": ["NIKON D90", None] * 4,  # none of test has one
            "meta_site": "north",
        }
    )
    write_table(ws.checked, table)
    ws.params.write_text(f"evaluate: {evaluate}\n", encoding="utf-8")
    return ws


@pytest.mark.parametrize("stage", ["select", "train", "evaluate"])
@pytest.mark.parametrize(
    ("evaluate", "said"),
    [
        ("{attributes: [sex]}", "evaluate.attributes: no column sex in train and test; the columns are site"),
        ("{reference_groups: {sex: f}}", "evaluate.reference_groups: no column sex in train and test"),
        ("{attributes: [EXIF camera]}", "no column EXIF camera"),
    ],
)
def test_names_that_evaluate_would_refuse_are_refused_before_the_training(
    tmp_path: Path, stage: str, evaluate: str, said: str
) -> None:
    with pytest.raises(BadUsage, match=said):
        run_step(made(tmp_path, evaluate), stage)


def test_names_that_are_there_are_not_refused(tmp_path: Path) -> None:
    with pytest.raises(GraftError) as refused:
        run_step(made(tmp_path, "{attributes: [site], reference_groups: {site: north}}"), "train")
    assert "no column" not in str(refused.value)


@pytest.fixture
def looks(monkeypatch) -> list[str]:
    """The places that DVC goes through, as it does."""
    found, build = [], dvc.output.build
    monkeypatch.setattr(dvc.output, "build", lambda *args, **kwargs: found.append(args[1]) or build(*args, **kwargs))
    return found


def test_the_data_are_gone_through_once_for_all_stages(tmp_path: Path, looks) -> None:
    ws = init(tmp_path / "flowers", write_images(tmp_path / "photos", 2))
    assert bring_up_to_date(ws, "ingest").action == "ran"
    assert bring_up_to_date(ws, "ingest").action == "skipped"
    stale_stages(ws)
    assert looks.count(str(ws.raw)) == 1


def other_bytes(path: Path) -> None:
    """Of the same size, with the times that the file had."""
    before, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def ignored(path: Path) -> None:
    (path.parents[3] / ".dvcignore").write_text(f"{path.name}\n", encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        Path.unlink,
        lambda path: path.rename(path.with_name("another.png")),
        lambda path: shutil.copy(path, path.with_name("another.png")),
        lambda path: path.write_bytes(b"no image"),
        ignored,
    ],
    ids=["removed", "renamed", "added", "altered", "ignored"],
)
def test_any_change_of_the_data_is_seen_by_the_next_stage(tmp_path: Path, change) -> None:
    ws = init(tmp_path / "flowers", write_images(tmp_path / "photos", 2))
    bring_up_to_date(ws, "ingest")
    change(next(ws.raw.glob("*/*.png")))
    assert bring_up_to_date(ws, "ingest").why == "data/raw is modified"
    assert bring_up_to_date(ws, "ingest").action == "skipped"


def test_a_change_that_keeps_size_and_time_is_looked_at(tmp_path: Path, looks) -> None:
    ws = init(tmp_path / "flowers", write_images(tmp_path / "photos", 2))
    bring_up_to_date(ws, "ingest")
    other_bytes(next(ws.raw.glob("*/*.png")))
    bring_up_to_date(ws, "ingest")
    assert looks.count(str(ws.raw)) == 2


@pytest.mark.parametrize("place", ["dvc.lock", "data/raw.dvc"])
def test_what_dvc_was_writing_when_it_was_cut_off_is_as_it_was(tmp_path: Path, place: str) -> None:
    ws = init(tmp_path / "flowers", write_images(tmp_path / "photos", 2))
    track_raw(ws)
    bring_up_to_date(ws, "ingest")
    before = (ws.root / place).read_bytes()
    with open_repository(ws):
        with pytest.raises(RepresenterError), modify_yaml(place) as known:
            known["cut off here"] = object()
        with pytest.raises(RepresenterError):
            dump_yaml(place, {"known": 1, "cut off here": object()})
    assert (ws.root / place).read_bytes() == before
    assert not list((ws.root / place).parent.glob(".*.part"))


@pytest.mark.parametrize("text", ["", "<<<<<<< HEAD\nschema: '2.0'\n"])
def test_a_lock_file_that_cannot_be_read_comes_with_what_to_do(tmp_path: Path, text: str) -> None:
    ws = init(tmp_path / "flowers", write_images(tmp_path / "photos", 2))
    (ws.root / "dvc.lock").write_text(text, encoding="utf-8")
    with pytest.raises(BadEnvironment, match=r"dvc\.lock.*`git -C .* checkout HEAD -- (\./)?dvc\.lock`$"):
        bring_up_to_date(ws, "ingest")


@pytest.mark.parametrize(
    "stages", ["abc", "{quality: abc}", "{quality: {outs: [abc]}}", "{quality: {deps: [{path: a}]}}"]
)
def test_a_lock_file_of_another_form_is_named_with_what_to_do(tmp_path: Path, stages: str) -> None:
    ws = Workspace(tmp_path)
    (tmp_path / "dvc.lock").write_text(f"schema: '2.0'\nstages: {stages}\n", encoding="utf-8")
    with pytest.raises(
        BadEnvironment, match=r"dvc\.lock is not as DVC writes it; `git -C .* checkout HEAD -- dvc\.lock`$"
    ):
        tracked(ws, "quality", "data/checked.parquet")


def test_a_stage_that_never_ran_has_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match=r"^the stage quality has not run yet$"):
        tracked(Workspace(tmp_path), "quality", "data/checked.parquet")


def test_each_workspace_has_its_own_repository_and_new_settings_are_obeyed(tmp_path: Path) -> None:
    first, second = (init(tmp_path / name, write_images(tmp_path / "photos", 1)) for name in ("first", "second"))

    def cache_of(ws: Workspace) -> Path:
        with open_repository(ws) as repo:
            assert Path(repo.root_dir) == ws.root
            return Path(repo.cache.local.path)

    for ws in (first, second, first):
        assert cache_of(ws).is_relative_to(ws.root)
    (first.root / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {tmp_path / 'shared'}\n", encoding="utf-8")
    assert cache_of(first).is_relative_to(tmp_path / "shared")


@pytest.fixture(scope="module")
def divided(tmp_path_factory) -> tuple[Workspace, dict[str, str]]:
    """A workspace after quality, and its splits, which are not those that it would give anew. Copy it."""
    folder = tmp_path_factory.mktemp("divided")
    ws = init(folder / "flowers", write_images(folder / "photos", 8))
    override(ws.params, ["quality.prepared_px=32", "quality.limits.dark=0.0000001"])
    shares = load_params(ws.params).quality.splits
    track_raw(ws)
    for stage in ("ingest", "quality"):
        bring_up_to_date(ws, stage)
    others = {"train": "val", "val": "train", "test": "promotion", "promotion": "test"}
    given = {sha256: others[split] for sha256, split in read_splits(ws.splits, shares).items()}
    write_splits(ws.splits, shares, given)
    bring_up_to_date(ws, "quality", force=True)
    assert read_splits(ws.splits, shares) == given
    return ws, given


def test_the_lock_file_is_as_dvc_itself_would_write_it(divided, tmp_path: Path) -> None:
    ws = Workspace(Path(shutil.copytree(divided[0].root, tmp_path / "flowers")))
    path = ws.root / "dvc.lock"
    ours = path.read_text(encoding="utf-8")
    with open_repository(ws) as repo:
        stages = [repo.stage.load_one(path="dvc.yaml", name=name) for name in ("ingest", "quality")]
        path.unlink()
        for stage in stages:
            stage.dump(update_pipeline=False)
    assert path.read_text(encoding="utf-8") == ours


def cold(divided: Workspace, folder: Path) -> tuple[Workspace, Path]:
    """A clone to which only `data/raw` came, and where DVC's cache was."""
    ws = Workspace(Path(shutil.copytree(divided.root, folder / "clone")))
    cache = (ws.root / ".dvc" / "cache").rename(folder / "cache of another machine")
    ws.splits.unlink()
    write_images(ws.raw, 1, seed=9)
    return ws, cache


def set_remote(ws: Workspace, url: str) -> None:
    with Repo(str(ws.root)) as repo, repo.config.edit("local") as config:
        config |= {"core": {"remote": "there"}, "remote": {"there": {"url": url}}}


@pytest.mark.parametrize("drive", [run_step, bring_up_to_date])
def test_the_splits_of_the_last_run_come_from_the_remote_to_a_clone_that_has_only_the_data(
    divided, tmp_path: Path, drive
) -> None:
    (_, given), (ws, cache) = divided, cold(divided[0], tmp_path)
    set_remote(ws, str(cache))
    for stage in ("ingest", "quality"):
        drive(ws, stage)
    now = read_splits(ws.splits, load_params(ws.params).quality.splits)
    assert given.items() < now.items()


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("", BadEnvironment, r"data/splits\.parquet, the splits that the last run gave, is neither here"),
        ("http://127.0.0.1:1/there", BadEnvironment, "127.0.0.1"),
        ("s3://there/of/it", BadEnvironment, "dvc-s3"),
    ],
)
def test_without_them_nothing_is_divided_anew(divided, tmp_path: Path, monkeypatch, url, error, said) -> None:
    monkeypatch.setattr(tries, "FIRST_PAUSE_S", 0.001)
    ws, _ = cold(divided[0], tmp_path)
    if url:
        set_remote(ws, url)
    run_step(ws, "ingest")
    with pytest.raises(error, match=said):
        run_step(ws, "quality")


def test_splits_that_were_altered_at_the_remote_are_no_splits(divided, tmp_path: Path) -> None:
    ws, cache = cold(divided[0], tmp_path)
    set_remote(ws, str(cache))
    run_step(ws, "ingest")
    md5 = tracked(ws, "quality", "data/splits.parquet")["hash"]
    (kept,) = cache.rglob(f"{md5[:2]}/{md5[2:]}")
    kept.chmod(0o644)
    kept.write_bytes(b"others")
    with pytest.raises(BrokenArtifact, match="has other bytes"):
        run_step(ws, "quality")


def test_other_shares_start_anew_in_a_clone_too(divided, tmp_path: Path) -> None:
    ws, _ = cold(divided[0], tmp_path)
    override(ws.params, ["quality.splits={train: 0.5, val: 0.2, promotion: 0.1, test: 0.2}"])
    run_step(ws, "ingest")
    run_step(ws, "quality")
    assert len(read_splits(ws.splits, load_params(ws.params).quality.splits)) > len(divided[1])


def test_a_lock_file_that_is_a_link_stays_one_and_keeps_its_mode(tmp_path: Path) -> None:
    ws = init(tmp_path / "flowers", write_images(tmp_path / "photos", 2))
    track_raw(ws)
    bring_up_to_date(ws, "ingest")
    lock, target = ws.root / "dvc.lock", tmp_path / "elsewhere.lock"
    lock.rename(target)
    target.chmod(0o664)
    lock.symlink_to(target)
    with open_repository(ws), modify_yaml("dvc.lock") as known:
        known["more"] = True
    assert lock.is_symlink()
    assert "more" in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o664
