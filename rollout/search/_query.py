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

from attrs import frozen

from rollout._text import plain_text

__all__ = ["TOKENIZER", "TRIGRAM", "Matcher", "Query", "parse_query"]

TOKENIZER = "unicode61 remove_diacritics 2"
TRIGRAM = "trigram"
# A token: a minus sign, then a phrase or a word, then a star.
_TOKEN = re.compile(r'(-?)(?:"([^"]*)"|([^\s"]+?))(\*?)(?=\s|$|")')
_ASCII_WORD = re.compile(rb"[0-9a-z]+")
# Marks around a match. They are not valid characters: replacing a mark in a text with a space changes no word.
_BEGIN, _END = "\ufdd0", "\ufdd1"
_MARKS = str.maketrans(_BEGIN + _END, "  ")
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
        expression: The query for FTS5; empty if *text* is empty.
        needles: Bytes that each matching line contains in lower case, if the line is ASCII and has no escapes.
        terms: The words and phrases to find, for FTS5.
        wanted: The same words and phrases in groups. One of each group must occur.
        unwanted: Words and phrases that must not occur.
        is_for_trigrams: Whether no word is too short for an index of trigrams.
    """

    text: str
    expression: str
    needles: tuple[bytes, ...] = ()
    terms: tuple[str, ...] = ()
    wanted: tuple[tuple[Part, ...], ...] = ()
    unwanted: tuple[Part, ...] = ()
    is_for_trigrams: bool = True

    def may_match(self, raw: bytes) -> bool:
        """
        Return whether the bytes of a line may match. Fast; if it returns False, the line does not match.
        """
        lowered = raw.lower()
        if all(needle in lowered for needle in self.needles):
            return True
        # A search ignores accents, and an escape may stand for any letter.
        return not raw.isascii() or b"\\u" in raw


def parse_query(text: str) -> Query:
    """
    Parse a query: all of its words must occur, in any order, within one message, command or output.

    ``"two words"`` is a phrase, ``pars*`` a prefix, ``-word`` must not occur, of ``a OR b`` one must occur. Case and
    accents are ignored.

    Raises:
        ValueError: The query has no word to search for, or a quotation mark is missing.
    """
    text = plain_text(text)
    if text.count('"') % 2:
        raise ValueError(f'{text!r}: a quotation mark is missing; write a phrase as "two words"')
    wanted, unwanted = _parse_tokens(text)
    if not wanted:
        raise ValueError(f"{text!r}: the query has no word to search for; punctuation cannot be searched")
    terms = [[_term(part) for part in group] for group in wanted]
    expression = " AND ".join(f"({' OR '.join(group)})" for group in terms)
    # Only one NOT: a chain of NOTs is nested, and SQLite crashes on a deeply nested expression.
    without = f" NOT ({' OR '.join(map(_term, unwanted))})" if unwanted else ""
    return Query(
        text,
        f"({expression}){without}",
        tuple(dict.fromkeys(needle for group in wanted for needle in _needles(group))),
        tuple(dict.fromkeys(term for group in terms for term in group)),
        tuple(map(tuple, wanted)),
        tuple(unwanted),
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


def _term(part: Part) -> str:
    return f'"{part[0]}"{"*" if part[1] else ""}'


class Matcher:
    """
    Matcher of texts in memory against a query.

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
        database.execute(f"CREATE VIRTUAL TABLE texts USING fts5(text, tokenize = '{self._tokenizer}')")
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
        if not self._query.expression:
            return list(range(len(texts)))
        self._fill(map(plain_text, texts))
        return self._select(self._query.expression)

    def words_of(self, text: str) -> list[str]:
        """
        Return the words into which the tokenizer splits a text, in order.
        """
        self._fill([text])
        self._database.execute("CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5vocab(texts, instance)")
        return [word for (word,) in self._database.execute("SELECT term FROM words ORDER BY offset")]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """
        Return the beginnings and ends, in characters, of the first matching words of a text, and of the matching words
        within some 8,000 characters after them.
        """
        if not self._query.expression:
            return []
        text = plain_text(text).translate(_MARKS)
        if len(text) <= _WINDOW:
            return self._spans_in(text, 0, len(text))
        starts = range(0, len(text), _WINDOW)
        self._fill(text[start : start + _WINDOW + _OVERLAP] for start in starts)
        for number in self._select(self._any):
            start = starts[number]
            for first, _ in self._spans_in(text, start, start + _WINDOW + _OVERLAP)[:1]:
                around = self._spans_in(text, max(first - _OVERLAP, 0), first + _WINDOW)
                return [span for span in around if span[0] >= first]
        # The words of a phrase are further apart than a window.
        return self._spans_in(text, 0, len(text))

    @property
    def _any(self) -> str:
        # In a text that matches, all words of the query are marked.
        return " OR ".join(self._query.terms)

    def _select(self, expression: str) -> list[int]:
        query = "SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid"
        return [number for (number,) in self._database.execute(query, [f"text : ({expression})"])]

    def _spans_in(self, text: str, start: int, end: int) -> list[tuple[int, int]]:
        self._fill([text[start:end]])
        marked = self._database.execute(
            "SELECT highlight(texts, 0, ?, ?) FROM texts WHERE texts MATCH ?", [_BEGIN, _END, f"text : ({self._any})"]
        ).fetchone()
        spans = [(begin + start, stop + start) for begin, stop in _marked_spans(marked[0] if marked else "")]
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
