"""
Detect the lines of a session that a fork copied from another session.

The evidence, most trusted first: ordinals in the session_meta; the id or the start of a turn, the thread of a record of
tokens; the lines of the other file, if the caller has them; a timestamp older than the fork; the pause that a model
needs before its first line.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from attrs import define, field, frozen

from rollout.codec import RolloutLine, encode_json
from rollout.interpret._agents import spawn_in
from rollout.interpret._moments import creation_time, seconds_of
from rollout.interpret._state import stored

__all__ = ["CopyDetector", "KnownParent", "ParentSource", "line_digest", "parent_of"]

# Seconds. Copied lines follow one another at once; a model needs more time for its first line.
_COPY_GAP = 0.5
# Copied lines that contain the beginning of a turn end at the next one. A pause this long ends them, too: another
# program may have continued the session without marks of turns.
_TURN_GAP = 10.0
_TURN_EVENTS = frozenset({"task_started", "turn_started"})
# Keys whose values a copy keeps. A copy by Codex of a line that another version wrote has further keys, such as an id.
_KEPT_KEYS = (
    "type", "role", "content", "message", "text", "summary", "call_id", "name", "arguments", "input", "action",
    "output", "turn_id", "model", "cwd", "info", "usage", "response_id", "thread_id", "item",
)  # fmt: skip


@frozen
class KnownParent:
    """
    The lines of the session of which another one is a fork.

    Attributes:
        digests: Positions of the lines with a payload, in order, by the digest of the payload.
    """

    digests: Mapping[bytes, Sequence[int]]


ParentSource: TypeAlias = "Callable[[str], KnownParent | None]"
"""Function that returns the session with an id; None if it is not available."""


def line_digest(line: RolloutLine) -> bytes:
    """
    Return the digest of a line's payload, by which a copy is recognized.
    """
    payload = line.payload
    try:
        text = f"{line.type} {encode_json([payload.get(key) for key in _KEPT_KEYS])}"
    except OverflowError:
        # NaN, or nested too deeply: equal to no other line.
        return b""
    from hashlib import blake2b  # noqa: PLC0415 -- 5 ms, and few sessions need it

    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def parent_of(meta: Mapping[str, Any]) -> str | None:
    """
    Return the id of the session from which a session may contain copied lines, given its session_meta.
    """
    for value in (meta.get("forked_from_id"), meta.get("parent_thread_id"), spawn_in(meta).get("parent_thread_id")):
        if isinstance(value, str) and value:
            return value
    return None


@define(eq=False, repr=False)
class CopyDetector:
    """
    State that separates the copied lines of a fork from its own lines. The lines are passed in order.

    Attributes:
        is_fork: Whether the session continues another session, by copied lines or by reference.
        is_open: Whether the next line may be a copy, or may show that the session is a fork.
        is_copying: Whether the last line was a copy, or was the session's own meta and copies are expected.
        session_id: Id of the session.
        parent_id: Id of the other session; empty if unknown.
        parent_used: Id of the session whose lines were asked for; empty if they were not needed.
    """

    is_fork: bool = stored(False)
    is_open: bool = stored(True)
    is_copying: bool = stored(False)
    session_id: str = stored("")
    parent_id: str = stored("")
    parent_used: str = stored("")
    # Whether all lines so far are metas.
    is_head: bool = stored(True)
    forked_at: float = stored(0.0, float, int)
    copied_at: float = stored(0.0, float, int)
    own_ordinal: int = stored(0)
    # Whether a copied line began a turn; position of the last copied line in the other file, and whether that file
    # tells which lines were copied.
    has_turns: bool = stored(False)
    position: int = stored(-1)
    is_parent_known: bool = stored(True)
    source: ParentSource | None = field(default=None, eq=False, repr=False)
    _parent: KnownParent | None = field(default=None, init=False, eq=False, repr=False)
    _is_loaded: bool = field(default=False, init=False, eq=False, repr=False)

    def is_copied(self, line: RolloutLine) -> bool:
        """
        Return whether the next line was copied from another session. To be called once for each line while *is_open*.
        """
        is_copy = self._decide(line)
        self.is_open = self.is_head or self.is_copying
        return is_copy

    def _decide(self, line: RolloutLine) -> bool:
        if line.type == "session_meta":
            if not self.session_id:
                self._begin(line)
                return False
            if self.is_head and str(line.payload.get("id")) != self.session_id:
                # The meta of the other session. In 2025 this was the only mark of a fork.
                self.is_fork = self.is_copying = True
                self.parent_id = self.parent_id or str(line.payload.get("id"))
                return True
        is_first, self.is_head = self.is_head, False
        if self.is_copying or (is_first and self.parent_id):
            # A sub-agent usually has no copies: they must be older than the session.
            self.is_copying = self._is_copy(line, is_likely=self.is_copying)
        return self.is_copying

    def _begin(self, line: RolloutLine) -> None:
        payload, written_at = line.payload, seconds_of(line.timestamp)
        start = payload.get("subagent_history_start_ordinal")
        self.session_id = str(payload.get("id"))
        self.forked_at = seconds_of(payload.get("timestamp")) or written_at
        self.copied_at = max(self.forked_at, written_at)
        self.own_ordinal = start if type(start) is int else 0
        is_by_reference = bool(payload.get("history_base"))
        self.parent_id = "" if is_by_reference else parent_of(payload) or ""
        is_marked = bool(payload.get("forked_from_id") or self.own_ordinal)
        self.is_fork = is_by_reference or is_marked or bool(self.parent_id)
        self.is_copying = is_marked and not is_by_reference

    def _is_copy(self, line: RolloutLine, *, is_likely: bool) -> bool:
        if self.own_ordinal and line.ordinal is not None:
            return line.ordinal < self.own_ordinal
        is_own = self._is_of_own_turn(line)
        if is_own is not None:
            self.has_turns |= not is_own
            self._note_copy(line)
            return not is_own
        written_at = seconds_of(line.timestamp)
        if 0 < written_at < self.forked_at or (is_likely and written_at <= self.forked_at):
            # Copies that keep their time, as copies of this package do: the first newer line is the fork's own, even
            # without a pause before it.
            self.copied_at = 0.0 if 0 < written_at < self.forked_at else self.copied_at
            return True
        return is_likely and self._is_restamped_copy(line, written_at)

    def _is_of_own_turn(self, line: RolloutLine) -> bool | None:
        """
        Return whether a line belongs to a turn of this session; None if the line does not say.
        """
        payload = line.payload
        if not self.forked_at or line.type not in ("event_msg", "turn_context", "token_usage_record"):
            return None
        if line.type == "token_usage_record" or payload.get("type") == "thread_settings_applied":
            thread = payload.get("thread_id")
            return thread == self.session_id if isinstance(thread, str) else None
        created_at = creation_time(payload.get("turn_id"))
        if created_at:
            return created_at >= self.forked_at
        started_at, kind = payload.get("started_at"), payload.get("type")
        if isinstance(kind, str) and kind in _TURN_EVENTS and type(started_at) is int and started_at > 0:
            return started_at >= int(self.forked_at)
        return None

    def _is_restamped_copy(self, line: RolloutLine, written_at: float) -> bool:
        before = self.copied_at
        self.copied_at = max(written_at, before)
        if not before:
            return False
        parent = self._known_parent()
        if parent is not None:
            positions = parent.digests.get(line_digest(line), ())
            following = bisect_right(positions, self.position)
            if following < len(positions):
                self.position = positions[following]
                return True
            if self.position >= 0 or line.type == "session_meta":
                return line.type == "session_meta"
            # Not even the first line is in that file: it says nothing.
            self.is_parent_known, self._parent = False, None
        return written_at - before <= (_TURN_GAP if self.has_turns else _COPY_GAP)

    def _note_copy(self, line: RolloutLine) -> None:
        self.copied_at = self.copied_at and max(seconds_of(line.timestamp), self.copied_at)

    def _known_parent(self) -> KnownParent | None:
        if not self._is_loaded:
            self._is_loaded = True
            if self.source is not None and self.parent_id and self.is_parent_known:
                self.parent_used = self.parent_id
                self._parent = self.source(self.parent_id)
        return self._parent
