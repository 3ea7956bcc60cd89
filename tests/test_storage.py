from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout import SessionNotFoundError
from rollout import storage as storage_module
from rollout.storage import Storage, TypeSize, home_storage, session_storage
from tests import rollouts, zstd
from tests.memory import peak_memory
from tests.rollouts import ID, encode, event, item, message, meta, put, seed_session

OTHER = "01a1fbb5-7abd-7c53-8766-f128212a6000"
PNG = "data:image/png;base64," + "iVBORw0KGgo" * 100
JPEG = "data:image/jpeg;base64," + "QUJD" * 50


def compacted(*items: Any, **fields: Any) -> rollouts.Line:
    return "compacted", {"message": "", "replacement_history": list(items), **fields}


def shown(url: Any) -> rollouts.Line:
    return item("message", role="user", content=[{"type": "input_image", "image_url": url}])


def size_of(*items: Any) -> int:
    return sum(len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()) for value in items)


def stored(home: Path, *lines: rollouts.Line, **where: Any) -> Storage:
    return session_storage(put(home, [meta(), *lines], **where))


def test_the_lines_of_a_session_are_counted_by_type_the_largest_first(home: Path) -> None:
    lines = [*seed_session("one", "two" * 500), ("turn_context", {"cwd": "/x"}), ("frobnicated", {"type": "x"})]
    path = put(home, lines)

    storage = session_storage(ID)

    sizes = [len(raw) for raw in encode(lines).splitlines()]
    assert storage.sessions == 1
    assert storage.size == storage.plain_size == path.stat().st_size == sum(sizes) + len(sizes)
    assert storage.largest == ((path, storage.size),)
    assert storage.by_type["session_meta"] == TypeSize(1, sizes[0])
    assert storage.by_type["frobnicated"] == TypeSize(1, sizes[-1])
    assert list(storage.by_type) == [
        "response_item/message",
        "event_msg/user_message",
        "event_msg/agent_message",
        "session_meta",
        "turn_context",
        "frobnicated",
    ]
    assert sum(kind.size for kind in storage.by_type.values()) == sum(sizes)
    assert sum(kind.count for kind in storage.by_type.values()) == len(lines)


def test_a_session_is_found_by_path_id_and_beginning(home: Path) -> None:
    path = put(home, seed_session("one"))

    assert session_storage(path) == session_storage(ID) == session_storage(ID[:13], home=home)
    with pytest.raises(SessionNotFoundError):
        session_storage(OTHER)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        session_storage(tmp_path / "missing.jsonl")
    with pytest.raises(IsADirectoryError):
        session_storage(tmp_path)


def test_unreadable_bytes_are_counted(home: Path) -> None:
    path = put(home, encode([meta()]) + b"garbage\n\n" + encode([message("user", "one")]) + b'{"timestamp":"20')

    storage = session_storage(path)

    assert storage.unreadable == len(b"garbage") + len(b'{"timestamp":"20')
    assert sum(kind.count for kind in storage.by_type.values()) == 2
    assert storage.problems == ()


def test_lines_before_the_envelope_have_their_own_types(home: Path) -> None:
    data = rollouts.bare_session("one")
    path = put(home, data)

    storage = session_storage(path)

    assert {name: kind.count for name, kind in storage.by_type.items()} == {
        "bare/response_item": 3,
        "bare/state": 3,
        "bare/session_meta": 1,
    }
    assert sum(kind.size for kind in storage.by_type.values()) == len(data.replace(b"\n", b""))


def test_a_compressed_session_has_the_same_counts_as_the_plain_one(home: Path) -> None:
    data = encode([*seed_session("one"), shown(PNG), compacted(shown(PNG)[1])])
    plain = session_storage(put(home, data))
    path = put(home, zstd.compress(data), suffix=".zst", session_id=OTHER)

    storage = session_storage(path)

    assert storage.size == path.stat().st_size < storage.plain_size == plain.plain_size == len(data)
    assert storage.by_type == plain.by_type
    assert (storage.images, storage.repeated_images) == (plain.images, plain.repeated_images)
    assert storage.compaction_copies == plain.compaction_copies > 0


