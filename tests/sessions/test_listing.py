from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from rollout import Cursor, InvalidCursorError, Page, list_sessions, load_history
from tests import rollouts, zstd
from tests.rollouts import TIME_MS, Line, encode, event, message, meta, prompt, put, surroundings

# More lines than are read of the end of a file that is not read whole.
FILLING = [message("assistant", "x" * 200)] * 450


def model(name: str) -> Line:
    return "turn_context", {"model": name}


def session_id(number: int) -> str:
    return str(UUID(int=number << 80 | 7 << 76 | 2 << 62))


def put_numbered(home: Path, number: int, *, timestamp: str | None = None, **options: Any) -> Path:
    stamp = timestamp or f"2026-11-{number % 28 + 1:02d}T10-00-00"
    data = options.pop("data", rollouts.seed_session(f"q{number}", session_id=session_id(number)))
    return put(home, data, session_id=session_id(number), timestamp=stamp, **options)


def pages(**options: Any) -> list[Page]:
    found = [list_sessions(**options)]
    while found[-1].next_cursor is not None:
        found.append(list_sessions(**{**options, "cursor": found[-1].next_cursor}))
        assert len(found) < 1000
    return found


def paths(found: list[Page]) -> list[Path]:
    return [item.path for page in found for item in page.items]


class TestOrder:
    def test_is_newest_first_by_name_across_days_and_years(self, home: Path) -> None:
        stamps = ["2025-12-31T23-59-59", "2026-01-01T00-00-00", "2026-09-30T10-00-00", "2026-10-01T09-00-00"]
        written = [put_numbered(home, n, timestamp=stamp) for n, stamp in enumerate(stamps)]

        assert paths(pages()) == written[::-1]

    def test_within_a_second_is_by_id(self, home: Path) -> None:
        written = [put_numbered(home, n, timestamp="2026-11-21T10-00-00") for n in (3, 1, 2)]

        assert paths(pages(page_size=1)) == sorted(written, reverse=True)

    def test_a_home_without_sessions_has_one_empty_page(self, home: Path) -> None:
        assert pages() == [Page((), None, 0, False)]

    def test_uses_the_given_home(self, home: Path, tmp_path: Path) -> None:
        put_numbered(home, 1)
        other = put_numbered(tmp_path / "other", 2)

        assert paths(pages(home=tmp_path / "other")) == [other]


