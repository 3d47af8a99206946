"""The registry against a simple model of it: who is champion, which numbers there are, that nothing is taken away."""

import itertools
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import BadUsage
from tasks.contracts.workspace import Workspace
from tasks.register import history as states
from tasks.register import registry
from tasks.register.decision import Decision
from tasks.register.history import ChampionMoved, replay

NOTE = {"bundle": "ab.dir"}
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("register"), st.booleans()),
        st.tuples(st.just("promote"), st.integers(1, 6)),
        st.tuples(st.just("rollback"), st.none() | st.integers(1, 6)),
        st.tuples(st.just("late"), st.integers(1, 6)),  # a promotion that was decided against an older champion
    ),
    max_size=14,
)


class Memory:
    """The registry's rules on a list of tags, without git."""

    def __init__(self):
        self.tags, self.commits = [], (f"{n:040x}" for n in itertools.count(1))

    def now(self):
        return replay(self.tags)

    def register(self, promote, seen):
        tag = states.registration(self.now(), next(self.commits), {**NOTE, "decision": {"promote": promote}})
        tags = [tag]
        if promote:
            states.require_still(self.now(), seen)
            version = states.Version(self.now().taken[0] + 1, tag.commit, "", False, NOTE)
            tags.append(states.assignment(self.now(), version, "rule", "graft", "better"))
        self.tags += tags

    def promote(self, number, seen):
        now = self.now()
        version = now.version(number)
        states.require_still(now, seen)
        if now.champion and now.champion.number == number:
            raise BadUsage("already")
        self.tags.append(states.assignment(now, version, "promote", "Ada", "x"))

    def rollback(self, to, seen):
        now = self.now()
        version = states.rollback_target(now, to)
        states.require_still(now, seen)
        self.tags.append(states.assignment(now, version, "rollback", "Ada", "x"))


class Git(Memory):
    """The same through the registry itself, on a real repository."""

    def __init__(self, root):
        self.ws, self.root = Workspace(root), root

    def now(self):
        return registry.history(self.ws)

    def register(self, promote, seen):
        registry.register(self.ws, commit(self.root), NOTE, Decision(promote, "better"), seen)

    def promote(self, number, seen):
        registry.promote(self.ws, self.now().version(number), "Ada", "x", seen)

    def rollback(self, to, seen):
        registry.rollback(self.ws, to, "Ada", "x", seen)


def git(root, *arguments):
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    done = subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(root):
    """A commit of its own, off every branch."""
    number = len(git(root, "for-each-ref").splitlines())
    return git(root, "commit-tree", "-m", f"run {number}", git(root, "write-tree"))


def follow(real, steps):
    """Take the steps with the registry and with a model of it, a list of versions and a pile of champions."""
    versions, pile, log = 0, [], []
    for what, argument in steps:
        champion, expected = pile[-1] if pile else None, True
        try:
            if what == "register":
                real.register(argument, champion)
                versions += 1
                if argument:
                    pile.append(versions)
            elif what == "late":
                expected = False
                if champion and argument <= versions:
                    with pytest.raises(ChampionMoved):
                        real.promote(argument, champion + 1)
                continue
            elif what == "promote":
                expected = argument <= versions and argument != champion
                real.promote(argument, champion)
                pile.append(argument)
            else:
                expected = len(pile) > 1 and (argument is None or (argument in pile[:-1] and argument != champion))
                real.rollback(argument, champion)
                to = pile[-2] if argument is None else argument
                while pile.pop() is not None and pile[-1] != to:
                    pass
            log.append(pile[-1] if pile else None)
            assert expected
        except BadUsage:
            assert not expected
    return versions, pile, log


def agree(real, versions, pile):
    now = real.now()
    assert [version.number for version in now.versions] == list(range(1, versions + 1))
    assert [version.number for version in now.versions if version.champion] == pile[-1:]
    assert list(now.line) == [a for a, b in itertools.zip_longest(pile, pile[1:]) if a != b]
    assert [one.number for one in now.assignments] == list(range(1, len(now.assignments) + 1))
    assert not now.strange
    for before, after in itertools.pairwise(now.assignments):
        assert after.before == before.to


@settings(max_examples=500, deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
def test_500_random_histories_are_what_a_simple_model_says(steps, rng):
    real = Memory()
    versions, pile, _ = follow(real, steps)
    agree(real, versions, pile)
    rng.shuffle(real.tags)  # what git lists first means nothing
    agree(real, versions, pile)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_a_repository_does_the_same_and_only_ever_grows(tmp_path_factory, steps):
    root = tmp_path_factory.mktemp("repository")
    git(root, "init", "--quiet")
    real = Git(root)
    versions, pile, _ = follow(real, steps)
    agree(real, versions, pile)
    refs = set(git(root, "for-each-ref", "--format=%(refname) %(objectname)").splitlines())
    versions, pile, _ = follow_on(real, versions, pile)
    assert refs <= set(git(root, "for-each-ref", "--format=%(refname) %(objectname)").splitlines())


def follow_on(real, versions, pile):
    real.register(True, pile[-1] if pile else None)
    agree(real, versions + 1, [*pile, versions + 1])
    return versions + 1, [*pile, versions + 1], []


@pytest.fixture
def repository(tmp_path) -> Path:
    git(tmp_path, "init", "--quiet")
    return tmp_path


def test_a_run_that_is_a_version_cannot_be_another(repository):
    ws, run = Workspace(repository), commit(repository)
    registry.register(ws, run, NOTE, Decision(True, "first"))
    with pytest.raises(BadUsage, match="is model@1 already"):
        registry.register(ws, run, NOTE, Decision(False, "again"), 1)


def test_tags_of_others_count_for_nothing_but_their_number_is_taken(repository):
    ws = Workspace(repository)
    registry.register(ws, commit(repository), NOTE, Decision(True, "first"))
    git(repository, "tag", "model@v7.0.0", commit(repository))  # by hand
    git(repository, "tag", "-a", "-m", "by hand", "model@v1.2.0", "model@v1.0.0^{}")
    git(repository, "tag", "-a", "-m", "on no version", "model#champion#5", commit(repository))
    git(repository, "tag", "-a", "-m", "unassigned", "model#champion!#6", "model@v1.0.0^{}")
    now = registry.history(ws)
    assert [one.number for one in now.versions] == [1]
    assert now.champion is not None
    assert now.champion.number == 1
    assert len(now.strange) == 4
    assert registry.register(ws, commit(repository), NOTE, Decision(True, "next"), 1).title == "model@8, champion"
    assert [one.number for one in registry.history(ws).assignments] == [1, 6]


def test_what_gto_assigned_is_understood(repository):
    ws = Workspace(repository)
    for promote in (True, False):
        registry.register(ws, commit(repository), NOTE, Decision(promote, "a run"), 1 if not promote else None)
    git(repository, "tag", "-a", "-m", "by gto's own command", "model#champion#2", "model@v2.0.0^{}")
    last = registry.history(ws).assignments[-1]
    assert (last.to, last.before, last.action, last.by, last.why) == (
        2,
        1,
        "promote",
        "not said",
        "by gto's own command",
    )


def test_a_champion_without_its_version_is_strange_and_the_earlier_one_stays(repository):
    memory = Memory()
    memory.register(True, None)
    memory.register(True, 1)
    now = replay([replace(tag, message="no note") if tag.ref.endswith("v2.0.0") else tag for tag in memory.tags])
    assert now.champion is not None
    assert now.champion.number == 1
    assert len(now.strange) == 2
