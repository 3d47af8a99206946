"""Nothing is lost: every visible file is a row, or counted as ignored, as a sidecar or as an archive."""

from pathlib import Path, PurePosixPath

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.params import IngestParams
from tasks.contracts.workspace import Workspace
from tasks.ingest.step import run
from tests.ingest.packing import write_tar, write_zip

HIDDEN_FOLDERS, HIDDEN_FILES = (".git", "__MACOSX"), ("Thumbs.db", ".DS_Store", "._1.jpg")
FOLDERS = ("cat", "dog", "deep", *HIDDEN_FOLDERS)
STEMS = ("1", "2", "3", "-x", "<b>", "it's")
ENDINGS = (".jpg", ".png", "", ".odd", ".txt", ".cls", ".json", ".csv", ".gz", ".7z", ".left.jpg")

names = st.one_of(
    st.tuples(st.sampled_from(STEMS), st.sampled_from(ENDINGS)).map("".join), st.sampled_from(HIDDEN_FILES)
)
paths = st.tuples(st.lists(st.sampled_from(FOLDERS), max_size=3), names).map(
    lambda parts: "/".join([*parts[0], parts[1]])
)
trees = st.sets(paths, max_size=12)
archives = st.dictionaries(
    st.sampled_from(("a.tar", "b.zip", "cat/c.tar", ".hidden.tar", "deep/d.zip")), trees, max_size=3
)


def fill(raw: Path, plain: set[str], packed: dict[str, set[str]]) -> list[str]:
    """Write the tree, with enough labelled images for a data set; returns the path of every file that is no archive."""
    plain = plain | {"cat/sure.jpg", "dog/sure.jpg", "dog/sure.png", "deep/sure.jpg"}  # no folder is empty
    for path in plain:
        (raw / path).parent.mkdir(parents=True, exist_ok=True)
        (raw / path).write_bytes(b"{}")
    for archive, members in packed.items():
        write = write_tar if archive.endswith(".tar") else write_zip
        write(raw / archive, dict.fromkeys(sorted(members), b"{}"))
    return [*plain, *(f"{archive}/{member}" for archive, members in packed.items() for member in members)]


def seen(path: str) -> bool:
    return not any(
        part.startswith(".") or part in (*HIDDEN_FOLDERS, *HIDDEN_FILES) for part in PurePosixPath(path).parts
    )


@settings(max_examples=60, deadline=None)
@given(plain=trees, packed=archives, with_table=st.booleans(), data=st.data())
def test_found_and_ignored_are_all_files(tmp_path_factory, plain, packed, with_table, data):
    ws = Workspace(tmp_path_factory.mktemp("counting"))
    visible = [path for path in fill(ws.raw, plain, packed) if seen(path)]
    named: list[str] = []
    if with_table:
        named = data.draw(
            st.lists(st.sampled_from([*visible, "cat/gone.jpg", "a.tar/gone.jpg"]), min_size=1, unique=True)
        )
        (ws.raw / "metadata.csv").write_text("path,site\n" + "".join(f'"{path}",x\n' for path in named))
    record = run(ws, IngestParams(labels_from="folders"), seed=0)
    table = pd.read_parquet(ws.manifest)
    missing = [path for path in named if path not in visible]
    assert record.found + record.ignored + record.sidecars == len(visible) + len(missing)
    assert record.archives == sum(map(seen, packed))
    assert list(table["path"]) == sorted(table["path"])
    assert set(named) <= set(table["path"]) <= {*visible, *missing}
    assert set(table.loc[[list(reasons) == ["missing_file"] for reasons in table["reasons"]], "path"]) <= set(missing)
    images = {path for path in visible if path.endswith((".jpg", ".png"))}
    assert images <= set(table["path"])
    in_archives = {path for path in table["path"] if any(path.startswith(f"{archive}/") for archive in packed)}
    assert set(table.loc[table["archive"].notna(), "path"]) == in_archives - set(missing)


@settings(max_examples=15, deadline=None)
@given(plain=trees, packed=archives)
def test_equal_trees_give_equal_bytes(tmp_path_factory, plain, packed):
    made = []
    for order in (sorted(plain), sorted(plain, reverse=True)):
        ws = Workspace(tmp_path_factory.mktemp("equal"))
        fill(ws.raw, set(order), packed)
        run(ws, IngestParams(labels_from="folders"), seed=0)
        made.append(ws.manifest.read_bytes())
    assert made[0] == made[1]
