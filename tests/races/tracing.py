"""
Trace functions that make lines of some code points of the scheduler.

They use `sys.monitoring` from Python 3.12 on, `sys.settrace` before.

A line is no point if it touches nothing that threads share: it makes no difference whether another thread runs before
it or before the previous line. A line is no point either while its thread holds the mutex, if it touches only values
that all threads touch under the mutex: other threads cannot see the difference (Lipton, 1975). If a thread runs such a
line without the mutex, which only a fault in the protocol can cause, the line is a point.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterable
from itertools import pairwise
from types import CodeType, FrameType
from typing import Any

from tests.races.scheduler import INTERRUPT, SIGNAL

_TOOL = 4
_ENTERS_WITH = ("SETUP_WITH", "BEFORE_WITH", "LOAD_SPECIAL")


# Attributes that never change once other threads see them: fields of commands and options, and those set by __init__.
_FIXED = """
_commands _encoder _file _is_child _wake_at _max_size _moment _options _pid _record_timeout _starting done fsync
is_ascii kind maxsize metadata name path payload rest size time_ms
"""
# Attributes that only one thread touches: the writer's, or the owner of the mutex.
_ONE_THREADS = "_batch _first _is_ending _next_try _ordinal append critical exception info pop setdefault sum"
# Functions of other modules, and attributes of frames.
_FOREIGN = "Full Lock RLock TIMEOUT_MAX Thread _is_owned discard get_ident monotonic time_ns"
OWN = frozenset(f"{_FIXED} {_ONE_THREADS} {_FOREIGN}".split())
"""Attributes that do not make a line a point."""
GUARDED = frozenset(
    [
        "queue",
        "_space",
        "_consumer_size",
        "_idle_lock",
        "_is_lingering",
        "_space_locks",
        "_deferred",
        "popleft",
        "clear",
    ]
)
"""Attributes that are touched only under the mutex, except for the numbers in `stats` and in errors."""


SHARED = frozenset(["is_closed", "closed_error"])
"""Shared attributes that have the name of a function of the modules."""


class Tracer:
    """
    Tracer that calls the scheduler at the points of some code.

    Args:
        codes: The code objects, all from the same few files.
        fine: Whether there are also points inside lines: after each call, where CPython runs signal handlers.
    """

    def __init__(self, codes: Iterable[CodeType], *, fine: bool = False) -> None:
        self._codes = list(codes)
        self._fine = fine
        own = OWN | {code.co_name for code in self._codes} - SHARED
        self._lines: dict[str, dict[int, bool]] = {code.co_filename: {} for code in self._codes}
        for code in self._codes:
            self._lines[code.co_filename].update(_lines(code, own))
        self._offsets = {_key(code): _points(code) for code in self._codes}
        self.point: Callable[..., None] = lambda **options: None

    def start(self) -> None:
        if sys.version_info >= (3, 12):
            monitoring = sys.monitoring
            monitoring.use_tool_id(_TOOL, "scheduler")
            monitoring.restart_events()
            event = monitoring.events.INSTRUCTION if self._fine else monitoring.events.LINE
            monitoring.register_callback(_TOOL, event, self._on_instruction if self._fine else self._on_line)
            for code in self._codes:
                monitoring.set_local_events(_TOOL, code, event)

    def stop(self) -> None:
        if sys.version_info >= (3, 12):
            for code in self._codes:
                sys.monitoring.set_local_events(_TOOL, code, 0)
            sys.monitoring.free_tool_id(_TOOL)

    def prepare(self) -> None:
        """
        Start the trace of this thread.
        """
        if sys.version_info < (3, 12):
            sys.settrace(self._on_call)

    def resume(self) -> None:
        """
        Start the trace of this thread again: `settrace` ends it when the trace function raises.
        """
        if sys.version_info < (3, 12) and sys.gettrace() is None:
            sys.settrace(self._on_call)

    # sys.monitoring

    def _on_line(self, code: CodeType, line: int) -> Any:
        is_guarded = self._lines[code.co_filename].get(line)
        if is_guarded is None:
            return sys.monitoring.DISABLE
        self.point(is_guarded)
        return None

    def _on_instruction(self, code: CodeType, offset: int) -> Any:
        allowed = self._offsets[_key(code)].get(offset)
        if allowed is None:
            return sys.monitoring.DISABLE
        self.point(allowed=allowed)
        return None

    # sys.settrace

    def _on_call(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in self._lines:
            return None
        if self._fine:
            frame.f_trace_opcodes = True
            return self._on_opcode
        return self._on_event

    def _on_event(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            is_guarded = self._lines[frame.f_code.co_filename].get(frame.f_lineno)
            if is_guarded is not None:
                self.point(is_guarded)
        return self._on_event

    def _on_opcode(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            allowed = self._offsets.get(_key(frame.f_code), {}).get(frame.f_lasti)
            if allowed is not None:
                self.point(allowed=allowed)
        return self._on_opcode


def _key(code: CodeType) -> tuple[str, int, str]:
    # The hash of a code object is slow: it covers all its contents.
    return code.co_filename, code.co_firstlineno, code.co_name


def _lines(code: CodeType, own: frozenset[str]) -> dict[int, bool]:
    """
    Return the lines of a code object that are points, and for each whether it touches only GUARDED attributes.
    """
    names: dict[int, set[str]] = {}
    starts = dict(dis.findlinestarts(code))
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        line = starts.get(instruction.offset, line) or line
        if instruction.opname in ("LOAD_ATTR", "STORE_ATTR", "LOAD_METHOD", "BEFORE_WITH", "SETUP_WITH"):
            names.setdefault(line, set()).add(
                instruction.argval if "ATTR" in instruction.opname or "METHOD" in instruction.opname else "with"
            )
    return {line: touched - own <= GUARDED for line, touched in names.items() if touched - own}


def _points(code: CodeType) -> dict[int, int]:
    """
    Return the offsets of the points in a code object, with the possible injections at each.

    CPython runs signal handlers after calls, at backward jumps and at the beginning of a function; before 3.11 at all
    jumps. A KeyboardInterrupt is injected at any other line, too, which is stricter than needed; but not at the end of
    a `with` block: no Python runs a handler between its last line and the call of `__exit__`, and the line of the
    `with` begins a second time there, without an opcode that enters it.
    """
    starts = dict(dis.findlinestarts(code))
    instructions = list(dis.get_instructions(code))
    handled = {instructions[0].offset, min((o for o, n in starts.items() if n != code.co_firstlineno), default=0)}
    for before, instruction in pairwise(instructions):
        if before.opname.startswith("CALL"):
            handled.add(instruction.offset)
        if "JUMP" in before.opname and (before.argval <= before.offset or sys.version_info < (3, 11)):
            handled.add(before.argval)
    points = dict.fromkeys(handled, 1 << INTERRUPT | 1 << SIGNAL)
    entered: set[int | None] = set()
    start, line = 0, None
    for instruction in instructions:
        if instruction.offset in starts:
            start, line = instruction.offset, starts[instruction.offset]
            points.setdefault(start, 0 if line in entered else 1 << INTERRUPT)
        if instruction.opname in _ENTERS_WITH:
            entered.add(line)
            points[start] |= 1 << INTERRUPT
    return points
