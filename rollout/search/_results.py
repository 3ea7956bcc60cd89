"""
Search a home: indexed lines with the index, other lines by reading the files.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from itertools import chain, groupby, islice
from pathlib import Path

import attrs
from attrs import field, frozen

from rollout.codec import MAX_LINE_SIZE, RolloutLine, decode_line
from rollout.errors import InvalidLineError
from rollout.home import Problem, RolloutName, StrPath, home_folder, walk
from rollout.home import is_archived as lies_in_archive
from rollout.interpret import Filters, Interpreter, Text
from rollout.reading import open_rollout
from rollout.search._changes import take_snapshot
from rollout.search._damage import IndexBusyError
from rollout.search._file_scan import matches_line, matches_text, read_facts, scan
from rollout.search._index import Index
from rollout.search._ingest import Change, restore_state
from rollout.search._postings import Place, find_lines, is_exact
from rollout.search._query import TOKENIZER, TRIGRAM, Matcher, Query, parse_query
from rollout.search._rows import Row
from rollout.search._sql_filters import is_since

__all__ = ["Hit", "SearchResults", "search"]

_BEFORE, _AFTER = 48, 96
"""Number of characters of a snippet before and after the beginning of the first match."""


@frozen
class Hit:
    """
    A message, command or output that contains the words.

    Attributes:
        path: The session's file.
        session_id: The session's id.
        offset: Offset of the line, in bytes of the uncompressed file.
        timestamp: Time of the line, as in the file.
        kind: user, agent, reasoning, call, output or summary.
        tool: Name of the tool of a call or output; None if unknown.
        snippet: The text around the first match in one line; all characters but white space are as recorded.
        matches: Beginnings and ends of the words in the snippet, in characters.
        start: Position of the snippet in the text, in characters.
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
    The hits of one search. Each hit is searched for when it is requested. Created by `search`.
    """

    def __init__(self, search: _Search) -> None:
        self._search = search
        # The search has no reference to these results, so deleting them early closes them and the index at once.
        self._hits = search.hits()

    @property
    def is_indexed(self) -> bool:
        """Whether an index exists and was used."""
        return self._search.is_indexed

    @property
    def scanned(self) -> int:
        """Number of sessions that were read because the index is not current for them."""
        return self._search.scanned

    @property
    def problems(self) -> list[Problem]:
        """Sessions that could not be read, and an index that could not be used."""
        return self._search.problems

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
        Close the index. May be called before the last hit.
        """
        self._hits.close()
        self._search.close()

    def sessions(self) -> Iterator[Path]:
        """
        Yield the files of the sessions with a hit, each once. Indexed sessions are not opened.

        Use this instead of the iteration over hits.
        """
        seen = set()
        with closing(self._search.sessions()) as paths:
            for path in paths:
                if path not in seen:
                    seen.add(path)
                    yield path


