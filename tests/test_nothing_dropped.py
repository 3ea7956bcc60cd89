"""
Each line of a session is shown, or counted where it can be seen: in every era's sessions and in every format.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout import History, load_history
from tests.completeness import assert_nothing_is_dropped
from tests.hostile import CANARY, SESSIONS
from tests.rollouts import ID, answer, bare_session, encode, meta, paginated_session, prompt, put, seed_session

_ERAS: dict[str, bytes] = {
    "before 0.32": bare_session("one", "two"),
    "0.36": encode(seed_session("one", "two")),
    "0.169": encode(paginated_session("one", "two"), first_ordinal=0),
    "empty": encode(seed_session()),
    **{name: SESSIONS[name](CANARY) for name in ("every field", "odd types", "times and ids", "damaged", "images")},
}


@pytest.fixture(params=_ERAS)
def history(request: pytest.FixtureRequest, tmp_path: Path) -> History:
    return load_history(put(tmp_path, _ERAS[request.param]))


def test_each_line_of_a_session_is_shown_or_counted(history: History) -> None:
    assert_nothing_is_dropped(history)


def test_each_own_and_each_inherited_line_of_a_fork_is_shown_or_counted(tmp_path: Path) -> None:
    parent = put(tmp_path, encode(paginated_session("one", "two"), first_ordinal=0))
    own_id = f"{ID[:-1]}f"
    base = {"thread_id": ID, "end_ordinal_exclusive": 9}
    first = meta(own_id, history_mode="paginated", forked_from_id=ID, history_base=base)
    child = put(tmp_path, encode([first, *prompt("three"), *answer("3")], first_ordinal=9), session_id=own_id)
    history = load_history(child)

    assert_nothing_is_dropped(history)

    assert history.inherited, parent
