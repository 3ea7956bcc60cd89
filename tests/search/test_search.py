from __future__ import annotations

import gc
import os
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from rollout.codec import encode_item
from rollout.search import Filters, Hit, Index, delete_index, search, update_index
from rollout.search import _file_scan as file_scan_module
from rollout.search._seal import Seal
from rollout.store import archive, compress
from tests.bad_files import CORPUS
from tests.builders import command as call
from tests.builders import command_output as output
from tests.rollouts import (
    TIME_MS,
    answer,
    bare_session,
    encode,
    event,
    message,
    meta,
    paginated_session,
    prompt,
    put,
    seed_session,
)
from tests.search.homes import (
    OLD,
    WAYS,
    found,
    many,
    place_of,
    prepare,
    put_session,
    session_id,
    settle,
    texts,
    words_of,
)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def assert_ways_agree(text: str, **options: Any) -> set[Any]:
    by_files = found(text, use_index=False, **options)
    assert found(text, **options) == by_files
    return by_files


def test_a_hit_has_its_position(home: Path, way: str) -> None:
    path = put_session(home, 1, seed_session("why does the parser fail"))
    prepare(way, home)

    (hit,) = search("pars* -answer")

    line = path.read_bytes()[hit.offset :].split(b"\n")[0]
    assert b"why does the parser fail" in line
    assert hit == Hit(
        path=path,
        session_id=session_id(1),
        offset=hit.offset,
        timestamp="2026-11-21T01:25:37.122Z",
        kind="user",
        tool=None,
        snippet="why does the parser fail",
        matches=((13, 19),),
        start=0,
        text="why does the parser fail",
    )
    assert words_of(hit) == ["parser"]


def test_results_have_whether_the_index_was_used(home: Path) -> None:
    path = put_session(home, 1, seed_session("first"))
    put_session(home, 2, seed_session("second"))
    counts: list[int] = []

    results = search("first", progress=counts.append)
    assert len(list(results)) == 2
    assert (results.is_indexed, results.scanned, counts) == (False, 2, [1, 2])
    update_index()
    results = search("first")
    assert len(list(results)) == 2
    assert (results.is_indexed, results.scanned) == (True, 0)
    with path.open("ab") as file:
        file.write(encode(prompt("third")))
    results = search("third")
    assert len(list(results)) == 1
    assert (results.is_indexed, results.scanned) == (True, 1)
    results = search("third", use_index=False)
    assert len(list(results)) == 1
    assert (results.is_indexed, results.scanned) == (False, 2)


def test_the_newest_sessions_come_first(home: Path) -> None:
    many(home, 12)
    archive(session_id(5))
    expected = [session_id(number) for number in range(11, -1, -1)]

    for _ in range(2):
        ids = [hit.session_id for hit in search('"common start"')]
        assert list(dict.fromkeys(ids)) == expected
        update_index()


def test_a_snippet_is_one_line_around_the_first_match(home: Path, way: str) -> None:
    text = "a" * 100 + "\n\t\u2028 needle\r\n" + "needle " * 3 + "b" * 200
    put_session(home, 1, [meta(session_id(1)), *[event("token_count")] * 3, message("user", text)])
    prepare(way, home)

    (hit,) = search("needle")

    assert hit.start == 104 - 48
    assert len(hit.snippet) == 48 + 96
    assert not any(character in hit.snippet for character in "\n\r\t\u2028")
    assert words_of(hit) == ["needle"] * 4
    assert hit.text[hit.start :][: len(hit.snippet)].split() == hit.snippet.split()


