from __future__ import annotations

import tempfile
from pathlib import Path
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from rollout import Cursor, list_sessions
from rollout.home._file_names import RolloutName
from rollout.home._walk import walk
from tests import rollouts
from tests.rollouts import encode, meta

MOMENTS = st.datetimes(min_value=__import__("datetime").datetime(1970, 1, 1)).map(
    lambda moment: moment.strftime("%Y-%m-%dT%H-%M-%S").zfill(19)
)
IDS = st.uuids().map(str)
DATA = encode([meta(rollouts.ID)])


@given(timestamp=MOMENTS, session_id=IDS, rollout_id=st.none() | IDS, is_compressed=st.booleans())
def test_a_parsed_name_equals_the_name_it_was_made_from(
    timestamp: str, session_id: str, rollout_id: str | None, is_compressed: bool
) -> None:
    name = RolloutName(timestamp, session_id, rollout_id, is_compressed)

    again = RolloutName.parse(f"/some/where/{name}")

    assert again == name
    assert again.path == Path(f"/some/where/{name}")
    assert RolloutName.parse(str(name).upper().replace("ROLLOUT", "rollout")) in (None, name)


@given(text=st.text(max_size=60) | st.from_regex(r"rollout-[0-9T:-]{19}-[0-9a-f-]{36}\.jsonl"))
def test_any_text_parses_to_none_or_to_a_name_with_the_same_text(text: str) -> None:
    name = RolloutName.parse(text)

    assert (
        name is None
        or str(name) == Path(text).name.lower().replace("t", "T", 1).replace("rollouT", "rollout")
        or (str(name).lower() == Path(text).name.lower())
    )


@given(timestamp=MOMENTS, session_id=IDS)
def test_a_parsed_token_equals_the_cursor_it_was_made_from(timestamp: str, session_id: str) -> None:
    cursor = Cursor(timestamp, session_id)

    assert Cursor.parse(str(cursor)) == cursor


# Few days, seconds and ids, so that ties and files in the wrong folder are common.
STAMPS = st.builds(
    "{}-{:02d}-{:02d}T10-00-0{}".format,
    st.sampled_from([2025, 2026]),
    st.sampled_from([1, 11]),
    st.sampled_from([1, 2]),
    st.integers(0, 2),
)
FILES = st.lists(
    st.tuples(STAMPS, st.integers(0, 5), st.none() | st.sampled_from(["2025-01-01", "2026-11-02", ""])),
    max_size=14,
    unique_by=lambda file: file[:2],
)


def fill(home: Path, files: list[tuple[str, int, str | None]]) -> None:
    for stamp, number, day in files:
        session_id = str(UUID(int=number << 80 | 7 << 76 | 2 << 62))
        own_day = stamp[:10] if day is None else day
        folder = home.joinpath("sessions", *(own_day.split("-") if own_day else ()))
        rollouts.put(home, DATA, session_id=session_id, timestamp=stamp, folder=folder)


@settings(max_examples=60, deadline=None)
@given(files=FILES, page_size=st.integers(1, 6), newer=st.integers(0, 3), gone=st.booleans())
def test_concatenated_pages_equal_the_whole_list(
    files: list[tuple[str, int, str | None]], page_size: int, newer: int, gone: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        fill(home, files)
        whole = [name.path for name in walk(home)]
        found: list[Path] = []

        cursor = None
        while True:
            page = list_sessions(home=home, page_size=page_size, cursor=cursor)
            found += [item.path for item in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
            # What is newer than all pages may come at any time; what is older stays where it is.
            if newer:
                newer -= 1
                fill(home, [(f"2027-01-0{newer + 1}T00-00-00", 9, None)])
            if gone and found[-1].parent.name.isdigit() and _is_in_its_folder(found[-1]):
                found[-1].unlink()

        assert found == whole


def _is_in_its_folder(path: Path) -> bool:
    name = RolloutName.parse(path)
    assert name is not None
    return "-".join(path.parts[-4:-1]) == name.timestamp[:10]
