"""
Requests that wait for their answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from rollout.adapters._marks import set_mark
from rollout.adapters._matching import Conversation
from rollout.dialects import Dialect, Item, Reply

if TYPE_CHECKING:
    from rollout.adapters._log import Log

__all__ = ["Asked", "Exchange"]


@define(eq=False)
class Asked:
    """
    A request that waits for its answer. The first call of a method that records the answer counts, later ones do
    nothing.

    Attributes:
        is_over: Whether the answer was recorded.
    """

    _log: Log
    _conversation: Conversation
    is_over: bool = field(default=False, init=False)

    def mark(self) -> None:
        """
        Mark the requests in the current context as recorded, until the answer.
        """
        set_mark(self)

    def answered(self, reply: Reply, *, is_whole: bool = True, error: BaseException | None = None) -> None:
        """
        Record the answer, or as much of a stream as came, and the exception that ended it.
        """
        if self._end():
            self._log.received(self._conversation, reply, is_whole=is_whole, error=error)

    def failed(self, error: BaseException) -> None:
        """
        Record that there was no answer.
        """
        if self._end():
            self._log.failed(self._conversation, error)

    def added(self, item: Item) -> None:
        """
        Record an item that no request and no answer contains: a call that a framework finds in a text, or its output.
        """
        self._log.received(self._conversation, Reply(items=[item]), is_whole=False)

    def tool_ended(self, call_id: str, output: Any, *, seconds: float, is_failed: bool) -> None:
        """
        Note the end of a call as `Log.tool_ended` does, also if other sessions have calls with the same id.
        """
        session = self._conversation.session
        self._log.tool_ended(call_id, output, seconds=seconds, is_failed=is_failed, session=session)

    def _end(self) -> bool:
        is_first, self.is_over = not self.is_over, True
        return is_first


@define(eq=False)
class Exchange(Asked):
    """
    A request in one of the dialects.
    """

    dialect: Dialect

    def received(self, body: Any, *, is_whole: bool = True, error: BaseException | None = None) -> None:
        """
        Record the body of an answer, or as much of a stream as came, and the exception that ended it.
        """
        if not self.is_over:
            reply = self.dialect.read_reply(body if isinstance(body, Mapping) else {})
            self.answered(reply, is_whole=is_whole, error=error)

    def catch_up(self) -> None:
        """
        Wait until the answer is recorded, if another thread records it; not for a finalizer, which must not wait.
        """
        self._log.work.catch_up()

    def opened(self, finish: Callable[[], None]) -> None:
        """
        Note a function that records the answer so far, which is called at the latest when recording ends.
        """
        self._log.open_streams.add(finish)

    def closed(self, finish: Callable[[], None]) -> None:
        """
        Forget a function that `opened` noted.
        """
        self._log.open_streams.discard(finish)

    def report(self, error: Exception) -> None:
        """
        Count an answer that could not be read.
        """
        self._log.work.report("an answer", error)
