import pytest
from hypothesis import given
from hypothesis import strategies as st

from macula_actors.core.pubsub.topic import DOTTED, HASH, MQTT, Dialect, Pattern, validate_pattern, validate_topic

dialects = st.sampled_from([DOTTED, HASH, MQTT, Dialect("^", "]", "\\"), Dialect("-", "?", "...")])
letters = st.sampled_from(["a", "b", "ab", "", "\n", "A", "é", "a*"])


@st.composite
def questions(draw):
    """Draw a dialect, a pattern of it, and a topic."""
    dialect = draw(dialects)
    topic = draw(st.lists(letters, min_size=1, max_size=6))
    pattern = draw(st.lists(letters | st.just(dialect.one) | st.just(dialect.many), min_size=1, max_size=6))
    return dialect, dialect.separator.join(pattern), dialect.separator.join(topic)


def by_definition(pattern, topic, dialect):
    """Match segment by segment, trying every length for a wildcard of many."""
    if not pattern:
        return not topic
    first, *rest = pattern
    if first == dialect.many:
        return any(by_definition(rest, topic[skipped:], dialect) for skipped in range(len(topic) + 1))
    return bool(topic) and first in {dialect.one, topic[0]} and by_definition(rest, topic[1:], dialect)


@given(questions())
def test_a_pattern_matches_what_it_means_by_definition(question):
    dialect, pattern, topic = question

    matches = Pattern(pattern, dialect).matches(topic)

    assert matches is by_definition(pattern.split(dialect.separator), topic.split(dialect.separator), dialect)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "A.b", False),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("*", "a.b", False),
        ("**", "a", True),
        ("a.**", "a", True),
        ("a.**", "a.b.c", True),
        ("**.c", "c", True),
        ("a.**.c", "a.c", True),
        ("a.**.c", "a.x.y.c", True),
        ("a.**.c", "a.b", False),
        ("**.b.**", "a.b.c", True),
        ("a.*.**", "a", False),
        ("a.b*", "a.bc", False),
        ("a.*.b", "a..b", True),
        ("a.**.**", "a", True),
        ("a.**.b.**.b", "a.b", False),
        ("a.+", "axb", False),
    ],
)
def test_the_truth_table_of_the_original_holds(pattern, topic, expected):
    assert Pattern(pattern).matches(topic) is expected


@given(st.lists(letters, min_size=1, max_size=6), dialects)
def test_a_topic_matches_itself_and_the_pattern_of_all(segments, dialect):
    topic = dialect.separator.join(segments)

    assert Pattern(topic, dialect).matches(topic)
    assert Pattern(dialect.many, dialect).matches(topic)


def test_a_pattern_of_one_dialect_means_nothing_in_another():
    assert not Pattern("a/+/#", DOTTED).matches("a/b/c")
    assert Pattern("a/+/#", MQTT).matches("a/b/c")


@pytest.mark.timeout(5)
def test_a_pattern_of_many_wildcards_is_not_slow():
    pattern = Pattern(".".join(["**", "a"] * 60))
    topic = ".".join("a" * 5000) + ".b"

    assert not pattern.matches(topic)


def test_patterns_are_equal_if_they_are_written_alike_in_the_same_dialect():
    assert Pattern("a.*") == Pattern("a.*")
    assert Pattern("a.*") != Pattern("a.*", HASH)
    assert {Pattern("a.*"): 1}[Pattern("a.*")] == 1


@pytest.mark.parametrize(
    "settings",
    [
        ("", "*", "**"),
        ("..", "*", "**"),
        (".", "*", "*"),
        (".", "", "**"),
        (".", "*", ""),
        (".", "*", "*.*"),
        ("a", "*", "**"),
        (" ", "*", "**"),
        ("\0", "*", "**"),
        (".", "any", "**"),
        (".", "*", "all"),
    ],
)
def test_a_dialect_in_which_nothing_could_be_told_apart_is_refused(settings):
    with pytest.raises(ValueError, match=r"separator|segment"):
        Dialect(*settings)


@pytest.mark.parametrize("topic", ["a", "a.b-c_9.D", "x" * 255])
def test_a_name_is_a_topic_and_a_pattern(topic):
    validate_topic(topic)
    validate_pattern(topic)


@pytest.mark.parametrize("topic", ["a.*", "**", "a..b", ".a", "a.", "a b", "ü", "a.b*", "a#", "a\n"])
def test_a_topic_with_another_character_or_an_empty_segment_is_refused(topic):
    with pytest.raises(ValueError, match=r"segment .*; allowed"):
        validate_topic(topic)


@pytest.mark.parametrize("text", ["", "x" * 256])
@pytest.mark.parametrize("validate", [validate_topic, validate_pattern])
def test_a_topic_or_pattern_that_is_empty_or_too_long_is_refused(validate, text):
    with pytest.raises(ValueError, match="1 to 255"):
        validate(text)


@pytest.mark.parametrize(("pattern", "dialect"), [("a.*.**", DOTTED), ("#.a", HASH), ("a/+/#", MQTT)])
def test_whole_segments_of_a_pattern_may_be_wildcards_of_its_dialect(pattern, dialect):
    validate_pattern(pattern, dialect)


@pytest.mark.parametrize("pattern", ["a.b*", "a.***", "#", "a.+", "a..*", "a/*"])
def test_a_pattern_that_no_topic_could_match_is_refused(pattern):
    with pytest.raises(ValueError, match=r"or '\*', or '\*\*'"):
        validate_pattern(pattern)
