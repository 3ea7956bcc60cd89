"""
What somebody looks for: words, "phrases", beginnings*, -exclusions, this OR that -> an expression of FTS5.

The same expression is asked of the index and of a table in memory with one text in it, so that a scan finds what the
index finds, and both say where.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from functools import cached_property

from attrs import frozen

__all__ = ["TOKENIZER", "TRIGRAM", "Matcher", "Query", "parse_query", "plain_text"]

TOKENIZER = "unicode61 remove_diacritics 2"
TRIGRAM = "trigram"
# A part: minus, then a phrase or a word, then a star.
_PART = re.compile(r'(-?)(?:"([^"]*)"|([^\s"]+?))(\*?)(?=\s|$|")')
_COLOUR = re.compile(r"\x1b\[[0-9;:?]*[@-~]")
_ASCII_WORD = re.compile(rb"[0-9a-z]+")
# Marks of a match: no characters, so that a space in the place of one that stands in a text changes no word.
_BEGIN, _END = "\ufdd0", "\ufdd1"
_MARKS = str.maketrans(_BEGIN + _END, "  ")
# Marking takes the square of a text's length: a longer one is looked through in windows of so many characters.
_WINDOW, _OVERLAP = 8192, 2048
_TRIGRAM_SIZE = 3


Part = tuple[str, bool]
"""A word or phrase, and whether it is the beginning of one."""


@frozen
class Query:
    """
    Something to look for.

    Attributes:
        text: What was typed; empty where only filters say what is wanted.
        expression: It for FTS5; empty if *text* is.
        needles: What every line that matches holds in lower case, if it is all ASCII and without escapes.
        terms: The words and phrases that are wanted, for FTS5.
        wanted: The same in groups, of each of which one must occur; with each, whether it is a beginning.
        unwanted: What must not occur.
        is_for_trigrams: No word is too short for an index of trigrams.
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
        Say whether a line's bytes may match: quick, and right when it says no.
        """
        lowered = raw.lower()
        if all(needle in lowered for needle in self.needles):
            return True
        # An accent is no difference to a search, and what is escaped could be any letter.
        return not raw.isascii() or b"\\u" in raw


def parse_query(text: str) -> Query:
    """
    Read a query: all of its words, in any order, within one message, command or output.

    ``"two words"`` is a phrase, ``pars*`` a beginning, ``-word`` must not occur, ``a OR b`` either. Case and accents
    are no difference.

    Raises:
        ValueError: There is no word in it to look for, or a quotation mark is missing.
    """
    text = plain_text(text)
    if text.count('"') % 2:
        raise ValueError(f'{text!r}: a quotation mark is missing; a phrase is "two words"')
    wanted: list[list[Part]] = []
    unwanted: list[Part] = []
    needles: list[list[bytes]] = []
    is_or, is_for_trigrams = False, True
    for minus, phrase, word, star in _PART.findall(text):
        if word == "OR" and wanted and not (minus or star or is_or):
            is_or = True
            continue
        is_alternative, is_or = is_or, False
        part = phrase or word
        if not any(character.isalnum() for character in part):
            continue
        is_for_trigrams = is_for_trigrams and len(part) >= _TRIGRAM_SIZE
        if minus:
            unwanted.append((part, bool(star)))
        elif is_alternative:
            wanted[-1].append((part, bool(star)))
            needles[-1] = []
        else:
            wanted.append([(part, bool(star))])
            needles.append(_ASCII_WORD.findall(part.lower().encode()) if part.isascii() else [])
    if not wanted:
        raise ValueError(f"{text!r}: there is no word to look for; a search is for words, not for signs")
    unwanted = list(dict.fromkeys(unwanted))
    terms = [[_term(part) for part in parts] for parts in wanted]
    expression = " AND ".join(f"({' OR '.join(group)})" for group in terms)
    # One NOT: a chain of them is as deep as it is long, and SQLite dies of it.
    without = f" NOT ({' OR '.join(map(_term, unwanted))})" if unwanted else ""
    return Query(
        text,
        f"({expression}){without}",
        tuple(dict.fromkeys(needle for group in needles for needle in group)),
        tuple(dict.fromkeys(term for group in terms for term in group)),
        tuple(map(tuple, wanted)),
        tuple(unwanted),
        is_for_trigrams,
    )


def _term(part: Part) -> str:
    return f'"{part[0]}"{"*" if part[1] else ""}'


class Matcher:
    """
    Asks a query of texts at hand.

    Args:
        query: What to look for.
        tokenizer: As the index has it.
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
        Forget the texts.
        """
        if "_database" in self.__dict__:
            self._database.close()

    def matching(self, texts: Sequence[str]) -> list[int]:
        """
        Say which of the texts match, by their places.
        """
        if not self._query.expression:
            return list(range(len(texts)))
        self._fill(map(plain_text, texts))
        return self._found(self._query.expression)

    def words_of(self, text: str) -> list[str]:
        """
        Give the words of a text as the tokenizer sees them, in order.
        """
        self._fill([text])
        self._database.execute("CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5vocab(texts, instance)")
        return [word for (word,) in self._database.execute("SELECT term FROM words ORDER BY offset")]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """
        Say where the first words of a text that match stand, and those within some 8,000 characters behind: beginnings
        and ends, in characters.
        """
        if not self._query.expression:
            return []
        text = plain_text(text).translate(_MARKS)
        if len(text) <= _WINDOW:
            return self._spans_in(text, 0, len(text))
        starts = range(0, len(text), _WINDOW)
        self._fill(text[start : start + _WINDOW + _OVERLAP] for start in starts)
        for number in self._found(self._any):
            start = starts[number]
            for first, _ in self._spans_in(text, start, start + _WINDOW + _OVERLAP)[:1]:
                around = self._spans_in(text, max(first - _OVERLAP, 0), first + _WINDOW)
                return [span for span in around if span[0] >= first]
        # A phrase with more than a window between its words.
        return self._spans_in(text, 0, len(text))

    @property
    def _any(self) -> str:
        # In a text that matches, all words that are wanted are marked.
        return " OR ".join(self._query.terms)

    def _found(self, expression: str) -> list[int]:
        query = "SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid"
        return [number for (number,) in self._database.execute(query, [f"text : ({expression})"])]

    def _spans_in(self, text: str, start: int, end: int) -> list[tuple[int, int]]:
        self._fill([text[start:end]])
        marked = self._database.execute(
            "SELECT highlight(texts, 0, ?, ?) FROM texts WHERE texts MATCH ?", [_BEGIN, _END, f"text : ({self._any})"]
        ).fetchone()
        spans = [(begin + start, stop + start) for begin, stop in _spans(marked[0] if marked else "")]
        # What touches a cut may be a part of a word.
        return [span for span in spans if (not start or span[0] > start) and (end >= len(text) or span[1] < end)]

    def _fill(self, texts: Iterable[str]) -> None:
        self._database.execute("DELETE FROM texts")
        self._database.executemany("INSERT INTO texts(rowid, text) VALUES (?, ?)", enumerate(texts))


def plain_text(text: str) -> str:
    """
    Give a text that SQLite takes, as long as it is: without NUL, at which it ends a text now and then, without the
    halves of characters that a damaged file may have, and without a terminal's colours, which make one word with the
    next.
    """
    text = text.replace("\0", " ")
    if "\x1b" in text:
        text = _COLOUR.sub(lambda found: " " * len(found[0]), text)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _spans(marked: str) -> list[tuple[int, int]]:
    spans = []
    end = removed = 0
    while (begin := marked.find(_BEGIN, end)) >= 0:
        end = marked.index(_END, begin)
        spans.append((begin - removed, end - removed - 1))
        removed += 2
    return spans
