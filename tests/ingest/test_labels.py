import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.samples import class_order
from tasks.ingest.labels import alike_labels


@pytest.mark.parametrize(
    "labels",
    [
        ("cat", "Cat"),
        ("ice cream", "ice_cream"),
        ("ice cream", "icecream"),
        ("ice-cream", "Ice  Cream "),
        ("caf\u00e9", "cafe\u0301"),
        ("\uff23\uff21\uff34", "cat"),
        ("class 1", "class_1"),
    ],
)
def test_case_37_labels_that_differ_in_writing_only(labels):
    (group,) = alike_labels([*labels, "dog"])
    assert set(group) == set(labels)


@pytest.mark.parametrize(
    "labels",
    [
        ("cat", "dog"),
        ("-1", "1"),
        ("1", "01"),
        ("1-2", "12"),
        ("1 2", "12"),
        ("-", "_"),
        ("cafe", "caf\u00e9"),
        ("a", "b"),
    ],
)
def test_case_37_labels_that_are_different_words(labels):
    assert alike_labels(labels) == ()


def test_groups_come_in_class_order():
    assert alike_labels(["b", "10", "B", "a", "A", "2"]) == (("A", "a"), ("B", "b"))


def test_case_34_36_class_order_is_by_value_for_numbers_and_by_text_for_the_rest():
    assert class_order(["10", "1", "2", "1"]) == ("1", "2", "10")
    assert class_order(["b", "-1.5", "10", "a", "-1", "9", "01"]) == ("-1.5", "-1", "01", "9", "10", "a", "b")
    assert class_order(["class10", "class2"]) == ("class10", "class2")
    assert class_order(["9" * 5000, "1"]) == ("1", "9" * 5000)
    assert class_order(["\u0663", "4", "nan", "inf"]) == ("4", "inf", "nan", "\u0663")


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=5) | st.integers(-20, 20).map(str)), st.randoms())
def test_class_order_depends_on_the_labels_alone(labels, rng):
    shuffled = labels * 2
    rng.shuffle(shuffled)
    order = class_order(labels)
    assert class_order(shuffled) == order
    assert set(order) == set(labels)
    numbers = [int(label) for label in order if label.lstrip("-").isascii() and label.lstrip("-").isdigit()]
    assert numbers == sorted(numbers)