def test_a_match_longer_than_a_snippet_is_its_snippet(home: Path) -> None:
    put_session(home, 1, [meta(session_id(1)), message("user", "x " + "n" * 300 + " n")])

    (hit,) = search("nnn*")

    assert hit.snippet == "x " + "n" * 300
    assert hit.matches == ((2, 302),)


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("cafe\u0301 au lait", "café", ["cafe\u0301"]),
        ("👩\u200d👩\u200d👧 🙂 zwölf 🙂 ZWOLF", "zwolf", ["zwölf", "ZWOLF"]),
        ("日本語 テキスト", "テキスト", ["テキスト"]),
        ("ΛΌΓΟΣ λόγος", "λόγοσ", ["ΛΌΓΟΣ", "λόγος"]),
        ("Straße", "straße", ["Straße"]),
        ("a\0b\0needle\0c", "needle", ["needle"]),
        ("\ud83d needle \ude00", "needle", ["needle"]),
        ("\ue000needle\ue001 needle \ufdd0needle\ufdd1", "needle", ["needle", "needle"]),
        ("\u202eneedle\u202c \x1b[1;31mneedle\x1b[0m", "needle", ["needle", "needle"]),
    ],
)
def test_positions_count_characters_in_any_text(
    home: Path, way: str, text: str, query: str, expected: list[str]
) -> None:
    raw = encode([message("user", "@@")]).replace(b"@@", "".join(map(escaped, text)).encode())
    put_session(home, 1, encode([meta(session_id(1)), event("token_count"), event("token_count")]) + raw)
    prepare(way, home)

    (hit,) = search(query)

    assert words_of(hit) == expected
    assert hit.text == text


def escaped(character: str) -> str:
    return f"\\u{ord(character):04x}" if character < " " or "\ud800" <= character <= "\udfff" else character


ERAS = {
    "bare": bare_session("needle", "other", "needle again"),
    "seed": encode(seed_session("needle", "other", "needle again")),
    "paginated": encode(paginated_session("needle", "other", "needle again"), first_ordinal=0),
}


@pytest.mark.parametrize("era", ERAS)
def test_sessions_of_each_version_of_codex_are_found(home: Path, era: str, way: str) -> None:
    put(home, ERAS[era])
    prepare(way, home)

    assert texts("needle") == ["answer to needle", "answer to needle again", "needle", "needle again"]
    assert texts("needle", filters=Filters(kind="user", cwd="/home/dev")) == ["needle", "needle again"]


@pytest.mark.parametrize("era", ERAS)
def test_compressed_sessions_are_found(home: Path, era: str) -> None:
    path = put(home, ERAS[era])
    expected = found("needle")
    compress(path, min_age=-1)

    assert found("needle") == expected
    update_index()
    assert found("needle") == expected
    assert search("needle").scanned == 0


def test_sessions_without_day_folders_are_found(home: Path, way: str) -> None:
    put_session(home, 1, bare_session("needle"), folder=home / "sessions")
    prepare(way, home)

    assert texts("needle") == ["answer to needle", "needle"]


TIME = datetime.fromtimestamp(TIME_MS / 1000, timezone.utc)


def timed(seconds: float, text: str) -> bytes:
    return encode_item(*message("user", text), time_ms=TIME_MS + int(seconds * 1000))


def various(home: Path) -> None:
    git = {"branch": "main", "repository_url": "git@example.org:me/tool.git"}
    own = {"cwd": "/home/dev/tool", "originator": "codex_exec", "source": "exec", "git": git}
    context = ("turn_context", {"cwd": "/home/dev/tool", "model": "gpt-5"})
    lines = [
        meta(session_id(1), **own),
        context,
        message("user", "word in one"),
        call("shell", "word one"),
        output("word one is gone", code=2),
        call("exec-command", "word two", "2"),
        output("word two", "2"),
        ("turn_context", {"cwd": "/elsewhere", "model": "gpt-6"}),
        event("agent_reasoning", text="word thought"),
    ]
    put_session(home, 1, lines)
    other = meta(session_id(2), cwd="/home/dev/toolbox", originator="rollout", source={"subagent": "review"})
    put_session(home, 2, [other, message("user", "word in two"), *answer("word from two")])
    put_session(home, 3, bare_session("word in three"))
    put_session(home, 4, [meta(session_id(4), cwd=5, git=7, source=[]), message("user", "word in four")])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(cwd="/home/dev/tool"), "word"),
        (Filters(cwd="/home/dev/tool/", kind="user"), "word in one"),
        (Filters(cwd="/home/dev/too"), None),
        (Filters(cwd="/"), "word in three"),
        (Filters(branch="main"), "word"),
        (Filters(branch="master", kind="user"), "word in three"),
        (Filters(branch="\ud800"), None),
        (Filters(repository="me/tool"), "word"),
        (Filters(repository="you"), None),
        (Filters(model="gpt-6"), "word"),
        (Filters(model="gpt-5"), None),
        (Filters(originator="rollout"), "word from two"),
        (Filters(source="subagent"), "word from two"),
        (Filters(source="exec"), "word"),
        (Filters(kind="reasoning"), "word thought"),
        (Filters(kind="call", tool="shell"), "word one"),
        (Filters(tool="shell"), "word one is gone"),
        (Filters(tool="shell", failed=True), "word one is gone"),
        (Filters(tool="exec-command"), "word two"),
        (Filters(tool="exec_command"), None),
        (Filters(tool="EXEC-COMMAND"), None),
        (Filters(tool="shell", kind="user"), None),
        (Filters(failed=True), "word one is gone"),
        (Filters(tool=""), None),
        (Filters(kind='us" OR "x'), None),
        (Filters(tool='x" OR y \0 \ud800'), None),
        (Filters(archived=True), None),
        (Filters(archived=False, kind="user"), "word in four"),
    ],
    ids=str,
)
def test_filters_select_sessions_and_texts(home: Path, way: str, filters: Filters, expected: str | None) -> None:
    various(home)
    prepare(way, home)

    hits = assert_ways_agree("word", filters=filters)

    assert (
        (expected in {text for _, _, text in hits}) if expected and expected != "word" else bool(hits) == bool(expected)
    )
    paths = set(search("word", filters=filters).sessions())
    assert {path.name[28:64] for path in paths} == {session for session, _, _ in hits}
    if filters.needs_texts:
        only = assert_ways_agree("", filters=filters)
        assert hits <= only