class TestPages:
    @pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 10])
    def test_the_last_page_has_no_cursor_even_if_it_is_full(self, home: Path, count: int) -> None:
        for n in range(count):
            put_numbered(home, n)

        found = pages(page_size=5)

        assert len(found) == max(1, -(-count // 5))
        assert all(len(page.items) == 5 for page in found[:-1])

    def test_deep_pages_are_reached(self, home: Path) -> None:
        for n in range(250):
            put_numbered(home, n, data=encode([meta(session_id(n)), *prompt("q")]))

        assert len(set(paths(pages(page_size=25)))) == 250

    def test_a_page_opens_only_its_own_files(self, home: Path) -> None:
        for n in range(20):
            put_numbered(home, n)

        assert list_sessions(page_size=3).scanned == 3

    def test_a_session_that_is_deleted_between_pages_does_not_end_the_list(self, home: Path) -> None:
        written = [put_numbered(home, n, timestamp=f"2026-11-21T10-00-0{n}") for n in range(6)][::-1]
        first = list_sessions(page_size=2)
        written[1].unlink()

        second = list_sessions(page_size=2, cursor=first.next_cursor)

        assert [item.path for item in second.items] == written[2:4]

    def test_sessions_in_the_wrong_folder_are_listed_once(self, home: Path) -> None:
        for n in range(6):
            put_numbered(home, n, timestamp=f"2026-11-1{n}T10-00-00", day="2026-11-12" if n % 2 else None)

        for size in range(1, 8):
            found = paths(pages(page_size=size))
            assert len(found) == len(set(found)) == 6

    def test_files_flat_in_the_sessions_folder_are_among_those_of_their_days(self, home: Path) -> None:
        flat = put_numbered(home, 1, timestamp="2026-12-01T10-00-00", folder=home / "sessions")
        older = put_numbered(home, 2, timestamp="2025-05-01T10-00-00")
        newer = put_numbered(home, 3, timestamp="2026-12-01T11-00-00")

        assert paths(pages(page_size=1)) == [newer, flat, older]

    @pytest.mark.parametrize("limits", [{"page_size": 0}, {"page_size": -1}, {"scan_limit": 0}])
    def test_invalid_sizes_are_refused(self, limits: dict[str, int]) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            list_sessions(**limits)  # type: ignore[arg-type]


class TestCursor:
    def test_text_is_the_token_of_codex(self, home: Path) -> None:
        put_numbered(home, 1)
        put_numbered(home, 2)

        cursor = list_sessions(page_size=1).next_cursor

        assert str(cursor) == f"2026-11-03T10-00-00|{session_id(2)}"
        assert cursor == Cursor.parse(str(cursor).upper().replace("T10", "T10"))

    def test_may_be_passed_as_text(self, home: Path) -> None:
        written = [put_numbered(home, n) for n in (1, 2)]

        page = list_sessions(cursor=f"2026-11-03T10-00-00|{session_id(2)}")

        assert [item.path for item in page.items] == written[:1]

    @pytest.mark.parametrize(
        "token",
        ["", "x", "2026-11-03T10-00-00", "2026-11-03T10:00:00|" + rollouts.ID, "2026-13-03T10-00-00|" + rollouts.ID,
         "2026-11-03T10-00-00|x", "|" + rollouts.ID, "2026-11-03T10-00-00|" + rollouts.ID + "x"],
    )  # fmt: skip
    def test_an_invalid_token_is_refused(self, token: str) -> None:
        with pytest.raises(InvalidCursorError, match="is not a cursor"):
            list_sessions(cursor=token)


class TestFilter:
    def test_of_codex_leaves_out_sessions_without_an_early_user_message(self, home: Path) -> None:
        shown = put_numbered(home, 1)
        put_numbered(home, 2, data=encode([meta(), message("user", "no event")]))
        late = [message("assistant", "x")] * 9
        put_numbered(home, 3, data=encode([meta(), *late, *prompt("too late")]))
        put_numbered(home, 4, data=encode(prompt("no meta")))

        assert paths(pages(codex_filter=True)) == [shown]
        assert len(paths(pages())) == 4

    @pytest.mark.parametrize(("records_before", "is_early"), [(8, True), (9, False)])
    def test_early_is_before_the_tenth_record(self, home: Path, records_before: int, is_early: bool) -> None:
        said = [message("assistant", "x")] * records_before
        put_numbered(home, 1, data=encode([meta(), *said, event("token_count"), event("user_message", message="u")]))

        assert list_sessions().items[0].has_early_user_message is is_early

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    def test_pages_end_when_no_more_session_matches(self, home: Path, size: int) -> None:
        fitting = [
            put_numbered(home, n)
            if n % 3 == 1
            else put_numbered(home, n, data=encode([meta()]))
            for n in range(20)
        ]  # fmt: skip
        wanted = sorted((path for n, path in enumerate(fitting) if n % 3 == 1), key=lambda path: path.name)[::-1]

        found = pages(page_size=size, codex_filter=True)

        assert paths(found) == wanted
        assert all(page.items for page in found)

    @pytest.mark.parametrize("limit", [1, 2, 3, 7])
    def test_after_a_cap_the_next_page_continues_there(self, home: Path, limit: int) -> None:
        for n in range(20):
            put_numbered(home, n, data=None if n % 6 == 0 else encode([meta()])) if n % 6 else put_numbered(home, n)

        found = pages(page_size=2, codex_filter=True, scan_limit=limit)

        assert len(paths(found)) == len(set(paths(found))) == 4
        assert all(page.scanned <= limit for page in found)
        assert found[0].reached_cap

    def test_a_cap_below_the_page_size_shortens_the_page(self, home: Path) -> None:
        for n in range(5):
            put_numbered(home, n)

        found = pages(page_size=3, scan_limit=2)

        assert [len(page.items) for page in found] == [2, 2, 1]
        assert [page.reached_cap for page in found] == [True, True, False]


class TestSummary:
    def test_has_the_attributes_of_a_list(self, home: Path) -> None:
        path = put(home, rollouts.seed_session("first words", "more"))

        (item,) = list_sessions().items

        assert (item.path, item.session_id, item.timestamp) == (path, rollouts.ID, "2026-11-21T01-25-37")
        assert item.meta is not None
        assert item.meta.cwd == "/home/dev/demo"
        assert item.preview == "first words"
        assert item.has_early_user_message
        assert item.size == path.stat().st_size
        assert item.updated_at is not None
        assert item.updated_at.timestamp() == pytest.approx(TIME_MS / 1000)
        assert not item.is_updated_by_file
        assert item.title == "first words"
        assert not item.is_archived
        assert item.problem is None

    def test_head_and_tail_are_the_first_and_last_ten_records(self, home: Path) -> None:
        said = [message("assistant", str(n)) for n in range(30)]
        put(home, [meta(), event("token_count"), *said[:15], event("token_count"), *said[15:], event("token_count")])

        (item,) = list_sessions().items

        assert item.head == (meta()[1], *(payload for _, payload in said[:9]))
        assert item.tail == tuple(payload for _, payload in said[20:])

    def test_tail_of_a_short_session_is_all_its_items(self, home: Path) -> None:
        put(home, encode([meta(), message("user", "a")]) + b"bad\n" + encode([message("user", "b")]) + b'{"torn')

        (item,) = list_sessions().items

        assert item.tail == (message("user", "a")[1], message("user", "b")[1])

    @pytest.mark.parametrize(
        ("lines", "preview"),
        [
            ([surroundings(), *prompt("said")], "said"),
            ([event("user_message", message="  event \n")], "event"),
            ([message("user", "item only")], "item only"),
            (rollouts.paginated_session("of today")[1:], "of today"),
            ([event("item_completed", item={"type": "UserMessage", "content": [{"text": "shown"}]})], "shown"),
            ([event("thread_goal_updated", goal={"objective": "a goal"})], "a goal"),
            ([event("user_message", message="# Files\n## My request for Codex:\nfix it")], "fix it"),
            ([event("user_message", message="  "), *prompt("next")], "next"),
            ([event("user_message", message=1), event("thread_goal_updated", goal=None)], None),
            ([event("item_completed", item={"type": "AgentMessage"}), event("item_completed", item=1)], None),
            ([message("assistant", "x")] * 205 + prompt("in a small file"), "in a small file"),
            ([message("assistant", "x" * 400)] * 205 + prompt("too far"), None),
            (prompt("long " * 200), "long " * 100),
        ],
    )
    def test_preview_is_the_first_prompt(self, home: Path, lines: list[rollouts.Line], preview: str | None) -> None:
        put(home, [meta(), *lines])

        assert list_sessions().items[0].preview == preview

    @pytest.mark.parametrize(
        ("text", "title"),
        [
            (" fix\n\n the\tparser ", "fix the parser"),
            ("x" * 120, "x" * 120),
            ("x" * 121, "x" * 119 + "…"),
            ("word " * 50, "word " * 23 + "word…"),
            ("  \n ", None),
        ],
    )
    def test_title_is_the_first_prompt_on_one_line(self, home: Path, text: str, title: str | None) -> None:
        path = put(home, [meta(), *prompt(text)])

        (item,) = list_sessions().items

        assert item.title == item.facts.title == title
        assert load_history(path).document().title == (title or rollouts.ID)

    def test_a_session_that_begins_with_an_image_has_the_title_of_its_next_prompt(self, home: Path) -> None:
        image = rollouts.item("message", role="user", content=[{"type": "input_image", "image_url": "data:,x"}])
        put(home, [meta(), image, message("assistant", "nice"), *prompt("what is it?")])

        (item,) = list_sessions().items

        assert (item.preview, item.title) == ("what is it?", "what is it?")

    @pytest.mark.parametrize("suffix", ["", ".zst"])
    def test_a_large_session_has_the_model_and_the_time_of_its_last_lines(self, home: Path, suffix: str) -> None:
        last = encode([model("three"), message("assistant", "last")]).replace(b"2026-11-21", b"2026-11-22")
        data = encode([meta(), model("one"), *prompt("first"), *FILLING, model("two"), *FILLING[:50]]) + last
        path = put(home, zstd.compress(data) if suffix else data, suffix=suffix)
        os.utime(path, (TIME_MS / 1000 + 10**6,) * 2)

        (item,) = list_sessions().items

        assert item.facts.model == "three"
        assert item.updated_at == datetime.fromtimestamp(TIME_MS / 1000 + 86_400, timezone.utc)
        assert (item.is_updated_by_file, item.preview, item.facts.cwd) == (False, "first", "/home/dev/demo")

    def test_a_large_session_without_a_model_in_its_last_lines_has_none(self, home: Path) -> None:
        put(home, [meta(), model("one"), *prompt("first"), *FILLING])

        assert list_sessions().items[0].facts.model is None

    def test_a_small_session_has_its_last_model(self, home: Path) -> None:
        settings = event("thread_settings_applied", thread_settings={"model": "two"})
        put(home, [meta(), model("one"), *prompt("first"), settings, *[message("assistant", "x")] * 250])

        assert list_sessions().items[0].facts.model == "two"

    def test_a_session_was_last_used_when_its_last_line_with_a_time_was_recorded(self, home: Path) -> None:
        untimed = encode([event("token_count")]).replace(b'"timestamp":"2', b'"timestamp":"x')
        put(home, encode(rollouts.seed_session("one")) + untimed + b'{"torn')

        (item,) = list_sessions().items

        assert item.updated_at == datetime.fromtimestamp(TIME_MS / 1000, timezone.utc)
        assert not item.is_updated_by_file

    def test_a_session_was_not_used_before_its_start(self, home: Path) -> None:
        put(home, [meta(timestamp="2026-11-24T00:00:00.000Z"), *prompt("copied")])

        (item,) = list_sessions().items

        assert (item.updated_at, item.is_updated_by_file) == (datetime(2026, 11, 24, tzinfo=timezone.utc), False)

    def test_a_session_without_a_time_was_last_used_when_its_file_was_changed(self, home: Path) -> None:
        lines = [meta(timestamp=None), *prompt("one")]
        path = put(home, encode(lines).replace(b'"timestamp":"2', b'"timestamp":"x'))
        os.utime(path, (TIME_MS / 1000, TIME_MS / 1000))

        (item,) = list_sessions().items

        assert item.updated_at == datetime.fromtimestamp(TIME_MS / 1000, timezone.utc)
        assert item.is_updated_by_file

    def test_a_compressed_session_too_large_to_read_was_last_used_when_its_file_was_changed(self, home: Path) -> None:
        compressor = zstd.ZstdCompressor()
        block = encode([message("assistant", "x" * 2**20)])
        parts = [encode([meta(), model("one"), *prompt("first")]), *[block] * 65]
        path = put(home, b"".join(map(compressor.compress, parts)) + compressor.flush(), suffix=".zst")
        os.utime(path, (TIME_MS / 1000 + 500,) * 2)

        (item,) = list_sessions().items

        assert (item.preview, item.facts.model, item.tail, item.problem) == ("first", None, (), None)
        assert item.updated_at == datetime.fromtimestamp(TIME_MS / 1000 + 500, timezone.utc)
        assert item.is_updated_by_file

    def test_a_compressed_session_is_listed_and_hidden_by_a_plain_one(self, home: Path) -> None:
        data = encode(rollouts.seed_session("one", "two", "three", "four", "five", "six"))
        packed = put(home, zstd.compress(data), suffix=".zst")

        (compressed,) = list_sessions().items
        plain = put(home, data)
        (item,) = list_sessions().items

        assert (compressed.path, item.path) == (packed, plain)
        assert (compressed.preview, compressed.head, compressed.tail) == (item.preview, item.head, item.tail)

    def test_a_session_before_the_envelope_is_listed(self, home: Path) -> None:
        put(home, rollouts.bare_session("old words"))

        (item,) = list_sessions().items

        assert item.meta is not None
        assert item.meta.cwd == "/home/dev/demo"
        assert (item.preview, item.has_early_user_message) == ("old words", False)

    @pytest.mark.parametrize("is_cut", [True, False])
    def test_a_session_without_its_first_line_is_listed_with_the_id_in_its_name(self, home: Path, is_cut: bool) -> None:
        first, *rest = encode(rollouts.seed_session("first words")).splitlines(keepends=True)
        put(home, first[30:] * is_cut + b"".join(rest))

        (item,) = list_sessions().items

        assert (item.session_id, item.timestamp, item.meta) == (rollouts.ID, "2026-11-21T01-25-37", None)
        assert (item.preview, item.facts.cwd) == ("first words", "/home/dev/demo")
        assert item.updated_at == datetime.fromtimestamp(TIME_MS / 1000, timezone.utc)
        assert str(item.problem).startswith("line 1: not JSON" if is_cut else "no session_meta")

    def test_an_archived_session_whose_name_is_also_live_is_listed_only_as_live(self, home: Path) -> None:
        live = put_numbered(home, 1)
        put_numbered(home, 1, data=zstd.compress(b""), folder=home / "archived_sessions", suffix=".zst")
        archived = put_numbered(home, 2, folder=home / "archived_sessions")

        assert paths(pages()) == [live]
        assert paths(pages(archived=True)) == [archived]

    def test_archived_sessions_are_listed_on_request(self, home: Path) -> None:
        live = put_numbered(home, 1)
        archived = put_numbered(home, 2, folder=home / "archived_sessions")

        assert paths(pages()) == [live]
        assert paths(pages(archived=True)) == [archived]
        assert list_sessions(archived=True).items[0].is_archived


class TestDamage:
    @pytest.mark.parametrize(
        ("data", "problem"),
        [
            (b"", "empty session file"),
            (encode(prompt("x")), "no session_meta"),
            (b"\x00" * 50 + b"\n" + encode([meta()]), "line 1: not JSON"),
            (encode([meta()]) + b'{"torn', "line 2: torn"),
        ],
    )
    def test_is_reported_and_does_not_end_the_list(self, home: Path, data: bytes, problem: str) -> None:
        bad = put_numbered(home, 2, data=data)
        good = put_numbered(home, 1)

        page = list_sessions()

        assert [item.path for item in page.items] == [bad, good]
        assert str(page.items[0].problem).startswith(problem)
        assert [(found.path, found.reason) for found in page.problems] == [(bad, page.items[0].problem)]

    def test_a_file_that_cannot_be_opened_is_reported(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bad, good = put_numbered(home, 2), put_numbered(home, 1)
        real = os.open

        def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
            if Path(path) == bad:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *args, **kwargs)

        monkeypatch.setattr(os, "open", refuse)
        page = list_sessions()

        assert [item.path for item in page.items] == [bad, good]
        assert "Permission denied" in str(page.items[0].problem)

    def test_a_folder_that_cannot_be_read_is_reported(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bad, good = put_numbered(home, 2).parent, put_numbered(home, 1)
        real = os.listdir

        def refuse(path: Any) -> Any:
            if Path(path) == bad:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)

        monkeypatch.setattr(os, "listdir", refuse)
        page = list_sessions()

        assert [item.path for item in page.items] == [good]
        assert [(found.path, found.reason) for found in page.problems] == [(bad, "Permission denied")]

    def test_a_damaged_compressed_session_is_reported(self, home: Path) -> None:
        put_numbered(home, 1, data=zstd.compress(encode([meta(), *prompt("x")]))[:-4], suffix=".zst")

        (item,) = list_sessions().items

        assert "damaged" in str(item.problem)
