"""
Streams of smolagents' models: what the agent sees of them, and what the API sends.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from attrs import define, field

from rollout.adapters._marks import recorded_here
from rollout.adapters._work import Work
from rollout.adapters.smolagents._items import CHAT, read_reply
from rollout.dialects import Fold, Reply

__all__ = ["ModelStream", "watched_retryer"]

_open: ContextVar[ModelStream | None] = ContextVar("rollout_smolagents_stream", default=None)


@define(eq=False)
class ModelStream:
    """
    One answer that comes in pieces.

    The pieces of smolagents have no reasoning, no tokens of the cache, no id; those of the API have them.

    Attributes:
        work: Where problems are reported.
        deltas: The pieces of smolagents.
    """

    work: Work
    deltas: list[Any] = field(factory=list)
    _fold: Fold = field(factory=CHAT.folder)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """
        Keep what the API sends in the with statement, in which inner hooks record nothing.
        """
        token = _open.set(self)
        try:
            with recorded_here():
                yield
        finally:
            _open.reset(token)

    def watch(self, events: Iterable[Any]) -> Iterator[Any]:
        """
        Yield the events of the API, and keep those in the form of Chat Completions.
        """
        for event in events:
            with self.work.guard("a part of an answer"):
                dump = getattr(event, "model_dump", None)
                plain = dump(mode="json", exclude_unset=True, warnings=False) if callable(dump) else event
                if isinstance(plain, Mapping):
                    self._fold.add(plain)
            yield event

    def reply(self) -> Reply:
        """
        Return the answer so far.
        """
        from smolagents.models import agglomerate_stream_deltas  # noqa: PLC0415

        body = self._fold.body or {}
        if body.get("choices"):
            return CHAT.read_reply(body)
        return read_reply(agglomerate_stream_deltas(list(self.deltas)))


def watched_retryer(retryer: Callable[..., Any]) -> Callable[..., Any]:
    """
    Return the retryer of a model, through which smolagents sends its requests, with the events of streams kept.
    """

    @functools.wraps(retryer)
    def retry(*args: Any, **kwargs: Any) -> Any:
        result, stream = retryer(*args, **kwargs), _open.get()
        return result if stream is None else stream.watch(result)

    return retry
