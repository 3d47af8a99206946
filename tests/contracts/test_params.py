from pathlib import Path

import pytest

from tasks.contracts.errors import BadUsage
from tasks.contracts.params import Params
from tasks.contracts.params_file import load_params, override

REPOSITORY = Path(__file__).parents[2]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_file_spells_out_the_defaults():
    assert load_params(REPOSITORY / "params.yaml") == Params()


@pytest.mark.parametrize(
    ("said", "text"),
    [("2024", "2024"), ("4.5", "4.5"), ("2024-05-06", "2024-05-06"), ("2024-05-06 07:08:09", "2024-05-06 07:08:09")],
)
def test_what_people_say_of_the_data_may_look_like_a_number_or_a_date(tmp_path, said, text):
    path = written(tmp_path, f"audit: {{period: {said}, owner: }}")
    assert load_params(path).audit.period == text
    assert load_params(path).audit.owner == ""
    override(path, [f"audit.sources={said}"])
    assert load_params(path).audit.sources == text


@pytest.mark.parametrize("said", ["true", "[a]", "{a: b}"])
def test_what_is_no_text_is_not_taken_for_what_people_say(tmp_path, said):
    with pytest.raises(BadUsage, match=r"audit\.period"):
        load_params(written(tmp_path, f"audit: {{period: {said}}}"))


def test_unknown_key_names_the_nearest(tmp_path):
    with pytest.raises(BadUsage, match=r"unknown key train.epoch, did you mean epochs"):
        load_params(written(tmp_path, "train: {epoch: 3}"))


@pytest.mark.parametrize(("text", "key"), [("train: {stratgy: x}", "strategy"), ("augment: {polcy: x}", "policy")])
def test_a_key_that_starts_like_a_type_is_still_named(tmp_path, text, key):
    with pytest.raises(BadUsage, match=f"did you mean {key}"):
        load_params(written(tmp_path, text))


def test_every_problem_is_listed_at_once(tmp_path):
    with pytest.raises(BadUsage) as caught:
        load_params(written(tmp_path, "seed: a\ntrain: {dropout: no, learning_rate: -1, epoch: 1}\n"))
    assert all(key in str(caught.value) for key in ("seed", "train.dropout", "train.learning_rate", "train.epoch"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "train: {epochs: '3'}",
        "train: {epochs: 0}",
        "train: {epochs: 2.5}",
        "train: {learning_rate: .nan}",
        "train: {batch_size: 2}",
        "augment: {horizontal_flip: 1}",
        "quality: {splits: {train: 0.9}}",
        "ingest: {table: ../elsewhere.csv}",
        "ingest: {table: /etc/passwd}",
        "select: {candidates: [{network: resnet18}]}",
        "- a list",
        "just text",
        "train: [unclosed",
        "train: !!python/object/apply:os.system ['true']",
    ],
)
def test_bad_values_are_refused(tmp_path, line):
    with pytest.raises(BadUsage):
        load_params(written(tmp_path, line))


def test_override_keeps_comments_and_says_what_changed(tmp_path):
    path = written(tmp_path, "train:\n  epochs: 3   # passes over the data\n")
    assert override(path, ["train.epochs=5", "seed=1", "train.epochs=5"]) == ["train.epochs: 3 -> 5", "seed: None -> 1"]
    assert "# passes over the data" in path.read_text(encoding="utf-8")
    assert load_params(path).train.epochs == 5


def test_the_same_value_again_leaves_the_file_alone(tmp_path):
    path = written(tmp_path, "train:   {epochs: 3}\n")
    before = path.read_bytes()
    assert override(path, ["train.epochs=3"]) == []
    assert path.read_bytes() == before


@pytest.mark.parametrize("setting", ["train.epochs", "train.epochs=x", "trian.epochs=3", "seed.deeper=1", "=3"])
def test_a_bad_override_writes_nothing(tmp_path, setting):
    path = written(tmp_path, "seed: 1\n")
    with pytest.raises(BadUsage):
        override(path, ["train.epochs=7", setting])
    assert path.read_text(encoding="utf-8") == "seed: 1\n"


def test_a_reference_population_has_a_source_a_date_and_shares_that_add_up(tmp_path):
    shares = "shares: {site: {north: 0.4, south: 0.6}}"
    params = load_params(written(tmp_path, f"bias: {{reference: {{source: census, date: 2024-01-01, {shares}}}}}"))
    assert params.bias.reference.date == "2024-01-01"
    assert params.bias.reference.shares == {"site": {"north": 0.4, "south": 0.6}}
    with pytest.raises(BadUsage, match="give all three"):
        load_params(written(tmp_path, f"bias: {{reference: {{{shares}}}}}"))
    with pytest.raises(BadUsage, match=r"the shares of site add up to 0\.8, not to 1"):
        load_params(written(tmp_path, "bias: {reference: {shares: {site: {north: 0.4, south: 0.4}}}}"))