class _Search:
    """
    The state of one search.
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
        Yield the files of sessions with a hit, some of them twice.
        """
        is_of_time = self._filters.since is not None or self._filters.until is not None
        # The time of a line is only in its file.
        index = self._index
        if index is not None and not is_of_time and is_exact(index, self._query):
            try:
                with closing(Matcher(self._query, index.tokenizer)) as matcher, index:
                    known = yield from self._changed_sessions(index, matcher)
                    for _, found in groupby(find_lines(index, self._query, self._filters, known), key=_id_of_row):
                        yield self._home / next(found)[0].path
            except sqlite3.DatabaseError as error:
                self._drop_index(index, error)
            else:
                return
        yield from (hit.path for hit in self.hits())

    def _changed_sessions(self, index: Index, matcher: Matcher) -> Generator[Path, None, dict[int, Row | None]]:
        diff = take_snapshot(index)
        known = diff.known
        for change in diff.changes:
            with closing(self._scan_change(index, change, known, matcher)) as hits:
                yield from (hit.path for hit in islice(hits, 1))
        return known

    def hits(self) -> Generator[Hit]:
        """
        Yield the hits.
        """
        index = self._index
        tokenizer = TOKENIZER if index is None else index.tokenizer
        with closing(Matcher(self._query, tokenizer)) as matcher:
            # Offsets of the hits that were yielded, by file.
            yielded: defaultdict[Path, set[int]] = defaultdict(set)
            if index is not None:
                try:
                    with index:
                        for hit in self._hits_of_index(index, matcher):
                            yielded[hit.path].add(hit.offset)
                            yield hit
                except sqlite3.DatabaseError as error:
                    self._drop_index(index, error)
            if self._index is None:
                for name in walk(self._home, archived=self._filters.archived):
                    yield from (hit for hit in self._scan_session(name, matcher) if hit.offset not in yielded[hit.path])

    def _drop_index(self, index: Index, error: sqlite3.DatabaseError) -> None:
        """
        Continue without the index, which is damaged or locked.
        """
        self.problems.append(Problem(index.path, f"{error}; the session files are read instead"))
        self._index, self.is_indexed = None, False

    def _scan_session(self, name: RolloutName, matcher: Matcher) -> Iterator[Hit]:
        to_end = self._filters.model is not None
        try:
            if not is_since(self._filters, name.path.stat().st_mtime_ns):
                return
            if self._filters.needs_facts and not self._filters.matches(read_facts(name.path, to_end=to_end)):
                return
            yield from self._scan_file(name, matcher)
        except (OSError, ImportError) as error:
            self.problems.append(Problem(name.path, str(error)))

    def _scan_file(
        self, name: RolloutName, matcher: Matcher, start: int = 0, interpreter: Interpreter | None = None
    ) -> Iterator[Hit]:
        self.scanned += 1
        self._progress(self.scanned)
        found = scan(name.path, self._query, self._filters, matcher, start=start, interpreter=interpreter)
        for offset, line, text in found:
            yield _hit(name.path, name.session_id, offset, line, text, matcher)

    def _hits_of_index(self, index: Index, matcher: Matcher) -> Iterator[Hit]:
        diff = take_snapshot(index)
        known = diff.known
        for change in diff.changes:
            yield from self._scan_change(index, change, known, matcher)
        for _, places in groupby(find_lines(index, self._query, self._filters, known), key=_id_of_row):
            row, first = next(places)
            rest = (place for _, place in places)  # noqa: B031 -- what follows the first
            yield from self._read(row, chain([first], rest), matcher)

    def _scan_change(
        self, index: Index, change: Change, known: dict[int, Row | None], matcher: Matcher
    ) -> Generator[Hit]:
        """
        Yield the hits in the lines that are not indexed. Updates *known*: the row for the indexed lines of the session.
        """
        name, row = change.name, change.row
        state = None if row is None else restore_state(index.state(row.id))
        if row is not None and state is None:
            known[row.id] = None
        if self._filters.archived not in (None, lies_in_archive(name.path)):
            return
        if row is None or state is None:
            yield from self._scan_session(name, matcher)
            return
        if not is_since(self._filters, change.mtime_ns):
            return
        try:
            if self._filters.needs_facts:
                to_end = self._filters.model is not None
                facts = read_facts(name.path, known=row.facts, start=row.offset, to_end=to_end)
                known[row.id] = attrs.evolve(row, facts=facts)
                if not self._filters.matches(facts):
                    return
            yield from self._scan_file(name, matcher, row.offset, state[0])
        except (OSError, ImportError) as error:
            self.problems.append(Problem(name.path, str(error)))

    def _read(self, row: Row, places: Iterator[Place], matcher: Matcher) -> Iterator[Hit]:
        path = self._home / row.path
        # A compressed file can be read only from its beginning; it is read once.
        hits = self._hits_at(path, sorted(places, key=_offset_of) if row.is_compressed else places, matcher)
        try:
            yield from reversed(list(hits)) if row.is_compressed else hits
        except (OSError, ImportError) as error:
            self.problems.append(Problem(path, str(error)))

    def _hits_at(self, path: Path, places: Iterable[Place], matcher: Matcher) -> Iterator[Hit]:
        name = RolloutName.parse(path)
        file, damage = open_rollout(path)
        with file, suppress(*damage):
            for place in places:
                file.seek(place.offset)
                with suppress(InvalidLineError):
                    line = decode_line(file.readline(MAX_LINE_SIZE))
                    # The call is in another line; the index has matched the tool.
                    found = [attrs.evolve(text, tool=text.tool or self._filters.tool) for text in place.texts_in(line)]
                    texts = [text for text in found if matches_text(self._filters, text)]
                    for number in (
                        matcher.find_matches([text.text for text in texts]) if matches_line(self._filters, line) else ()
                    ):
                        session_id = name.session_id if name else ""
                        yield _hit(path, session_id, place.offset, line, texts[number], matcher)


def search(
    text: str,
    *,
    home: StrPath | None = None,
    filters: Filters = Filters(),  # noqa: B008 -- frozen
    use_index: bool = True,
    progress: Callable[[int], None] = lambda _: None,
) -> SearchResults:
    """
    Return the texts of a home that contain all words of a query, newest sessions first.

    With an index of trigrams, a word of one or two characters is searched for without the index.

    Args:
        text: Words that all occur in one message, command or output; ``"a phrase"``, ``prefix*``, ``-excluded``,
            ``a OR b``. May be empty if *filters* has conditions on texts.
        home: Home folder; by default ``CODEX_HOME``, else ``~/.codex``.
        filters: Conditions on sessions and on their texts.
        use_index: Whether to use the index, if it exists. Without an index, all sessions are read: some 5 s per GB.
        progress: Function that is called for each session that is read, with the number of sessions read so far.

    Returns:
        An iterator that blocks for the next hit.

    Raises:
        ValueError: The query has no word to search for, or a quotation mark is missing.
    """
    query = Query("") if not text.strip() and filters.needs_texts else parse_query(text)
    folder = home_folder(home).absolute()
    index = None
    problems: list[Problem] = []
    if use_index:
        try:
            index = Index.find(folder)
        except IndexBusyError as error:
            problems.append(Problem(error.path, f"locked by {error.holder}; the session files are read instead"))
        except ModuleNotFoundError:
            # Without the extra there is no index.
            pass
    if index is not None and index.tokenizer == TRIGRAM and not query.is_for_trigrams:
        index.close()
        index = None
    return SearchResults(_Search(query, filters, folder, index, progress, problems))


def _id_of_row(found: tuple[Row, Place]) -> int:
    return found[0].id


def _offset_of(place: Place) -> int:
    return place.offset


def _hit(path: Path, session_id: str, offset: int, line: RolloutLine, text: Text, matcher: Matcher) -> Hit:
    spans = matcher.spans(text.text)
    first, end_of_first = spans[0] if spans else (0, 0)
    start = max(first - _BEFORE, 0)
    end = min(max(first + _AFTER, end_of_first), len(text.text))
    matches = tuple((begin - start, min(stop, end) - start) for begin, stop in spans if begin < end)
    snippet = "".join(" " if character.isspace() else character for character in text.text[start:end])
    at = line.timestamp or None
    return Hit(path, session_id, offset, at, text.kind, text.tool, snippet, matches, start, text.text)
