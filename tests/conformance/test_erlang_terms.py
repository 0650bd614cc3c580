"""How the vectors are found and read."""

import pytest

from tests.conformance.erlang_terms import OWN_VECTORS, VECTORS, Chars, Opaque, each_of, folder_in, read, to_term


@pytest.mark.parametrize("environment", [{}, {"MACULA_VECTORS": ""}])
def test_without_a_folder_our_own_vectors_are_read(environment):
    assert folder_in(environment) == OWN_VECTORS


def test_a_folder_that_is_none_is_refused_by_its_name(tmp_path):
    with pytest.raises(NotADirectoryError, match="no_such_folder"):
        folder_in({"MACULA_VECTORS": str(tmp_path / "no_such_folder")})


def test_a_file_that_is_missing_has_no_entries(tmp_path):
    assert read("frames.json", tmp_path) == []


def test_a_test_without_entries_is_skipped_and_says_which_file_has_none():
    (absent,) = each_of(("entry",), [], "lookup.json").args[1]

    assert [(mark.name, mark.kwargs["reason"]) for mark in absent.marks] == [
        ("skip", f"{VECTORS} has no entries for this in lookup.json")
    ]


def test_a_key_that_is_a_list_and_a_term_of_no_known_form_are_read_too():
    (key,), (value,) = zip(*to_term({"$map": [[[97, 98], {"$pid": True}]]}).items(), strict=True)

    assert key == Chars([97, 98])
    assert isinstance(value, Opaque)
