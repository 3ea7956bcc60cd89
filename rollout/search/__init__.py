"""
Full-text search in the sessions of a home.

With an index (`update_index`), a search takes milliseconds; without an index, it reads the files. Both return the same
hits, because lines that are not indexed yet are read. `SearchResults.scanned` is the number of sessions that were read.

>>> from rollout import Recorder
>>> from rollout.search import search
>>> with Recorder() as rec:
...     rec.user_message("Why does the parser fail on an empty line?")
>>> [hit.snippet for hit in search('pars* "empty line"')]
['Why does the parser fail on an empty line?']
"""

from __future__ import annotations

from rollout.interpret import Filters, SessionFacts
from rollout.search._catalog import Order as Order
from rollout.search._catalog import indexed_sessions, indexed_stats
from rollout.search._catalog import read_catalog as read_catalog
from rollout.search._catalog import sessions_given_name as sessions_given_name
from rollout.search._catalog import stats_in_state as stats_in_state
from rollout.search._changes import find_changes as find_changes
from rollout.search._damage import IndexBusyError
from rollout.search._file_scan import read_facts as read_facts
from rollout.search._index import Index, index_path
from rollout.search._ingest import UpdateResult
from rollout.search._results import Hit, SearchResults, search
from rollout.search._rows import Row as Row
from rollout.search._sql_filters import is_since as is_since
from rollout.search._update import Progress, delete_index, update_index

__all__ = [
    "SessionFacts",
    "Filters",
    "Hit",
    "Index",
    "IndexBusyError",
    "Progress",
    "SearchResults",
    "UpdateResult",
    "delete_index",
    "index_path",
    "indexed_sessions",
    "indexed_stats",
    "search",
    "update_index",
]
