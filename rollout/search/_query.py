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

__all__ = ["TOKENIZER", "TRIGRAM", "Matcher", "Query", "parse_query"]

TOKENIZER = "unicode61 remove_diacritics 2"
TRIGRAM = "trigram"
# A part: minus, then a phrase or a word, then a star.
_PART = re.compile(r'(-?)(?:"([^"]*)"|([^\s"]+?))(\*?)(?=\s|$|")')
_ASCII_WORD = re.compile(rb"[0-9a-z]+")
# Marks of a match; what stands in a text for itself is taken for a space.
_BEGIN, _END = "\ue000", "\ue001"
_MARKS = str.maketrans(_BEGIN + _END, "  ")


@frozen
class Query:
    """
    Something to look for.

    Attributes:
        text: What was typed; empty where only filters say what is wanted.
        expression: It for FTS5; empty if *text* is.
        needles: What every line that matches holds in lower case, if it is all ASCII and without escapes.
    """

    text: str
    expression: str
    needles: tuple[bytes, ...] = ()

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
    if text.count('"') % 2:
        raise ValueError(f'{text!r}: a quotation mark is missing; a phrase is "two words"')
    wanted: list[list[str]] = []
    unwanted: list[str] = []
    needles: list[list[bytes]] = []
    is_or = False
    for minus, phrase, word, star in _PART.findall(text):
        if word == "OR" and wanted and not is_or:
            is_or = True
            continue
        part = phrase or word
        if not any(character.isalnum() for character in part):
            continue
        term = f'"{part.replace(chr(0), " ")}"{star}'
        if minus:
            unwanted.append(term)
        elif is_or:
            wanted[-1].append(term)
            needles[-1] = []
        else:
            wanted.append([term])
            needles.append(_ASCII_WORD.findall(part.lower().encode()) if part.isascii() else [])
        is_or = False
    if not wanted:
        raise ValueError(f"{text!r}: there is no word to look for; a search is for words, not for signs")
    expression = " AND ".join(f"({' OR '.join(terms)})" for terms in wanted)
    expression = f"({expression})" + "".join(f" NOT {term}" for term in unwanted)
    return Query(text, expression, tuple(needle for group in needles for needle in group))


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

    def close(self) -> None:
        """
        Forget the texts.
        """
        self._database.close()

    def matching(self, texts: Sequence[str]) -> list[int]:
        """
        Say which of the texts match, by their places.
        """
        if not self._query.expression:
            return list(range(len(texts)))
        self._fill(texts)
        found = self._database.execute("SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid", [self._expression])
        return [number for (number,) in found]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """
        Say where in a text that matches the words stand: beginnings and ends, in characters.
        """
        if not self._query.expression:
            return []
        self._fill([text.translate(_MARKS)])
        marked = self._database.execute(
            "SELECT highlight(texts, 0, ?, ?) FROM texts WHERE texts MATCH ?", [_BEGIN, _END, self._expression]
        ).fetchone()
        return _spans(marked[0]) if marked else []

    @property
    def _expression(self) -> str:
        return f"text : ({self._query.expression})"

    def _fill(self, texts: Iterable[str]) -> None:
        self._database.execute("DELETE FROM texts")
        rows = ((number, without_surrogates(text)) for number, text in enumerate(texts))
        self._database.executemany("INSERT INTO texts(rowid, text) VALUES (?, ?)", rows)


def without_surrogates(text: str) -> str:
    """
    Give a text that SQLite takes; a damaged file may have halves of characters.
    """
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