def test_filters_of_time_apply_to_each_line(home: Path, way: str) -> None:
    path = put_session(home, 1, encode([meta(session_id(1))]) + b"".join(timed(n, f"word {n}") for n in range(10)))
    os.utime(path, (TIME.timestamp() + 9, TIME.timestamp() + 9))
    put_session(home, 2, bare_session("word without a time"))
    old = put_session(home, 3, bare_session("word of long ago"))
    os.utime(old, (1, 1))
    prepare(way, home)

    def seen(**filters: Any) -> list[str]:
        return sorted(text for _, _, text in assert_ways_agree("word -answer", filters=Filters(**filters)))

    since, until = TIME + timedelta(seconds=7), TIME + timedelta(seconds=2)
    assert seen(since=since) == ["word 7", "word 8", "word 9"]
    assert seen(since=since, until=since) == ["word 7"]
    assert seen(until=until) == ["word 0", "word 1", "word 2", "word of long ago", "word without a time"]
    assert seen(since=datetime.fromtimestamp(OLD, timezone.utc), until=until)[-1] == "word without a time"
    assert seen(since=TIME + timedelta(days=1)) == []
    assert list(search("word", filters=Filters(since=since)).sessions()) == [path]


def test_tools_and_kinds_of_any_name_are_distinguished(home: Path, way: str) -> None:
    names = ["🙂", "🔧", "a b", "a-b", "A b", "end", "tool", "\ud800", "\0", "x" * 50_000, '"']
    lines = [meta(session_id(1))]
    for number, name in enumerate(names):
        lines += [call(name, f"call {number}", str(number)), output(f"out {number}", str(number))]
    data = encode(lines).replace("\ufffd".encode(), b"\\ud800")
    put_session(home, 1, data)
    prepare(way, home)

    for number, name in enumerate(names):
        assert texts("", filters=Filters(tool=name)) == [f"call {number}", f"out {number}"], name


@pytest.mark.parametrize("trigram", [False, True])
def test_texts_are_not_mistaken_for_tags(home: Path, trigram: bool) -> None:
    put_session(home, 1, [meta(session_id(1)), message("user", "it failed, kind of"), message("user", "tool end")])
    put_session(home, 2, [meta(session_id(2)), call("shell", "make"), output("broken", code=2)])
    update_index(trigram=trigram)

    assert texts("failed") == ["it failed, kind of"]
    assert texts("", filters=Filters(failed=True)) == ["broken"]
    for query, wanted, number in (
        ("failed", Filters(), 1),
        ("kind*", Filters(), 1),
        ("tool*", Filters(), 1),
        ("", Filters(failed=True), 2),
    ):
        assert {path.name[28:64] for path in search(query, filters=wanted).sessions()} == {session_id(number)}


