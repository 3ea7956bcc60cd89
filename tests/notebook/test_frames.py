from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rollout import Recorder, load_history
from rollout.document import Call, Document, Item, Turn
from rollout.document._frame import ITEM_COLUMNS, document_frame, frame_of
from rollout.frames import SESSION_COLUMNS, _read, _row, sessions_dataframe
from rollout.interpret._usage import TOKEN_NAMES
from rollout.schema import SessionMeta
from rollout.search import Filters, indexed_sessions, update_index
from tests import zstd
from tests.hostile import SESSIONS
from tests.rollouts import ID, encode, message, meta, put, seed_session, token_count

pd: Any = pytest.importorskip("pandas", reason="tables need pandas")

DOCS = Path(__file__).parent.parent.parent / "docs" / "notebook.md"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def dtypes(frame: Any) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def document(*turns: Turn, **fields: Any) -> Document:
    own = SessionMeta(id=ID, timestamp="2026-11-21T01:25:37.094Z", cwd="/work", originator="codex", cli_version="1")
    return Document(ID, Path("/r.jsonl"), own, list(turns), **fields)


def at(second: int) -> str:
    return f"2026-11-21T01:25:{second:02d}.250Z"


def noise(count: int) -> list[Any]:
    """
    Lines that do not compress.
    """
    source = Random(1)
    return [message("assistant", source.randbytes(400).hex()) for _ in range(count)]


def test_a_session_is_a_table_of_its_items(recorder: Recorder) -> None:
    recorder.user_message("What is here?")
    recorder.tool_output(recorder.tool_call("shell", {"command": ["ls"]}), "README.md")
    recorder.agent_message("A README.")
    recorder.flush()

    frame = load_history(recorder.path).to_dataframe()

    assert dtypes(frame) == ITEM_COLUMNS
    assert frame["kind"].tolist() == ["user", "call", "agent"]
    assert frame["turn"].tolist() == [1, 1, 1]
    assert frame["tool"].tolist() == [pd.NA, "shell", pd.NA]
    assert frame["text"].tolist() == ["What is here?", "ls", "A README."]
    assert frame["output"].tolist() == [pd.NA, "README.md", pd.NA]
    assert frame["characters"].tolist() == [13, 11, 9]
    assert frame["is_failed"].tolist() == [pd.NA, False, pd.NA]
    age = datetime.now(timezone.utc) - frame["timestamp"].iloc[0].to_pydatetime()
    assert 0 <= age.total_seconds() < 60


def test_a_table_has_the_same_dtypes_without_rows() -> None:
    empty = document_frame(document())

    assert (len(empty), dtypes(empty)) == (0, ITEM_COLUMNS)


def test_calls_have_their_duration_and_exit_code() -> None:
    calls = [
        Call("a", input="x", output="y", exit_code=1, is_failed=True, duration=2.0, elapsed=9.0),
        Call("b", output="", elapsed=3.0),
        Call("c"),
    ]
    items = [Item(str(number), "call", timestamp=at(number), call=call) for number, call in enumerate(calls)]

    frame = document_frame(document(Turn(1, items=items)))

    assert frame["duration_seconds"].fillna(-1).tolist() == [2.0, 3.0, -1.0]
    assert frame["exit_code"].tolist() == [1, pd.NA, pd.NA]
    assert frame["is_failed"].tolist() == [True, False, pd.NA]


def test_each_item_has_the_tokens_used_before_it() -> None:
    items = [Item(str(second), "agent", timestamp=at(second)) for second in (1, 3, 5)]
    other = Turn(1, items=[Item("b1", "agent", timestamp=at(1))], is_inherited=True)

    frame = document_frame(
        document(other, Turn(2, items=items), token_growth=[(at(5), 900), (at(2), 100), ("never", 7)])
    )

    assert frame["total_tokens"].tolist() == [pd.NA, 0, 100, 900]
    assert frame["is_inherited"].tolist() == [True, False, False, False]


