from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rollout.codec import RolloutLine
from rollout.search._postings import Place, _pack, _unpack

PLACES = st.builds(Place, st.integers(0, 2**38), st.integers(0, 3), st.booleans(), st.booleans(), st.booleans())
ENDED = {"type": "exec_command_end", "call_id": "c", "command": ["ls"], "stdout": "found", "exit_code": 1}


@given(places=st.lists(PLACES, max_size=30))
def test_packed_places_are_unpacked_equally(places: list[Place]) -> None:
    ordered = sorted(places, key=lambda place: place.offset)

    assert _unpack(_pack(ordered)) == ordered


def test_a_place_without_flags_takes_one_byte_for_a_short_line() -> None:
    assert [len(_pack([place])) for place in (Place(0), Place(63), Place(64), Place(0, 1))] == [1, 1, 2, 1]


def test_a_place_has_one_text_of_its_line() -> None:
    line = RolloutLine(timestamp=None, type="event_msg", payload=ENDED)
    places = (Place(0), Place(0, 1, has_failure=True), Place(0, 1, is_nested=True))

    found = [(text.kind, text.text, text.tool, text.is_failed) for place in places for text in place.texts_in(line)]

    assert found == [
        ("call", "ls", "shell", False),
        ("output", "found", "shell", True),
        ("output", "found", "exec_command", False),
    ]
