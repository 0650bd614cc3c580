import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core import names

segments = st.text("abcXYZ019_-", min_size=1, max_size=8)
valid_names = st.lists(segments, min_size=1, max_size=6).map(".".join)


@given(valid_names)
def test_segments_of_letters_digits_underscores_and_hyphens_make_a_name(name):
    names.validate(name)


@given(
    valid_names, st.integers(0, 60), st.characters().filter(lambda c: not (c.isascii() and (c.isalnum() or c in "_-.")))
)
def test_any_other_character_is_refused(name, at, character):
    with pytest.raises(ValueError, match="allowed are ASCII letters"):
        names.validate(name[:at] + character + name[at:])


@pytest.mark.parametrize("name", [".", ".a", "a.", "a..b"])
def test_an_empty_segment_is_refused(name):
    with pytest.raises(ValueError, match="segment ''"):
        names.validate(name)


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_name_that_is_empty_or_too_long_is_refused(name):
    with pytest.raises(ValueError, match=f"realm has {len(name)} characters; allowed are 1 to 255"):
        names.validate(name, "realm")


def test_the_longest_name_is_valid():
    names.validate("x" * names.MAX_NAME_LENGTH)


@given(st.text(" .aB\t"))
def test_normalizing_twice_changes_nothing_more(name):
    once = names.normalize(name.strip())

    assert names.normalize(once) == once


def test_normalizing_removes_what_is_no_difference_to_people():
    assert names.normalize(" Com..Example.ADD\n") == "com.example.add"


@pytest.mark.parametrize("space", "\t\n\v\f\r \x85\u200e\u200f\u2028\u2029")
def test_normalizing_trims_what_erlang_takes_for_white_space(space):
    assert names.normalize(f"{space}a{space}b{space}") == f"a{space}b"


@pytest.mark.parametrize("character", "\x1c\xa0\u2003\u3000")
def test_normalizing_keeps_what_erlang_does_not_take_for_white_space(character):
    assert names.normalize(f"{character}a") == f"{character}a"


def test_a_letter_in_lower_case_is_the_same_wherever_it_stands():
    assert names.normalize("\u0391\u03a3") == "\u03b1\u03c3"


@given(valid_names)
def test_the_namespace_is_the_first_segment(name):
    assert names.namespace(name) == name.split(".")[0]


@given(valid_names)
def test_the_segments_of_a_name_are_counted(name):
    assert names.segment_count(name) == len(name.split("."))


def test_the_empty_name_has_no_segment():
    assert names.segment_count("") == 0


@pytest.mark.parametrize("name", [None, 5, b"a.b", ["a"]])
def test_what_is_no_text_is_no_name(name):
    with pytest.raises(ValueError, match=r"topic is a .*; allowed is a text"):
        names.validate(name, "topic")