def test_damaged_times_and_numbers_are_missing() -> None:
    call = Call("a", output="", exit_code=2**70)
    items = [
        Item(str(n), "call", timestamp=text, call=call) for n, text in enumerate(["never", None, "2026-13-01", at(1)])
    ]

    frame = document_frame(document(Turn(1, items=items)))

    assert frame["timestamp"].isna().tolist() == [True, True, True, False]
    assert frame["timestamp"].iloc[3].isoformat() == "2026-11-21T01:25:01.250000+00:00"
    assert frame["exit_code"].isna().all()


def test_a_time_beyond_the_range_of_nanoseconds_is_kept() -> None:
    frame = document_frame(document(Turn(1, items=[Item("1", "agent", timestamp="9999-12-31T23:59:59.000Z")])))

    assert frame["timestamp"].iloc[0].year == 9999


def test_a_table_of_any_recorded_text_can_be_written(tmp_path: Path) -> None:
    frame = document_frame(document(Turn(1, items=[Item("1", "agent", text="half \ud800 of one")])))

    frame.to_csv(tmp_path / "table.csv")

    assert frame["text"].tolist() == ["half \ufffd of one"]


@pytest.mark.parametrize("name", [name for name in SESSIONS if name != "damaged"])
def test_hostile_sessions_become_tables(home: Path, name: str) -> None:
    path = put(home, SESSIONS[name]("http://127.0.0.1:9"))

    frame, sessions = load_history(path).to_dataframe(), sessions_dataframe()

    assert (dtypes(frame), dtypes(sessions)) == (ITEM_COLUMNS, SESSION_COLUMNS)
    assert (len(frame) > 0, len(sessions)) == (True, 1)


def put_archived(home: Path) -> Path:
    own = f"{ID[:-1]}2"
    return put(home, seed_session("archived", session_id=own), session_id=own, folder=home / "archived_sessions")


def test_a_home_is_a_table_of_its_sessions(home: Path) -> None:
    usage = {"input_tokens": 90, "cached_input_tokens": 40, "output_tokens": 10, "total_tokens": 100}
    counted = token_count(usage)
    call = "response_item", {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "1"}
    answer = "response_item", {"type": "function_call_output", "call_id": "1", "output": "err: no"}
    put(home, [*seed_session("older", session_id=f"{ID[:-1]}1"), counted, call, answer], session_id=f"{ID[:-1]}1")
    put(home, seed_session("newer"), timestamp="2026-11-22T01-25-37")
    put_archived(home)

    frame = sessions_dataframe(home)

    assert dtypes(frame) == SESSION_COLUMNS
    assert frame["first_words"].tolist() == ["newer", "archived", "older"]
    assert frame["started"].iloc[0].isoformat() == "2026-11-22T01:25:37"
    older = frame.iloc[2].to_dict()
    assert (older["cwd"], older["branch"], older["originator"]) == ("/home/dev/demo", "master", "codex")
    assert (older["turns"], older["tool_calls"], older["tool_failures"], older["total_tokens"]) == (1, 1, 1, 100)
    assert (older["input_tokens"], older["cached_input_tokens"], older["output_tokens"]) == (90, 40, 10)
    assert older["size_bytes"] == Path(older["path"]).stat().st_size
    assert frame["is_archived"].tolist() == [False, True, False]
    assert frame["problem"].isna().all()


def test_what_no_line_of_a_session_states_is_missing(home: Path) -> None:
    put(home, seed_session("unknown"))
    put(home, [*seed_session("none", session_id=f"{ID[:-1]}1"), token_count(dict.fromkeys(TOKEN_NAMES, 0))],
        session_id=f"{ID[:-1]}1")  # fmt: skip

    frame = sessions_dataframe().set_index("first_words")

    names = list(TOKEN_NAMES)
    columns = [*names, "tool_seconds", "active_seconds"]
    assert frame.loc["unknown", columns].isna().all()
    assert frame.loc["none", names].tolist() == [0] * 5


def test_the_tokens_of_items_are_missing_if_no_line_states_tokens(home: Path) -> None:
    frame = load_history(put(home, seed_session("x"))).to_dataframe()

    assert frame["total_tokens"].isna().all()


