"""Dialects, topics and patterns, drawn."""

from hypothesis import strategies as st

from macula_actors.core.pubsub.topic import DOTTED, HASH, MQTT, Dialect

dialects = st.sampled_from([DOTTED, HASH, MQTT, Dialect("^", "]", "\\"), Dialect("-", "?", "...")])
letters = st.sampled_from(["a", "b", "ab", "", "A", "é", "a*"])


@st.composite
def topics_of(draw, dialect=DOTTED):
    return dialect.separator.join(draw(st.lists(letters, min_size=1, max_size=6)))


@st.composite
def patterns_of(draw, dialect=DOTTED):
    segments = letters | st.just(dialect.one) | st.just(dialect.many)
    return dialect.separator.join(draw(st.lists(segments, min_size=1, max_size=6)))
