"""
A turn: what happens from a prompt of a person to the last answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rollout.errors import RolloutError
from rollout.home import new_session_id
from rollout.recording._call_ends import Item, event
from rollout.recording._images import ImageSource

if TYPE_CHECKING:
    from rollout.recording._agent_methods import AgentMethods

__all__ = ["Turn", "error_text"]

_log = logging.getLogger("rollout")


def error_text(error: BaseException | str) -> str:
    """
    Return the class and the text of an exception.
    """
    if isinstance(error, str):
        return error
    text, name = str(error), type(error).__name__
    return f"{name}: {text}" if text else name


class Turn:
    """
    A turn of a session, which `Recorder.turn` returns. Use it in a with statement.

    Attributes:
        id: Id of the turn.
    """

    def __init__(
        self,
        recorder: AgentMethods,
        prompt: str | None,
        images: Sequence[ImageSource],
        model: str | None,
        context: Mapping[str, Any],
        model_context_window: int | None,
    ) -> None:
        self.id = new_session_id()
        self._recorder = recorder
        self._prompt, self._images = prompt, images
        self._context = {"turn_id": self.id, **({} if model is None else {"model": model}), **context}
        self._window = model_context_window
        self._outer: str | None = None
        self._started_at: float | None = None

    def begin(self) -> Turn:
        """
        Record the beginning: ``task_started``, the settings, and the prompt. The with statement calls it.
        """
        recorder, companions = self._recorder, self._recorder._companions
        self._outer, companions.turn_id = companions.turn_id, self.id
        companions.last_text = companions.last_error = None
        self._started_at = time.time()
        started = {"started_at": int(self._started_at), "model_context_window": self._window}
        recorder.record(event("task_started", turn_id=self.id, **started))
        # Codex 0.169.0 continues with the model of the last turn_context. Without one, it uses its default model.
        if companions.model is not None or self._context.keys() != {"turn_id"}:
            recorder.turn_context(**self._context)
        if self._prompt is not None or self._images:
            recorder.user_message(self._prompt or "", images=self._images)
        return self

    def end(self, error: BaseException | None = None) -> None:
        """
        Record the end. The with statement calls it. A second call does nothing.

        Args:
            error: Exception that ended the turn. KeyboardInterrupt, SystemExit and a cancelled task mean that the turn
                was interrupted; another exception is recorded as an error.
        """
        if self._started_at is None:
            return
        recorder, companions, now = self._recorder, self._recorder._companions, time.time()
        times = {
            "started_at": int(self._started_at),
            "completed_at": int(now),
            "duration_ms": max(round((now - self._started_at) * 1000), 0),
        }
        self._started_at, companions.turn_id = None, self._outer
        if error is not None and not isinstance(error, Exception):
            recorder.record(event("turn_aborted", turn_id=self.id, reason="interrupted", **times))
            return
        fields: Item = {"turn_id": self.id, "last_agent_message": companions.last_text}
        if error is not None:
            if error_text(error) != companions.last_error:
                recorder.error(error)
            fields["error"] = {"message": error_text(error), "codex_error_info": "other"}
        recorder.record(event("task_complete", **fields, **times))

    def usage(self, usage: Any = None, **counts: int) -> None:
        """
        Record the tokens of a request; see `Recorder.usage`.
        """
        self._recorder.usage(usage, model_context_window=self._window, **counts)

    def __enter__(self) -> Turn:
        return self.begin()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self.end(error)
        except RolloutError as failure:
            if error is None:
                raise
            # The exception of the body is more important, and must not be replaced by this one.
            _log.error("while a turn ends: %s", failure)
