"""Whom a new version is held against: the anchor, and a champion that can no longer be loaded."""

import json
import shutil

import pytest

from flows.publish import anchor_of, publish
from tasks.register import registry
from tasks.register.history import Assignment, History, Version
from tasks.register.saved import outputs
from tasks.register.store import opened
from tests.register.conftest import train


def past(ways: dict[int, str], *named: tuple[str, int]) -> History:
    """Versions and the way that each was crowned by the rule; then who was named champion, by what."""
    versions = tuple(
        Version(n, f"{n:040x}", "", False, {"decision": {"by": by, "images": 9}}) for n, by in ways.items()
    )
    line = tuple(Assignment(i, to, None, how, "", "", "") for i, (how, to) in enumerate(named, 1))
    return History(versions, line, (), (), (), (len(versions), len(line)))


@pytest.mark.parametrize(
    ("now", "anchor"),
    [
        (past({1: "first", 2: "better"}, ("rule", 1), ("rule", 2)), 2),
        (past({1: "first", 2: "new data", 3: "new data"}, ("rule", 1), ("rule", 2), ("rule", 3)), 1),
        (past({1: "first", 2: "", 3: "new data"}, ("rule", 1), ("promote", 2), ("rule", 3)), 2),
        (past({1: "first", 2: "better", 3: "new data"}, ("rule", 1), ("rule", 2), ("rollback", 1), ("rule", 3)), 1),
        (past({1: "new data"}, ("rule", 1)), 1),
    ],
)
def test_the_anchor_is_the_last_champion_that_did_not_stand_on_new_data_alone(now, anchor):
    assert anchor_of(now).number == anchor


def test_a_version_that_was_never_compared_was_no_look():
    now = past({1: "first", 2: "better"}, ("rule", 1))
    now.versions[0].note["decision"].pop("images")
    assert now.looked == 1


def test_a_champion_that_cannot_be_loaded_is_for_a_person_to_replace(workspace):
    champion = registry.champion(workspace)
    shutil.rmtree(workspace.cache / "bundles", ignore_errors=True)
    with opened(workspace) as store:
        files = json.loads(store.content(outputs(workspace, champion)["models/bundle"]))
        (record,) = (one["md5"] for one in files if one["relpath"] == "bundle.json")
        store.place(record).unlink()
    train(workspace, seed=1, accuracy=0.9)
    version = publish(workspace)
    assert version.title == "model@3"
    assert version.note["decision"]["why"].startswith("it cannot be compared with the champion (model@1: ")
    assert registry.champion(workspace).number == 1
