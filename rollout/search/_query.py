"""
Parse a query (words, "phrases", prefixes*, -exclusions, a OR b) into an FTS5 expression, and match texts against it.

The index and a table in memory with one text evaluate the same expression. So a scan of files finds the same texts as
the index, and both return the same positions.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain

from attrs import frozen

from rollout._text import plain_text
from rollout.search._scripts import (
    GAP,
    MARKS,
    SYMBOLS,
    has_unspaced,
    indexed_pairs,
    places_of_split,
    split_text,
    whole_end,
)

__all__ = ["TOKENIZER", "TRIGRAM", "Matcher", "Query", "parse_query"]

# SQLite inserts each character into a sorted list, from the front: in this order, that takes a tenth of the time.
TOKENIZER = f"unicode61 remove_diacritics 2 separators '{SYMBOLS[::-1]}' tokenchars '{MARKS[::-1]}'"
TRIGRAM = "trigram"
# A token: a minus sign, then a phrase or a word, then a star. Two minus signs are the beginning of an option's name.
_TOKEN = re.compile(r'(-(?!-)|)(?:"([^"]*)"|([^\s"]+?))(\*?)(?=\s|$|")')
_ASCII_WORD = re.compile(rb"[0-9a-z]+")
# The first bytes, in UTF-8, of all characters that a search ignores or takes as letters of ASCII: accents, letters with
# an accent, full-width letters.
_ACCENTED = re.compile(
    rb"[\xc2-\xcd\xd2\xd6-\xdf]|\xe0[\xa0-\xa3]|\xe1[\xaa\xab\xb6-\xbb]|\xe2\x84"
    rb"|\xef(?:[\xb3\xb8\xb9]|\xbc[\x90-\xba]|\xbd[\x81-\x9a])"
)
# Marks around a match. They are not valid characters: replacing a mark in a text with a space changes no word.
_BEGIN, _END = "\ufdd0", "\ufdd1"
_WITHOUT_MARKS = str.maketrans(_BEGIN + _END, "  ")
# Marking takes time quadratic in the length of a text: a longer one is searched in windows of this many characters.
_WINDOW, _OVERLAP = 8192, 2048
_TRIGRAM_SIZE = 3


Part = tuple[str, bool]
"""A word or phrase, and whether it is a prefix."""


@frozen
class Query:
    """
    A parsed query.

    Attributes:
        text: The query as the user typed it; empty if only filters select the texts.
        wanted: Words and phrases to find, in groups. One of each group must occur; empty if *text* is empty.
        unwanted: Words and phrases that must not occur.
        needles: Bytes that each matching line contains in lower case, if the line has no accents and no escapes.
        needs_other_letters: Whether no line in ASCII without escapes matches.
        is_for_trigrams: Whether no word is too short for an index of trigrams.
    """

    text: str
    wanted: tuple[tuple[Part, ...], ...] = ()
    unwanted: tuple[Part, ...] = ()
    needles: tuple[bytes, ...] = ()
    needs_other_letters: bool = False
    is_for_trigrams: bool = True

    def may_match(self, raw: bytes) -> bool:
        """
        Return whether the bytes of a line may match. Fast; if it returns False, the line does not match.
        """
        lowered = raw.lower()
        has_needles = all(needle in lowered for needle in self.needles)
        if raw.isascii():
            may_match = has_needles and not self.needs_other_letters
        else:
            may_match = has_needles or _ACCENTED.search(raw) is not None
        # An escape may stand for any letter.
        return may_match or b"\\u" in raw


def parse_query(text: str) -> Query:
    """
    Parse a query: all of its words must occur, in any order, within one message, command or output.

    ``"two words"`` is a phrase, ``pars*`` a prefix, ``-word`` must not occur, of ``a OR b`` one must occur. Case and
    accents are ignored. A word in a script without spaces between words is found anywhere.

    Raises:
        ValueError: The query has no word to search for, or a quotation mark is missing.
    """
    text = plain_text(text)
    if text.count('"') % 2:
        raise ValueError(f'{text!r}: a quotation mark is missing; write a phrase as "two words"')
    wanted, unwanted = _parse_tokens(text)
    if not wanted:
        raise ValueError(f"{text!r}: the query has no word to search for; punctuation cannot be searched")
    return Query(
        text,
        tuple(map(tuple, wanted)),
        tuple(unwanted),
        tuple(dict.fromkeys(needle for group in wanted for needle in _needles(group))),
        any(all(has_unspaced(part) for part, _ in group) for group in wanted),
        all(len(part) >= _TRIGRAM_SIZE for group in (*wanted, unwanted) for part, _ in group),
    )


def _parse_tokens(text: str) -> tuple[list[list[Part]], list[Part]]:
    """
    Return the groups of words (one word of each group must occur), and the words that must not occur.
    """
    wanted: list[list[Part]] = []
    unwanted: list[Part] = []
    is_after_or = False
    for minus, phrase, word, star in _TOKEN.findall(text):
        if word == "OR" and wanted and not (minus or star or is_after_or):
            is_after_or = True
            continue
        part = (phrase or word, bool(star))
        if any(character.isalnum() for character in part[0]):
            if minus:
                unwanted.append(part)
            elif is_after_or:
                wanted[-1].append(part)
            else:
                wanted.append([part])
        is_after_or = False
    return wanted, list(dict.fromkeys(unwanted))


def _needles(group: list[Part]) -> list[bytes]:
    # No single alternative has to occur, and a word with accents may occur without the accents.
    is_certain = len(group) == 1 and group[0][0].isascii()
    return _ASCII_WORD.findall(group[0][0].lower().encode()) if is_certain else []


class Matcher:
    """
    Matcher of texts in memory against a query. It decides which words a text has, for the index, too.

    Args:
        query: The query.
        tokenizer: Tokenizer of the index.
    """

    def __init__(self, query: Query, tokenizer: str = TOKENIZER) -> None:
        self._query = query
        self._tokenizer = tokenizer

    @cached_property
    def _database(self) -> sqlite3.Connection:
        database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        database.execute(f'CREATE VIRTUAL TABLE texts USING fts5(text, tokenize = "{self._tokenizer}")')
        return database

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """
        Close the database in memory.
        """
        if "_database" in self.__dict__:
            self._database.close()

    def find_matches(self, texts: Sequence[str]) -> list[int]:
        """
        Return the positions of the texts that match.
        """
        if not self._query.wanted:
            return list(range(len(texts)))
        expression = self.expression
        self._fill(self._split(plain_text(text)) for text in texts)
        return self._select(expression)

    @cached_property
    def expression(self) -> str:
        """The query for FTS5, for texts whose positions are known."""
        expression = " AND ".join(f"({' OR '.join(map(self._term, group))})" for group in self._query.wanted)
        # Only one NOT: a chain of NOTs is nested, and SQLite crashes on a deeply nested expression.
        unwanted = " OR ".join(map(self._term, self._query.unwanted))
        return f"({expression}) NOT ({unwanted})" if unwanted else f"({expression})"

    @cached_property
    def _any(self) -> str:
        # In a text that matches, all words of the query are marked.
        return " OR ".join(dict.fromkeys(self._term(part) for group in self._query.wanted for part in group))

    def _term(self, part: Part) -> str:
        text = self._split(part[0])
        if GAP in text:
            words = self._tokenize(text)
            while words[-1:] == [GAP]:
                # After its end, the text may go on without a gap.
                words.pop()
            text = " ".join(words)
        return f'"{text}"{"*" if part[1] else ""}'

    def _split(self, text: str) -> str:
        return text if self._tokenizer == TRIGRAM else split_text(text)

    def indexed_terms(self, part: str) -> list[str]:
        """
        Return the words for FTS5 that the index has for each text with a word or phrase. If it is one word, all these
        texts match.
        """
        words = self._tokenize(indexed_pairs(part))
        return [f'"{word}"{"*" if len(word) == 1 and has_unspaced(word) else ""}' for word in words]

    def _tokenize(self, text: str) -> list[str]:
        self._fill([text])
        self._database.execute("CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5vocab(texts, instance)")
        return [word for (word,) in self._database.execute("SELECT term FROM words ORDER BY offset")]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """
        Return the beginnings and ends, in characters, of the first matching words of a text, and of the matching words
        within some 8,000 characters after them.
        """
        if not self._query.wanted:
            return []
        text = plain_text(text).translate(_WITHOUT_MARKS)
        if len(text) <= _WINDOW:
            return self._spans_in(text, 0, len(text))
        starts = range(0, len(text), _WINDOW)
        expression = self._any
        self._fill(self._split(text[start : start + _WINDOW + _OVERLAP]) for start in starts)
        for number in self._select(expression):
            start = starts[number]
            for first, _ in self._spans_in(text, start, start + _WINDOW + _OVERLAP)[:1]:
                around = self._spans_in(text, max(first - _OVERLAP, 0), first + _WINDOW)
                return [span for span in around if span[0] >= first]
        # The words of a phrase are further apart than a window.
        return self._spans_in(text, 0, len(text))

    def _select(self, expression: str) -> list[int]:
        query = "SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid"
        return [number for (number,) in self._database.execute(query, [f"text : ({expression})"])]

    def _spans_in(self, text: str, start: int, end: int) -> list[tuple[int, int]]:
        expression = self._any
        window = text[start:end]
        split = self._split(window)
        self._fill([split])
        marked = self._database.execute(
            "SELECT highlight(texts, 0, ?, ?) FROM texts WHERE texts MATCH ?", [_BEGIN, _END, f"text : ({expression})"]
        ).fetchone()
        spans = _marked_spans(marked[0] if marked else "")
        if spans and split != window:
            places = iter(places_of_split(window, chain.from_iterable((begin, stop - 1) for begin, stop in spans)))
            spans = [(first[0], whole_end(window, last[1])) for first, last in zip(places, places, strict=True)]
        spans = [(begin + start, stop + start) for begin, stop in spans]
        # A span at the end of a window may be only a part of a word.
        return [span for span in spans if (not start or span[0] > start) and (end >= len(text) or span[1] < end)]

    def _fill(self, texts: Iterable[str]) -> None:
        self._database.execute("DELETE FROM texts")
        self._database.executemany("INSERT INTO texts(rowid, text) VALUES (?, ?)", enumerate(texts))


def _marked_spans(marked: str) -> list[tuple[int, int]]:
    spans = []
    end = removed = 0
    while (begin := marked.find(_BEGIN, end)) >= 0:
        end = marked.index(_END, begin)
        spans.append((begin - removed, end - removed - 1))
        removed += 2
    return spans
