"""
Everything that was said in a home, found by its words.

With an index (`update_index`) a search takes milliseconds; without one it reads the files. Either way it finds the
same: what the index does not have yet is read, and `SearchResults.scanned` says how much that was.

>>> from rollout import Recorder
>>> from rollout.search import search
>>> with Recorder() as rec:
...     rec.user_message("Why does the parser fail on an empty line?")
>>> [hit.snippet for hit in search('pars* "empty line"')]
['Why does the parser fail on an empty line?']
"""

from __future__ import annotations

from rollout._facts import Facts, Filters
from rollout.search._damage import IndexBusyError
from rollout.search._index import Index, index_path
from rollout.search._reading import Updated
from rollout.search._searching import Hit, SearchResults, search
from rollout.search._sessions import IndexedSession, indexed_sessions, indexed_stats
from rollout.search._update import Progress, delete_index, update_index

__all__ = [
    "Facts",
    "Filters",
    "Hit",
    "Index",
    "IndexBusyError",
    "IndexedSession",
    "Progress",
    "SearchResults",
    "Updated",
    "delete_index",
    "index_path",
    "indexed_sessions",
    "indexed_stats",
    "search",
    "update_index",
]