def test_first_words_have_at_most_500_characters_with_and_without_an_index(home: Path) -> None:
    put(home, seed_session("a\n" + "x" * 600))
    read = sessions_dataframe()["first_words"].tolist()

    update_index()

    assert read == sessions_dataframe()["first_words"].tolist() == ["a\n" + "x" * 498]


def test_updated_is_the_time_of_the_last_line(home: Path) -> None:
    put(home, seed_session("x"))

    assert sessions_dataframe()["updated"].iloc[0].isoformat() == "2026-11-21T01:25:37.122000+00:00"


def test_the_index_and_the_files_give_the_same_table(home: Path) -> None:
    put(home, seed_session("one"))
    put(home, [*seed_session("two", session_id=f"{ID[:-1]}1"), meta()], session_id=f"{ID[:-1]}1")
    put(home, seed_session("bad", session_id=f"{ID[:-1]}2"), session_id=f"{ID[:-1]}2")
    read = sessions_dataframe()

    update_index()

    pd.testing.assert_frame_equal(sessions_dataframe(), read)


def test_an_empty_home_has_the_same_columns(home: Path) -> None:
    frame = sessions_dataframe()

    assert (len(frame), dtypes(frame)) == (0, SESSION_COLUMNS)


def test_filters_select_sessions(home: Path) -> None:
    put(home, seed_session("live"))
    put_archived(home)

    assert sessions_dataframe(filters=Filters(archived=True))["first_words"].tolist() == ["archived"]
    assert len(sessions_dataframe(filters=Filters(cwd="/elsewhere"))) == 0


def test_a_damaged_session_is_listed_with_its_problem(home: Path) -> None:
    put(home, b"".join([put(home, seed_session("x")).read_bytes(), b"{not json\n", b"[]\n"]))

    (problem,) = sessions_dataframe()["problem"]

    assert problem.startswith("line 7: ")


def test_a_session_of_the_31st_of_november_has_no_time(home: Path) -> None:
    put(home, seed_session("x"), timestamp="2026-11-31T01-25-37", folder=home / "archived_sessions")

    assert sessions_dataframe()["started"].isna().tolist() == [True]


def test_a_truncated_session_has_the_counts_of_its_readable_lines(home: Path) -> None:
    path = put(home, zstd.compress(encode([*seed_session("x"), *noise(500)])), suffix=".zst")
    path.write_bytes(path.read_bytes()[:-100])

    (row,) = sessions_dataframe().to_dict("records")

    assert (row["turns"], row["problem"].startswith("line ")) == (1, True)


def test_a_session_deleted_while_it_is_read_has_no_counts(home: Path) -> None:
    put(home, seed_session("x"))
    (session,) = indexed_sessions()
    session.path.unlink()

    frame = frame_of(SESSION_COLUMNS, [_row(session, *_read(session))])

    assert (frame["turns"].isna().all(), frame["first_words"].tolist()) == (True, ["x"])
    assert "No such file" in frame["problem"].iloc[0]


@pytest.mark.parametrize("make", [sessions_dataframe, lambda: document_frame(document())])
def test_without_pandas_the_error_names_the_extra(make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(ModuleNotFoundError, match=r"pip install 'rollout-recorder\[pandas\]'") as caught:
        make()

    assert caught.value.name == "pandas"


def test_importing_loads_no_pandas() -> None:
    script = (
        "import sys, rollout, rollout.frames, rollout.sessions, rollout.document._frame; print('pandas' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("columns", "maker"), [(ITEM_COLUMNS, "to_dataframe"), (SESSION_COLUMNS, "sessions_dataframe")]
)
def test_each_column_is_documented_with_its_dtype(columns: dict[str, str], maker: str) -> None:
    documented = (load_history_docstring() if maker == "to_dataframe" else sessions_dataframe.__doc__) or ""
    page = DOCS.read_text().partition(f"## `{maker}`")[2].partition("\n## ")[0]

    for name, dtype in columns.items():
        assert f"*{name}*" in documented
        assert f"| `{name}` | {dtype} |" in page


def load_history_docstring() -> str | None:
    from rollout import History

    return History.to_dataframe.__doc__
