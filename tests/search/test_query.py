from __future__ import annotations

import time

import pytest

from rollout.search._query import TRIGRAM, Matcher, Query, parse_query

TEXT = "The Parser fails on an empty line, naïvely: café_bar foo.baz"


def matches(query: str, text: str = TEXT, tokenizer: str | None = None) -> bool:
    parsed = parse_query(query)
    matcher = Matcher(parsed, tokenizer) if tokenizer else Matcher(parsed)
    try:
        is_match = bool(matcher.find_matches([text]))
    finally:
        matcher.close()
    assert not is_match or tokenizer or parsed.may_match(text.encode())
    return is_match


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("parser", True),
        ("PARSER fails", True),
        ("fails parser", True),
        ("pars", False),
        ("pars*", True),
        ('"empty line"', True),
        ('"line empty"', False),
        ('"empty lin"*', True),
        ("parser -line", False),
        ("parser -nothing", True),
        ('parser -"an empty"', False),
        ("parser -a -b -c -empty", False),
        ("nothing OR parser", True),
        ("nothing OR never OR line", True),
        ("parser nothing OR never", False),
        ("nothing OR -parser", False),
        ("nothing OR ☃ parser", False),
        ("OR parser", False),
        ("parser OR", True),
        ("parser -OR", True),
        ("naively", True),
        ("NAÏVELY", True),
        ("nai\u0308vely", True),
        ("bar", True),
        ("foo.baz", True),
        ("foo:baz", True),
        ("baz.foo", False),
        ('foo"empty line"', True),
        ("foo\0baz", True),
        ("AND NOT", False),
    ],
)
def test_a_query_matches_its_words(query: str, expected: bool) -> None:
    assert matches(query) == expected


@pytest.mark.parametrize("query", ["", " ", "*", "-", "- *", "-parser", '""', '"☃"', "\0", "🙂", "\ud800", "()", "***"])
def test_a_query_without_a_word_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match="no word to search for"):
        parse_query(query)


@pytest.mark.parametrize("query", ['"', 'a "b', '"a" "', 'a"'])
def test_a_phrase_without_an_end_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match="quotation mark"):
        parse_query(query)


@pytest.mark.parametrize(
    "query",
    [
        "AND",
        "NOT",
        "a AND",
        "NEAR(",
        "NEAR(a b, 5)",
        "a:b",
        "text:a",
        "tags : a",
        "^a",
        "{text tags}:a",
        "a + b",
        "a)",
        "(a",
        "a'b",
        "a;--",
        "a\\",
        "a\0b",
        "a\ud800b",
        "a\ufdd0b",
        '"a*"',
        "a**",
        "--a b",
        "²",
        "𞤀",
        "𞤀 a",
        "a -☃x☃",
        "हिन्दी",
        "日本*",
        "\U0010ffff a",
        " ".join(f"w{number}" for number in range(5_000)),
        "a " + " ".join(f"-w{number}" for number in range(65_000)),
        " OR ".join(f"w{number}" for number in range(5_000)),
        '"' + "w " * 2_000 + '"',
        "w" * 100_000,
    ],
    ids=lambda query: query[:12].encode("ascii", "backslashreplace").decode(),
)
@pytest.mark.parametrize("tokenizer", [None, TRIGRAM])
def test_any_other_query_has_an_answer(query: str, tokenizer: str | None) -> None:
    assert matches(query, "☃ of what", tokenizer) is False
    spans = Matcher(parse_query(query)).spans(query)
    assert all(0 <= begin < end <= len(query) for begin, end in spans)


def spans(query: str, text: str) -> list[str]:
    matcher = Matcher(parse_query(query))
    found = [text[begin:end] for begin, end in matcher.spans(text)]
    matcher.close()
    return found


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("b", "a b c b", ["b", "b"]),
        ("cafe", "cafe\u0301 🙂 CAFÉ", ["cafe\u0301", "CAFÉ"]),
        ("fin", "👩\u200d👩\u200d👧 fin", ["fin"]),
        ('"a b"', "a, b / a b", ["a, b", "a b"]),
        ("end", "a\0b\0end", ["end"]),
        ("end", "\ud800\udfff end", ["end"]),
        ("end", "\ufdd0\ufdd1 end \ufdd1", ["end"]),
        ("a OR c -x", "a b c", ["a", "c"]),
        ("pars*", "parser parsing sparse", ["parser", "parsing"]),
        ("日本*", "日本語", ["日本"]),
    ],
)
def test_spans_are_positions_in_the_text(query: str, text: str, expected: list[str]) -> None:
    assert spans(query, text) == expected


def test_the_first_matching_words_of_a_long_text_are_found_anywhere() -> None:
    for at in (0, 8180, 8190, 8191, 8192, 10_230, 10_239, 10_240, 16_384, 49_990):
        text = "x" * (at - 1) + " " * (at > 0) + "end endless end"
        assert Matcher(parse_query("end")).spans(text) == [(at, at + 3), (at + 12, at + 15)]


def test_a_word_that_a_window_cuts_is_not_matched() -> None:
    text = "endless" * 3000 + " end"

    assert Matcher(parse_query("end*")).spans(text) == [(21_001, 21_004)]
    assert Matcher(parse_query("end*")).spans(text[:-4]) == [(0, 21_000)]
    assert Matcher(parse_query("end")).spans(text) == [(21_001, 21_004)]
    # A longer word begins at the end of the first window and its overlap.
    cut = " " * (8192 + 2048 - 3) + "endless" + " " * 20_000 + "end"
    assert Matcher(parse_query("end")).spans(cut) == [(len(cut) - 3, len(cut))]


def test_a_phrase_with_pages_between_its_words_is_found() -> None:
    text = "- " * 5000 + "left" + " -" * 20_000 + "right"

    assert Matcher(parse_query('"left right"')).spans(text) == [(10_000, len(text))]


def test_the_time_for_spans_of_a_long_text_is_not_quadratic() -> None:
    text = "the cat sat " * 400_000
    began = time.monotonic()

    found = Matcher(parse_query("the")).spans(text)

    assert found[:2] == [(0, 3), (12, 15)]
    # Marking the whole text takes half a minute.
    assert time.monotonic() - began < 5


def test_without_words_all_texts_match_and_have_no_spans() -> None:
    matcher = Matcher(Query(""))

    assert matcher.find_matches(["a", "b"]) == [0, 1]
    assert matcher.spans("a") == []
    matcher.close()


@pytest.mark.parametrize(
    ("query", "raw", "expected"),
    [
        ("line", b"LINE", True),
        ("line", b"lime", False),
        ("line", b'"\\u006cine"', True),
        ("line", "lïne".encode(), True),
        ("line empty", b"line", False),
        ("a OR b", b"c", True),
        ("naïve", b"c", True),
        ("foo.bar", b"bar foo", True),
    ],
)
def test_a_line_that_may_not_match_does_not_match(query: str, raw: bytes, expected: bool) -> None:
    assert parse_query(query).may_match(raw) is expected


@pytest.mark.parametrize(("query", "expected"), [("abc", True), ("ab", False), ("abc -d", False), ("abc OR de", False)])
def test_words_too_short_for_trigrams_are_detected(query: str, expected: bool) -> None:
    assert parse_query(query).is_for_trigrams is expected
