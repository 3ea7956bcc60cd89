"""
The session that records one conversation: turns, items, usage, settings, errors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias

from attrs import define, field

from rollout.dialects import Item, Reply, Request
from rollout.recording import Recorder, Turn
from rollout.schema import snapshot

__all__ = ["Redact", "SessionLog", "calls_in"]

Redact: TypeAlias = "Callable[[Any], Any]"
"""Returns plain values without what must not be recorded, as `rollout.secrets.Redaction.redact`."""


# Calls that the client answers; others, as of a web search, the provider answers itself.
_CALLS = frozenset(
    {"function_call", "custom_tool_call", "local_shell_call", "shell_call", "computer_call", "apply_patch_call"}
)


def calls_in(reply: Reply) -> list[str]:
    """
    Return the ids of the calls in an answer that the client answers.
    """
    return [str(item.get("call_id")) for item in reply.items if item.get("type") in _CALLS]


@define(eq=False)
class SessionLog:
    """
    Writer of a conversation into a session.

    Args:
        recorder: Recorder of the session.
        redact: Called with everything before it is recorded.
        is_agent: Whether it is the session of a sub-agent, which ends with the agent's run.
    """

    recorder: Recorder
    redact: Redact | None = None
    is_agent: bool = False
    _pid: int = field(factory=os.getpid, init=False)
    # The open turn, and what the last turn_context stated.
    _turn: Turn | None = field(default=None, init=False)
    # The run of a framework that is the open turn: only its end ends the turn.
    _run: Hashable = field(default=None, init=False)
    _context: dict[str, Any] = field(factory=dict, init=False)
    _extras: dict[str, Any] = field(factory=dict, init=False)
    # Outputs of calls that ended and stand in no request yet: output, duration, whether the call failed.
    _outputs: dict[str, tuple[Any, float | None, bool]] = field(factory=dict, init=False)
    # Calls whose outputs the end of a turn recorded: the request that continues the conversation contains them again.
    _ended: set[str] = field(factory=set, init=False)

    def sent(
        self,
        request: Request,
        new: Sequence[Item],
        replaced: Sequence[Item] | None = None,
        run: Hashable = None,
    ) -> None:
        """
        Record a request: a turn if it asks something new, its settings where they have changed, its new items.

        Args:
            request: The request.
            new: Its items that are not yet recorded.
            replaced: The items that replace the context so far; None if it only grows.
            run: The run that is the turn, whatever messages of the user it sends; None if these begin turns.
        """
        if replaced is not None:
            self.recorder.compacted("", self._redacted(list(replaced)))
        is_asked = any(item.get("role") == "user" for item in new) and (run is None or run != self._run)
        if self._turn is None or is_asked:
            self.end_turn()
            self._turn, self._run = self.recorder.turn(context=self._settings(request)).begin(), run
        elif self._has_changed(request):
            self.recorder.turn_context(turn_id=self._turn.id, **self._settings(request))
        self._record([item for item in new if not self._is_ended(item)])

    def received(self, reply: Reply, *, is_whole: bool = True) -> None:
        """
        Record an answer, and the end of the turn if the model waits for no tool. After a part of an answer, the turn is
        open: the request may be tried again.
        """
        # An id may come again: where an API has no ids of calls, some clients number them anew in each answer.
        self._ended.difference_update(calls_in(reply))
        self._record(reply.items)
        if reply.usage is not None:
            self.recorder.usage(reply.usage)
        if reply.error:
            self.recorder.error(self._redacted(reply.error))
        if is_whole and not calls_in(reply) and self._run is None:
            self.end_turn()

    def tool_ended(self, call_id: str, output: Any, seconds: float | None, *, is_failed: bool) -> None:
        """
        Note the end of a call, until its output is recorded.
        """
        if call_id in self._ended:
            return
        self.recorder.call_ended(call_id, seconds=seconds, is_failed=is_failed or None)
        self._outputs[call_id] = (output, seconds, is_failed)

    def failed(self, error: BaseException) -> None:
        """
        Record that there was no answer. After an interrupt the turn ends.
        """
        if isinstance(error, Exception):
            self.recorder.error(self._redacted(f"{type(error).__name__}: {error}"))
        else:
            self.end_turn(error)

    def end_turn(self, error: BaseException | None = None) -> None:
        """
        End the turn, if one is open, with the outputs that no request contained.
        """
        outputs, self._outputs = self._outputs, {}
        self._ended.update(outputs)
        for call_id, (output, seconds, is_failed) in outputs.items():
            self.recorder.tool_output(call_id, self._redacted(output), is_failed=is_failed or None, seconds=seconds)
        turn, self._turn, self._run = self._turn, None, None
        if turn is not None:
            turn.end(self._redacted_error(error))

    @property
    def is_own(self) -> bool:
        """Whether this process began the session. A child after a fork does not go on with those of its parent."""
        return self._pid == os.getpid()

    @property
    def is_idle(self) -> bool:
        """Whether no turn is open."""
        return self._turn is None

    def close(self, timeout: float | None = None) -> None:
        """
        End the turn and close the recorder; blocks, for at most *timeout* seconds.
        """
        try:
            self.end_turn()
        finally:
            self.recorder.close(timeout)

    def _record(self, items: Sequence[Item]) -> None:
        if items:
            for item in items:
                self._outputs.pop(str(item.get("call_id")), None)
            self.recorder.record_items(*self._redacted(list(items)))

    def _is_ended(self, item: Item) -> bool:
        return str(item.get("type")).endswith("_output") and item.get("call_id") in self._ended

    def _redacted_error(self, error: BaseException | None) -> BaseException | None:
        """
        Return an exception without what must not be recorded, with a class of the same name.
        """
        if self.redact is None or not isinstance(error, Exception):
            return error
        redacted: Exception = type(type(error).__name__, (Exception,), {})(self.redact(str(error)))
        return redacted

    def _redacted(self, value: Any) -> Any:
        return value if self.redact is None else self.redact(value)

    def _settings(self, request: Request) -> dict[str, Any]:
        """
        Return the fields of the turn_context. Definitions of tools and other settings stand in it only if they differ
        from those of the session so far.
        """
        self._context = _context(request)
        # A copy, as the caller may change its list of tools later.
        changed = snapshot(self._changed_extras(request), default=str)
        self._extras |= changed
        fields = {**self._context, **({"extra": changed} if changed else {})}
        return {key: self._redacted(value) for key, value in fields.items()}

    def _has_changed(self, request: Request) -> bool:
        return _context(request) != self._context or bool(self._changed_extras(request))

    def _changed_extras(self, request: Request) -> dict[str, Any]:
        extras = {"tools": request.tools, "settings": request.settings or None}
        return {key: value for key, value in extras.items() if value is not None and self._extras.get(key) != value}


def _context(request: Request) -> dict[str, Any]:
    values = {"model": request.model, "effort": request.effort, "user_instructions": request.instructions}
    return {key: value for key, value in values.items() if value is not None}