def test_a_damaged_compressed_session_is_counted_up_to_the_damage(home: Path) -> None:
    data = zstd.compress(encode(seed_session(*map(str, range(2000)))))
    path = put(home, data[: len(data) // 2], suffix=".zst")

    storage = session_storage(path)

    assert 0 < storage.by_type["response_item/message"].count < 4001
    assert storage.unreadable == 0
    assert [(problem.path, "damaged" in problem.reason) for problem in storage.problems] == [(path, True)]


@pytest.mark.parametrize(
    "line",
    [
        shown(PNG),
        shown({"url": PNG}),
        event("user_message", message="look", images=[PNG]),
        item("function_call_output", call_id="c", output=[{"type": "input_image", "image_url": PNG}]),
        event("mcp_tool_call_end", call_id="c", result={"Ok": {"content": [{"text": PNG}]}}),
        event("item_completed", item={"type": "UserMessage", "content": [{"type": "image", "image_url": PNG}]}),
        compacted(shown(PNG)[1]),
    ],
    ids=["message", "object", "event", "output", "mcp", "item", "compaction"],
)
def test_inline_images_are_counted_in_every_kind_of_line(home: Path, line: rollouts.Line) -> None:
    storage = stored(home, line)

    assert storage.images == TypeSize(1, len(PNG))
    assert storage.repeated_images == 0


def test_a_generated_image_without_a_data_url_prefix_is_counted(home: Path) -> None:
    made = PNG.partition(",")[2]
    call = item("image_generation_call", id="ig_1", status="completed", revised_prompt="a cat", result=made)

    storage = stored(home, call, event("image_generation_end", call_id="ig_1", result=made), compacted(call[1]))

    assert storage.images == TypeSize(3, 3 * len(made))
    assert storage.repeated_images == storage.repeated_images_in_session == 2 * len(made)


def test_a_generated_image_that_is_shown_as_a_data_url_is_a_repeat(home: Path) -> None:
    call = item("image_generation_call", id="ig_1", result=PNG.partition(",")[2])

    assert stored(home, call, shown(PNG)).repeated_images == len(PNG)


def test_links_texts_and_unfinished_images_are_no_inline_images(home: Path) -> None:
    lines = [
        shown("https://example.org/data:image/png"),
        message("user", PNG),
        event("user_message", message=PNG, images=None),
        item("function_call_output", call_id="c", output="no data: here"),
        item("image_generation_call", id="ig_1", status="in_progress", result=""),
        event("web_search_end", result="data-free"),
    ]

    assert stored(home, *lines).images == TypeSize()


def test_repeats_of_an_image_are_counted_in_a_session_and_across_sessions(home: Path) -> None:
    put(home, [meta(), shown(PNG), shown(JPEG)], timestamp="2026-11-21T01-25-36")
    put(home, [meta(OTHER), shown(PNG), shown(PNG), shown(PNG)], session_id=OTHER)

    storage = home_storage()

    assert storage.images == TypeSize(5, 4 * len(PNG) + len(JPEG))
    assert storage.repeated_images == 3 * len(PNG)
    assert storage.repeated_images_in_session == 2 * len(PNG)
    assert session_storage(ID).repeated_images == 0


def test_an_image_repeated_in_another_session_is_no_repeat_in_the_same_session(home: Path) -> None:
    for number in range(3):
        put(home, [meta(), shown(PNG)], timestamp=f"2026-11-21T01-25-3{number}")

    storage = home_storage()

    assert (storage.repeated_images, storage.repeated_images_in_session) == (2 * len(PNG), 0)


def test_items_repeated_by_a_compaction_are_counted(home: Path) -> None:
    said, answered, later = (message("user", "ünd"), message("assistant", "x" * 300), message("user", "later"))
    summary = message("user", "summary")

    storage = stored(
        home, said, answered, compacted(said[1], summary[1]), later, compacted(said[1], summary[1], later[1], "new")
    )

    assert storage.compaction_copies == 2 * size_of(said[1]) + size_of(summary[1]) + size_of(later[1])


def test_an_item_repeated_without_its_ids_is_a_copy(home: Path) -> None:
    plain = message("user", "one")[1]
    passing = {"internal_chat_message_metadata_passthrough": {"turn_id": "t"}}

    storage = stored(home, ("response_item", {**plain, "id": "msg_1", **passing}), compacted(plain, {**plain, "id": 2}))

    assert storage.compaction_copies == 2 * size_of(plain)


def test_a_compaction_that_repeats_nothing_has_no_copies(home: Path) -> None:
    lines = [message("user", "one"), ("compacted", {"message": "summary"}), compacted(message("user", "two")[1])]

    assert stored(home, *lines).compaction_copies == 0


def test_items_without_a_json_form_are_not_counted_as_copies(home: Path) -> None:
    nan = b'{"timestamp":"t","type":"compacted","payload":{"replacement_history":[NaN,1e999,[NaN]]}}\n'

    storage = session_storage(put(home, encode([meta()]) + nan * 2))

    assert storage.compaction_copies == 0
    assert storage.by_type["compacted"].count == 2


def test_a_home_is_the_sum_of_its_live_and_archived_sessions(home: Path) -> None:
    live = put(home, seed_session("one"))
    archived = put(home, seed_session("two" * 99), session_id=OTHER, folder=home / "archived_sessions")

    storage = home_storage()

    one, two = session_storage(live), session_storage(archived)
    assert storage.sessions == 2
    assert storage.size == storage.plain_size == one.size + two.size
    assert storage.by_type["response_item/message"].count == 6
    assert storage.archived_size == two.archived_size == two.size
    assert one.archived_size == 0
    assert storage.largest == ((archived, two.size), (live, one.size))
    assert storage.problems == ()


def test_deleted_sessions_are_counted_only_by_size(home: Path) -> None:
    put(home, seed_session("one"))
    deleted = put(home, b"garbage", session_id=OTHER, folder=home / "deleted_sessions")
    deleted.with_name("notes.txt").write_text("not a session")

    storage = home_storage()

    assert storage.deleted_size == len(b"garbage")
    assert (storage.sessions, storage.unreadable) == (1, 0)


def test_a_home_without_sessions_has_empty_storage(home: Path) -> None:
    assert home_storage() == home_storage(home=home / "missing") == Storage()


@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_the_given_number_of_largest_sessions_is_listed(home: Path, count: int) -> None:
    paths = [put(home, encode([meta()]) * n, timestamp=f"2026-11-21T01-25-1{n}") for n in (2, 5, 1, 4)]

    storage = home_storage(largest=count)

    wanted = sorted(paths, key=lambda path: -path.stat().st_size)[:count]
    assert storage.largest == tuple((path, path.stat().st_size) for path in wanted)


def test_only_plain_files_unchanged_for_a_week_are_compressible(home: Path) -> None:
    old = put(home, seed_session("one"))
    put(home, seed_session("two"), timestamp="2026-11-21T01-25-38")
    packed = put(home, zstd.compress(encode(seed_session("3"))), suffix=".zst", timestamp="2026-11-21T01-25-39")
    for path in (old, packed):
        os.utime(path, (time.time() - 8 * 86_400,) * 2)

    assert home_storage().compressible == old.stat().st_size


def test_a_compressed_file_with_a_plain_one_is_not_counted(home: Path) -> None:
    plain = put(home, seed_session("one"))
    put(home, b"left by a crash", suffix=".zst")

    storage = home_storage()

    assert (storage.sessions, storage.size, storage.problems) == (1, plain.stat().st_size, ())


def test_links_are_not_followed(home: Path, tmp_path: Path) -> None:
    outside = put(tmp_path / "outside", [meta(), shown(PNG)])
    day = put(home, seed_session("one")).parent
    day.joinpath(f"rollout-2026-11-21T01-25-38-{OTHER}.jsonl").symlink_to(outside)
    day.with_name("22").symlink_to(outside.parent)
    trash = home / "deleted_sessions"
    trash.mkdir()
    (trash / outside.name).symlink_to(outside)

    storage = home_storage()

    assert (storage.sessions, storage.images, storage.deleted_size) == (1, TypeSize(), 0)


def test_an_unreadable_file_is_a_problem_and_its_size_is_counted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = put(home, seed_session("one"))
    bad = put(home, seed_session("two"), session_id=OTHER)
    read_lines = storage_module.read_lines

    def refuse(path: Path) -> Any:
        if path == bad:
            raise PermissionError(13, "Permission denied", str(path))
        return read_lines(path)

    monkeypatch.setattr(storage_module, "read_lines", refuse)

    storage = home_storage()

    assert storage.size == good.stat().st_size + bad.stat().st_size
    assert storage.by_type == session_storage(good).by_type
    assert [(problem.path, "Permission denied" in problem.reason) for problem in storage.problems] == [(bad, True)]


def test_a_compressed_session_is_a_problem_without_the_extra_zstd(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(home, b"x", suffix=".zst")
    monkeypatch.setitem(sys.modules, "compression.zstd" if sys.version_info >= (3, 14) else "backports", None)

    storage = home_storage()

    assert storage.size == 1
    assert [(problem.path, "rollout-recorder[zstd]" in problem.reason) for problem in storage.problems] == [
        (path, True)
    ]
    with pytest.raises(ModuleNotFoundError):
        session_storage(path)


def test_a_session_removed_while_the_home_is_read_is_a_problem_and_is_not_counted(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(home, seed_session("one"))
    gone = storage_module.RolloutName("2026-11-21T01-25-38", OTHER, path=path.with_name("gone"))
    listed = [*storage_module.walk(home), gone]
    monkeypatch.setattr(storage_module, "walk", lambda _, archived=False, **__: [] if archived else listed)
    monkeypatch.setattr(storage_module, "rollouts_in", lambda *_: listed)

    storage = home_storage()

    assert storage.sessions == 1
    assert storage.size == storage.deleted_size == path.stat().st_size
    assert [problem.path for problem in storage.problems] == [gone.path]


def test_progress_never_exceeds_its_total_while_sessions_are_added(home: Path) -> None:
    put(home, seed_session("one"))
    calls: list[tuple[int, int, int, int]] = []

    def progress(*figures: int) -> None:
        calls.append(figures)  # type: ignore[arg-type]
        put(home, seed_session("more" * 999), session_id=OTHER, folder=home / "archived_sessions")

    storage = home_storage(progress=progress)

    assert [figures[:2] for figures in calls] == [(1, 1), (2, 2)]
    assert calls[-1][2:] == (storage.size, storage.size)


def test_progress_is_reported_after_each_file_and_within_large_ones(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "_TICK_SIZE", 1000)
    sizes = [
        put(home, seed_session(*"abcdefghijkl"), timestamp=f"2026-11-21T01-25-3{number}").stat().st_size
        for number in range(3)
    ]
    put(home, zstd.compress(encode(seed_session(*"abcdefghijkl"))), timestamp="2026-11-21T01-25-00", suffix=".zst")
    calls: list[tuple[int, int, int, int]] = []

    storage = home_storage(progress=lambda *figures: calls.append(figures))

    assert calls == sorted(calls)
    assert {(all_files, all_size) for _, all_files, _, all_size in calls} == {(4, storage.size)}
    assert {done for done, *_ in calls} >= {0, 1, 2, 3, 4}
    assert len(calls) > sizes[0] * 3 / 1100
    assert calls[-1] == (4, 4, storage.size, storage.size)


def test_an_exception_of_the_progress_function_is_raised(home: Path) -> None:
    put(home, seed_session("one"))

    with pytest.raises(ZeroDivisionError):
        home_storage(progress=lambda *_: 1 // 0)


def test_the_number_of_types_of_lines_is_bounded(home: Path) -> None:
    lines: list[rollouts.Line] = [(f"type-{number}", {}) for number in range(3000)]

    storage = stored(home, *lines, ("x" * 5000, {}))

    assert len(storage.by_type) == 1001
    assert storage.by_type["others"].count == 3000 - 999 + 1


def test_memory_does_not_grow_with_the_lines_of_a_session(home: Path) -> None:
    few, many = (
        put(home, encode(seed_session("one")) * count, timestamp=f"2026-11-21T01-25-{count}") for count in (10, 59)
    )
    many.write_bytes(many.read_bytes() * 50)
    peaks = []

    for path in (few, few, many):
        with peak_memory() as peak:
            session_storage(path)
        peaks.append(peak.size)

    assert peaks[-1] < peaks[-2] + 1_000_000


def test_a_line_a_thousand_levels_deep_is_counted(home: Path) -> None:
    deep = b"[" * 1000 + b'"data:"' + b"]" * 1000
    line = (
        b'{"timestamp":"t","type":"compacted","payload":{"images":'
        + deep
        + b',"replacement_history":['
        + deep
        + b"]}}\n"
    )

    storage = session_storage(put(home, encode([meta()]) + line))

    assert storage.by_type["compacted"] == TypeSize(1, len(line) - 1)
    assert storage.images.count == 1


def test_lone_surrogates_are_counted(home: Path) -> None:
    lone = b'{"type":"image_generation_call","result":"data:\\ud800"}'
    line = b'{"timestamp":"t","type":"compacted","payload":{"replacement_history":[%b]}}\n' % lone

    storage = session_storage(put(home, encode([meta()]) + line * 2))

    assert storage.images == TypeSize(2, 2 * len("data:..."))
    assert storage.compaction_copies > 0


KEYS = st.sampled_from(["type", "image_url", "images", "result", "id", "replacement_history", "content", "item", "url"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.sampled_from([PNG, "data:", "image_generation_call", "image_generation_end", "message"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
TYPES = st.sampled_from(["response_item", "event_msg", "compacted", "session_meta", "x"])
LINES = st.tuples(TYPES, st.dictionaries(KEYS, VALUES, max_size=6)).map(
    lambda line: {"timestamp": "t", "type": line[0], "payload": line[1]}
)


@settings(max_examples=3 * settings.default.max_examples // 2)
@given(values=st.lists(LINES | VALUES | st.dictionaries(KEYS, VALUES), max_size=8), noise=st.binary(max_size=20))
def test_any_content_of_a_file_is_counted_without_an_error(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], noise: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "rollout-storage.jsonl"
    path.write_bytes(b"".join(json.dumps(value).encode() + b"\n" for value in values) + noise)

    storage = session_storage(path)

    size = sum(kind.size for kind in storage.by_type.values()) + storage.unreadable
    assert size <= storage.size
    assert 0 <= storage.repeated_images_in_session == storage.repeated_images <= storage.images.size
