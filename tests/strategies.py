"""Data for the property tests of several rooms."""

from __future__ import annotations

from hypothesis import strategies as st

# Small, as drawing takes most of the time of a property test; faults show in combinations, not in sizes.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)

CHARACTER = st.text(max_size=1)


def nearly(*valid, more=CHARACTER):
    """Return a strategy of the texts `valid`, each with a text of `more` inserted.

    Random text is hardly ever valid, or nearly so.
    """
    return st.builds(
        lambda text, place, piece: text[:place] + piece + text[place:], st.sampled_from(valid), st.integers(0, 30), more
    )
