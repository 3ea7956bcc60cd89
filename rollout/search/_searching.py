"""
A search: what the index has, and what it does not have yet.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from itertools import chain, groupby, islice
from pathlib import Path

import attrs
from attrs import field, frozen

from rollout._facts import Filters
from rollout._texts import Text, Texts
from rollout._walk import Problem, walk
from rollout.codec import MAX_LINE_SIZE, RolloutLine, decode_line
from rollout.errors import InvalidLineError
from rollout.layout import RolloutName, StrPath, home_folder
from rollout.layout import is_archived as lies_in_archive
from rollout.reader import open_rollout
from rollout.search._damage import IndexBusyError
from rollout.search._filtering import is_since
from rollout.search._index import Index
from rollout.search._news import settled
from rollout.search._postings import find_lines, is_exact
from rollout.search._query import TOKENIZER, TRIGRAM, Matcher, Query, parse_query
from rollout.search._reading import Change, state_of
from rollout.search._rows import Row
from rollout.search._scanning import facts_of, fits_line, fits_text, scan

__all__ = ["Hit", "SearchResults", "search"]

_BEFORE, _AFTER = 48, 96
"""Characters of a snippet around the first match."""


@frozen
class Hit:
    """
    A message, command or output in which the words stand.

    Attributes:
        path: The session's file.
        session_id: Its id.
        offset: The line's first byte, in the (uncompressed) file.
        timestamp: When it was recorded, as it stands in the file.
        kind: user, agent, reasoning, call, output or summary.
        tool: Which tool is called, or answers; None if it is not known.
        snippet: The text around the first match, in one line; other characters stand as they were recorded.
        matches: Where in the snippet the words stand: beginnings and ends, in characters.
        start: Where in the text the snippet begins.
        text: The whole text.
    """

    path: Path
    session_id: str
    offset: int
    timestamp: str | None
    kind: str
    tool: str | None
    snippet: str
    matches: tuple[tuple[int, int], ...]
    start: int
    text: str = field(repr=False)


class SearchResults(Iterator[Hit]):
    """
    The hits of one search, found as they are asked for; made by `search`.
    """

    def __init__(self, searching: _Searching) -> None:
        self._searching = searching
        # It does not know of these results: dropped half-way, they and the index are closed at once.
        self._hits = searching.hits()

    @property
    def is_indexed(self) -> bool:
        """There is an index, and it was asked."""
        return self._searching.is_indexed

    @property
    def scanned(self) -> int:
        """How many sessions were read because the index does not have them as they are."""
        return self._searching.scanned

    @property
    def problems(self) -> list[Problem]:
        """Sessions that could not be read."""
        return self._searching.problems

    def __next__(self) -> Hit:
        return next(self._hits)

    def __enter__(self) -> SearchResults:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """
        Close the index before the last hit.
        """
        self._hits.close()
        self._searching.close()

    def sessions(self) -> Iterator[Path]:
        """
        Give the files of the sessions that have a hit, each once; those that the index has are not opened.

        Takes the place of the iteration over hits.
        """
        seen = set()
        with closing(self._searching.sessions()) as paths:
            for path in paths:
                if path not in seen:
                    seen.add(path)
                    yield path


class _Searching:
    """
    One search, at work.
    """

    def __init__(
        self,
        query: Query,
        filters: Filters,
        home: Path,
        index: Index | None,
        progress: Callable[[int], None],
        problems: list[Problem],
    ) -> None:
        self.is_indexed = index is not None
        self.scanned = 0
        self.problems = problems
        self._query, self._filters, self._home = query, filters, home
        self._index, self._progress = index, progress

    def close(self) -> None:
        """
        Close the index.
        """
        if self._index is not None:
            self._index.close()

    def sessions(self) -> Generator[Path]:
        """
        Give the files of sessions that have a hit, some of them twice.
        """
        is_of_time = self._filters.since is not None or self._filters.until is not None
        # When a line was recorded, only its file says.
        index = self._index
        if index is not None and not is_of_time and is_exact(index, self._query):
            try:
                with closing(Matcher(self._query, index.tokenizer)) as matcher, index:
                    known = yield from self._changed_sessions(index, matcher)
                    for _, found in groupby(find_lines(index, self._query, self._filters, known), key=_id_of_row):
                        yield self._home / next(found)[0].path
            except sqlite3.DatabaseError as error:
                self._lose(index, error)
            else:
                return
        yield from (hit.path for hit in self.hits())

    def _changed_sessions(self, index: Index, matcher: Matcher) -> Generator[Path, None, dict[int, Row | None]]:
        news = settled(index)
        known = news.known
        for change in news.changes:
            with closing(self._scan_changed(index, change, known, matcher)) as hits:
                yield from (hit.path for hit in islice(hits, 1))
        return known

    def hits(self) -> Generator[Hit]:
        """
        Give the hits.
        """
        index = self._index
        tokenizer = TOKENIZER if index is None else index.tokenizer
        with closing(Matcher(self._query, tokenizer)) as matcher:
            # Of each file, where the hits are that were given.
            given: defaultdict[Path, set[int]] = defaultdict(set)
            if index is not None:
                try:
                    with index:
                        for hit in self._ask(index, matcher):
                            given[hit.path].add(hit.offset)
                            yield hit
                except sqlite3.DatabaseError as error:
                    self._lose(index, error)
            if self._index is None:
                for name in _all_names(self._home, self._filters.archived):
                    yield from (hit for hit in self._scan(name, matcher) if hit.offset not in given[hit.path])

    def _lose(self, index: Index, error: sqlite3.DatabaseError) -> None:
        """
        Continue without the index, which is damaged or locked.
        """
        self.problems.append(Problem(index.path, f"{error}; the sessions are read"))
        self._index, self.is_indexed = None, False

    def _scan(self, name: RolloutName, matcher: Matcher) -> Iterator[Hit]:
        to_end = self._filters.model is not None
        try:
            if not is_since(self._filters, name.path.stat().st_mtime_ns):
                return
            if self._filters.is_of_facts and not self._filters.fit(facts_of(name.path, to_end=to_end)):
                return
            yield from self._scanned(name, matcher)
        except (OSError, ImportError) as error:
            self.problems.append(Problem(name.path, str(error)))

    def _scanned(
        self, name: RolloutName, matcher: Matcher, start: int = 0, texts: Texts | None = None
    ) -> Iterator[Hit]:
        self.scanned += 1
        self._progress(self.scanned)
        for offset, line, text in scan(name.path, self._query, self._filters, matcher, start=start, texts=texts):
            yield _hit(name.path, name.session_id, offset, line, text, matcher)

    def _ask(self, index: Index, matcher: Matcher) -> Iterator[Hit]:
        news = settled(index)
        known = news.known
        for change in news.changes:
            yield from self._scan_changed(index, change, known, matcher)
        for _, places in groupby(find_lines(index, self._query, self._filters, known), key=_id_of_row):
            row, first = next(places)
            rest = (place for _, place in places)  # noqa: B031 -- what follows the first
            yield from self._read(row, chain([first], rest), matcher)

    def _scan_changed(
        self, index: Index, change: Change, known: dict[int, Row | None], matcher: Matcher
    ) -> Generator[Hit]:
        """
        Give the hits that the index does not have; *known* learns what it may say of the others.
        """
        name, row = change.name, change.row
        state = None if row is None else state_of(index.state(row.id))
        if row is not None and state is None:
            known[row.id] = None
        if self._filters.archived not in (None, lies_in_archive(name.path)):
            return
        if row is None or state is None:
            yield from self._scan(name, matcher)
            return
        if not is_since(self._filters, change.mtime_ns):
            return
        try:
            if self._filters.is_of_facts:
                to_end = self._filters.model is not None
                facts = facts_of(name.path, known=row.facts, start=row.offset, to_end=to_end)
                known[row.id] = attrs.evolve(row, facts=facts)
                if not self._filters.fit(facts):
                    return
            yield from self._scanned(name, matcher, row.offset, state[1])
        except (OSError, ImportError) as error:
            self.problems.append(Problem(name.path, str(error)))

    def _read(self, row: Row, places: Iterator[int], matcher: Matcher) -> Iterator[Hit]:
        path = self._home / row.path
        # A compressed file is read from the beginning only, and once.
        hits = self._hits_at(path, sorted(places) if row.is_compressed else places, matcher)
        try:
            yield from reversed(list(hits)) if row.is_compressed else hits
        except (OSError, ImportError) as error:
            self.problems.append(Problem(path, str(error)))

    def _hits_at(self, path: Path, places: Iterable[int], matcher: Matcher) -> Iterator[Hit]:
        name = RolloutName.parse(path)
        file, damage = open_rollout(path)
        with file, suppress(*damage):
            for place in places:
                file.seek(place)
                with suppress(InvalidLineError):
                    line = decode_line(file.readline(MAX_LINE_SIZE))
                    # Its call is not read; the index knew the tool.
                    found = [attrs.evolve(text, tool=text.tool or self._filters.tool) for text in Texts().of(line)]
                    texts = [text for text in found if fits_text(self._filters, text)]
                    for number in (
                        matcher.matching([text.text for text in texts]) if fits_line(self._filters, line) else ()
                    ):
                        yield _hit(path, name.session_id if name else "", place, line, texts[number], matcher)


def search(
    text: str,
    *,
    home: StrPath | None = None,
    filters: Filters = Filters(),  # noqa: B008 -- frozen
    use_index: bool = True,
    progress: Callable[[int], None] = lambda _: None,
) -> SearchResults:
    """
    Look for words in everything that was said in a home; the newest sessions first.

    With an index of trigrams a word of one or two characters is looked for without it.

    Args:
        text: Words that all occur in one message, command or output; ``"a phrase"``, ``begin*``, ``-without``,
            ``this OR that``. Empty, if *filters* says which texts are wanted.
        home: By default ``CODEX_HOME``, else ``~/.codex``.
        filters: Which sessions, and which texts of them.
        use_index: Ask the index, if there is one. Without it all sessions are read: some 5 s a GB.
        progress: Called for each session that is read, with how many were.

    Returns:
        An iterator that blocks for the next hit.

    Raises:
        ValueError: There is nothing to look for, or a quotation mark is missing.
    """
    query = Query("", "") if not text.strip() and filters.is_of_texts else parse_query(text)
    folder = home_folder(home).absolute()
    index = None
    problems: list[Problem] = []
    if use_index:
        try:
            index = Index.find(folder)
        except IndexBusyError as error:
            problems.append(Problem(error.path, f"held by {error.holder}; the session files are read instead"))
        except ModuleNotFoundError:
            # Without the extra there is no index either.
            pass
    if index is not None and index.tokenizer == TRIGRAM and not query.is_for_trigrams:
        index.close()
        index = None
    return SearchResults(_Searching(query, filters, folder, index, progress, problems))


def _id_of_row(found: tuple[Row, int]) -> int:
    return found[0].id


def _all_names(home: Path, archived: bool | None) -> Iterator[RolloutName]:
    places = [False, True] if archived is None else [archived]
    return heapq.merge(*(walk(home, is_archived=place) for place in places), key=lambda name: name.key, reverse=True)


def _hit(path: Path, session_id: str, offset: int, line: RolloutLine, text: Text, matcher: Matcher) -> Hit:
    spans = matcher.spans(text.text)
    first, end_of_first = spans[0] if spans else (0, 0)
    start = max(first - _BEFORE, 0)
    end = min(max(first + _AFTER, end_of_first), len(text.text))
    matches = tuple((begin - start, min(stop, end) - start) for begin, stop in spans if begin < end)
    snippet = "".join(" " if character.isspace() else character for character in text.text[start:end])
    return Hit(path, session_id, offset, line.timestamp, text.kind, text.tool, snippet, matches, start, text.text)
