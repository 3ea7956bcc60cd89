"""
A search: what the index has, and what it does not have yet.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from itertools import groupby
from operator import itemgetter
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
from rollout.search._index import Index, Row
from rollout.search._query import TOKENIZER, Matcher, Query, parse_query
from rollout.search._scanning import facts_of, fits_line, scan
from rollout.search._update import changes

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

    Attributes:
        is_indexed: There is an index, and it was asked.
        scanned: How many sessions were read because the index does not have them as they are.
        problems: Sessions that could not be read.
    """

    def __init__(
        self, query: Query, filters: Filters, home: Path, index: Index | None, progress: Callable[[int], None]
    ) -> None:
        self.is_indexed = index is not None
        self.scanned = 0
        self.problems: list[Problem] = []
        self._query, self._filters, self._home = query, filters, home
        self._index, self._progress = index, progress
        self._hits = self._search()

    def __next__(self) -> Hit:
        return next(self._hits)

    def close(self) -> None:
        """
        Close the index before the last hit.
        """
        self._hits.close()

    def _search(self) -> Generator[Hit]:
        tokenizer = TOKENIZER if self._index is None else self._index.tokenizer
        with closing(Matcher(self._query, tokenizer)) as matcher:
            if self._index is None:
                for name in _all_names(self._home, self._filters.archived):
                    yield from self._scan(name, matcher)
            else:
                with self._index:
                    yield from self._ask(self._index, matcher)

    def _scan(self, name: RolloutName, matcher: Matcher, row: Row | None = None) -> Iterator[Hit]:
        since, start = self._filters.since, 0 if row is None else row.offset
        try:
            if since is not None and name.path.stat().st_mtime < since.timestamp():
                return
            if self._filters.is_of_facts and not self._filters.fit(row.facts if row else facts_of(name.path)):
                return
            self.scanned += 1
            self._progress(self.scanned)
            for offset, line, text in scan(name.path, self._query, self._filters, matcher, start):
                yield _hit(name.path, name.session_id, offset, line, text, matcher)
        except (OSError, ImportError) as error:
            self.problems.append(Problem(name.path, str(error)))

    def _ask(self, index: Index, matcher: Matcher) -> Iterator[Hit]:
        changed = changes(index)
        for change in changed:
            if self._filters.archived in (None, lies_in_archive(change.name.path)):
                yield from self._scan(change.name, matcher, change.row)
        # What was written anew has other lines where the index has its old ones.
        anew = {change.name.path.name.removesuffix(".zst") for change in changed if change.row is None}
        for row, places in groupby(index.find(self._query, self._filters), key=itemgetter(0)):
            if row.name not in anew:
                yield from self._read(row, (place for _, place in places), matcher)

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
                    texts = Texts().of(line) if fits_line(self._filters, line) else []
                    for number in matcher.matching([text.text for text in texts]):
                        text = texts[number]
                        # Its call is not read; the index knew the tool.
                        text = attrs.evolve(text, tool=text.tool or self._filters.tool)
                        yield _hit(path, name.session_id if name else "", place, line, text, matcher)


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

    Args:
        text: Words that all occur in one message, command or output; ``"a phrase"``, ``begin*``, ``-without``,
            ``this OR that``. Empty, if *filters* says which texts are wanted.
        home: By default ``CODEX_HOME``, else ``~/.codex``.
        filters: Which sessions, and which texts of them.
        use_index: Ask the index, if there is one. Without it all sessions are read: some 0.5 s a GB for a rare word.
        progress: Called for each session that is read, with how many were.

    Returns:
        An iterator that blocks for the next hit.

    Raises:
        ValueError: There is nothing to look for, or a quotation mark is missing.
    """
    query = Query("", "") if not text.strip() and filters.is_of_texts else parse_query(text)
    folder = home_folder(home).absolute()
    index = None
    if use_index:
        # Without the extra there is no index either.
        with suppress(ModuleNotFoundError):
            index = Index.open(folder)
    return SearchResults(query, filters, folder, index, progress)


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