def test_a_filter_by_model_compares_the_last_model(home: Path, way: str) -> None:
    filling = [message("user", f"word {number}") for number in range(250)]
    lines = [meta(session_id(1)), ("turn_context", {"model": "one"}), *filling, ("turn_context", {"model": "two"})]
    put_session(home, 1, [*lines, message("user", "word last")])
    prepare(way, home)

    assert len(texts("word", filters=Filters(model="two"))) == 251
    assert texts("word", filters=Filters(model="one")) == []
    assert len(texts("word", filters=Filters(branch=None, cwd="/home"))) == 251


def test_facts_are_read_from_the_first_lines(home: Path) -> None:
    filling = [event("token_count")] * 250
    path = put_session(home, 1, [meta(session_id(1)), *filling, *prompt("late")])

    assert file_scan_module.read_facts(path).preview is None
    assert file_scan_module.read_facts(path).cwd == "/home/dev/demo"


@pytest.mark.parametrize("way", WAYS[1:])
@pytest.mark.parametrize("kind", CORPUS)
def test_bad_files_have_the_same_hits_with_and_without_an_index(home: Path, kind: str, way: str) -> None:
    put(home, CORPUS[kind])
    put_session(home, 2, seed_session("whole"))
    prepare(way, home)

    for query in ("one OR x OR 1*", "answer -two", "whole OR two OR novelty"):
        assert_ways_agree(query)
    for filters in (Filters(kind="user"), Filters(kind="agent", cwd="/home")):
        assert_ways_agree("", filters=filters)
    assert len(texts("whole")) == 2
    update_index()
    assert_ways_agree("one OR whole")
    assert search("whole").scanned == 0


def test_a_torn_tail_and_unknown_lines_hide_no_other_line(home: Path, way: str) -> None:
    novel = b'{"timestamp":"t","type":"novel","payload":{"text":"needle"}}\nno line needle\n\xff\xfe\n'
    data = encode(seed_session("needle")) + novel + encode(prompt("needle later")) + b'{"timestamp":"needle'
    put_session(home, 1, data)
    prepare(way, home)

    assert texts("needle") == ["answer to needle", "needle", "needle later"]


def test_a_line_that_is_too_long_is_skipped(home: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("rollout.reading._blocks", "rollout.codec", "rollout.search._results"):
        monkeypatch.setattr(f"{module}.MAX_LINE_SIZE", 2000)
    long = encode(prompt("needle " * 500))
    put_session(home, 1, encode(seed_session("needle")) + long + encode(prompt("needle later")) + long[:-1])
    prepare(way, home)

    assert texts("needle") == ["answer to needle", "needle", "needle later"]
    update_index()
    assert_ways_agree("needle")


def test_many_texts_are_matched_in_batches(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_scan_module, "_BATCH_SIZE", 100)
    put_session(home, 1, seed_session(*(f"word {number}" for number in range(100))))

    assert len(texts("word")) == 200


def test_a_session_that_cannot_be_read_is_a_problem(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(home, 3)
    path = next(home.rglob(f"*{session_id(1)}*"))
    update_index()
    opens = file_scan_module.open_rollout

    def opened(name: Path) -> Any:
        if name == path:
            raise PermissionError(13, "forbidden")
        return opens(name)

    for module in ("_file_scan", "_results"):
        monkeypatch.setattr(f"rollout.search.{module}.open_rollout", opened)

    for use_index in (True, False):
        for filters in (Filters(), Filters(cwd="/home")):
            results = search('"common start"', use_index=use_index, filters=filters)
            assert len(list(results)) == 4
            assert [problem.path for problem in results.problems] == [path]
    with path.open("ab") as file:
        file.write(encode(prompt("common")))
    results = search("common", filters=Filters(cwd="/home"))
    assert {hit.session_id for hit in results} == {session_id(0), session_id(2)}
    assert {problem.path for problem in results.problems} == {path}


def test_a_session_that_the_filters_exclude_is_not_scanned(home: Path) -> None:
    path = put_session(home, 1, seed_session("first"))
    update_index()
    with path.open("ab") as file:
        file.write(encode(prompt("first again")))
    os.utime(path, (OLD, OLD))

    for filters in (
        Filters(archived=True),
        Filters(cwd="/elsewhere"),
        Filters(since=datetime.fromtimestamp(OLD + 1, timezone.utc)),
    ):
        results = search("first", filters=filters)
        assert (list(results), results.scanned) == ([], 0)


def test_a_file_that_was_overwritten_unnoticed_has_no_false_hits(home: Path) -> None:
    path = put_session(home, 1, seed_session("needle", "other"))
    update_index()
    settle(home)
    update_index()
    status = path.stat()
    data = path.read_bytes().replace(b"needle", b"noodle")
    at = data.index(b"other")
    path.write_bytes(data[:at] + b"\0\0\0" + data[at + 3 :])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert texts("needle") == []
    assert len(texts("other")) < 3


def test_each_session_with_a_hit_is_yielded_once(home: Path, way: str) -> None:
    many(home, 5)
    prepare(way, home)

    paths = list(search("common").sessions())

    assert len(paths) == 5
    assert set(paths) == set(home.rglob("rollout-*"))
    assert list(search("never").sessions()) == []
    (first, *_) = search("common").sessions()
    assert first.is_file()


def test_a_search_without_a_word_raises_at_once(home: Path) -> None:
    for text in ("", " ", '"', "*", "\0"):
        with pytest.raises(ValueError, match=r"no word|quotation"):
            search(text)
    with pytest.raises(ValueError, match="no word"):
        search("-", filters=Filters(kind="user"))


@pytest.mark.parametrize(
    "query",
    [
        *(
            "AND",
            "NOT x",
            "NEAR(",
            "NEAR(a b, 2)",
            "a:b",
            "tags:user",
            "^a",
            "a\0b",
            "\ud800a",
            "𞤀 a",
            "𞤀 -a",
            "𞤀 OR a",
            "a -𞤀",
            "²*",
        ),
        "a -" + "b -" * 20_000 + "tame",
        " ".join(f"w{number}" for number in range(10_000)),
        "x" * 100_000,
    ],
    ids=lambda query: query[:10].encode("ascii", "backslashreplace").decode(),
)
def test_a_hostile_query_has_an_answer(home: Path, query: str) -> None:
    put_session(home, 1, seed_session("tame"))
    for trigram in (False, True):
        update_index(trigram=trigram)
        results = search(query)
        assert list(results.sessions()) == results.problems == []
        assert found(query) == found(query, use_index=False) == set()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[sqlite3.Connection]]:
    """
    The connections to databases; none may be open at the end.
    """
    made = []
    connect = sqlite3.connect

    def noted(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        made.append(connect(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", noted)
    yield made
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_a_search_that_ends_early_closes_all_connections(home: Path, connections: list[sqlite3.Connection]) -> None:
    many(home, 5)
    update_index()
    update_index(trigram=True)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))

    search("common").close()
    with search("common") as results:
        next(results)
    for _ in search("common").sessions():
        break
    search("go").close()
    dropped = search("common")
    next(dropped)
    del dropped
    never_asked = search("common")
    del never_asked
    gc.collect()

    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert len(connections) > 5


def test_a_search_without_an_index_closes_all_connections(home: Path, connections: list[sqlite3.Connection]) -> None:
    many(home, 2)
    update_index()
    with Index.open() or pytest.fail() as index:
        path = index.path
    path.write_bytes(b"no database" * 1000)
    assert Index.open() is None
    # Sealed, as a process of this package leaves it: then it is opened.
    Seal(path).close()

    assert Index.open() is None
    assert len(list(search("common"))) == 4
    assert delete_index()
    assert len(connections) > 3


def test_a_closed_search_has_no_more_hits(home: Path) -> None:
    many(home, 5)
    results = search("common")
    next(results)

    results.close()

    assert list(results) == []
    assert list(search("common").sessions())


def test_an_index_that_is_deleted_while_it_is_opened_is_not_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(home, 2)
    update_index()
    connect = sqlite3.connect

    def late(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        if str(args[0]).startswith("file:"):
            delete_index()
        return connect(*args, **kwargs)

    monkeypatch.setattr(sqlite3, "connect", late)
    assert len({place_of(hit) for hit in search("common")}) == 4
    assert Index.open() is None
