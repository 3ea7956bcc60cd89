"""
Lines about turns: where a turn begins and ends, its prompts, messages that Codex wrote, and errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define

from rollout.codec import RolloutLine
from rollout.interpret._echoes import COMPLETED, END, EVENT, ITEM, checksum
from rollout.interpret._facts import Context, Fact, Notice, Problem, Prompt, RolledBack, TurnBegan, TurnEnded
from rollout.interpret._moments import seconds_of
from rollout.interpret._parts import Image, dict_of, image, list_of, read_parts, seconds_in, strings_in, text_of
from rollout.interpret._prompts import context_kind, read_user_message, request_in
from rollout.interpret._state import rows_of, stored
from rollout.interpret._text_lines import say

if TYPE_CHECKING:
    from rollout.interpret._interpreter import Interpreter

__all__ = ["TURN_EVENTS", "TurnState", "read_completed_prompt", "read_message", "read_review"]

_Facts: TypeAlias = "Sequence[Fact]"
_Payload: TypeAlias = "Mapping[str, Any]"

# Number of prompts of a turn, and of messages that Codex wrote, with which an event is compared.
_COMPARED_MAX = 8
# Larger numbers are damage.
_SECONDS_MAX = 2**40


@define(eq=False, repr=False)
class TurnState:
    """
    The turn to which the next line belongs.

    Attributes:
        index: Index of the turn; -1 before the first.
        is_running: Whether the turn has a start event and no end event. Prompts then belong to this turn.
        began_at: Timestamp of the start event; empty for a turn without this event.
        started_at: Unix seconds of the start, as the event states it; 0 if it does not.
        families: Families of lines in which a prompt of the turn was found.
        prompts: Prompts of the turn: number of the line, checksum, families.
        contexts: The last messages that were taken for Codex's by their marks: number of the line, checksum.
        error: Number of the line with the last error of the turn, and its checksum.
    """

    index: int = stored(-1)
    is_running: bool = stored(False)
    began_at: str = stored("")
    started_at: int = stored(0)
    families: int = stored(0)
    prompts: list[Any] = stored(list, check=rows_of(int, str, int))
    contexts: list[Any] = stored(list, check=rows_of(int, str))
    error: list[Any] = stored(list, check=lambda value: value == [] or rows_of(int, str)([value]))


def _begin_turn(own: Interpreter, line: RolloutLine, turn_id: str | None = None) -> TurnBegan:
    turn = own.turn
    turn.index += 1
    turn.is_running, turn.began_at, turn.started_at = False, "", 0
    turn.families, turn.prompts, turn.error = 0, [], []
    own.usage.is_asked, own.usage.is_answered = True, False
    return TurnBegan(*own.head(line), turn_id)


def _read_start(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    turn_id, started_at = payload.get("turn_id"), payload.get("started_at")
    found = _begin_turn(own, line, turn_id if isinstance(turn_id, str) else None)
    own.turn.is_running, own.turn.began_at = True, line.timestamp or ""
    own.turn.started_at = _second(started_at)
    return (found,)


def _read_end(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    turn = own.turn
    error = payload.get("error")
    duration = _worked(own, line, payload)
    turn.is_running, turn.began_at, turn.started_at = False, "", 0
    if payload.get("type") == "turn_aborted":
        own.calls.scripts.clear()
        return (TurnEnded(*own.head(line), "interrupted", duration, text_of(payload.get("reason"))),)
    found: list[Fact] = []
    if own.has_texts and payload.get("last_agent_message"):
        found += say(own, line, "agent", [text_of(payload["last_agent_message"])], END)
    has_failed = bool(error or turn.error)
    if error:
        message = dict_of(error).get("message")
        found += _problem(own, line, message if isinstance(message, str) else "\n".join(strings_in(error)))
    return (*found, TurnEnded(*own.head(line), "failed" if has_failed else "completed", duration))


def _worked(own: Interpreter, line: RolloutLine, payload: _Payload) -> float | None:
    """
    Return the seconds that the agent worked in the turn that ends with a line; None if nothing states it.
    """
    measured = seconds_in({"duration_ms": payload.get("duration_ms")})
    if measured is not None:
        return measured
    completed_at = _second(payload.get("completed_at"))
    started_at = _second(payload.get("started_at")) or own.turn.started_at
    if 0 < started_at <= completed_at:
        return float(completed_at - started_at)
    began, ended = seconds_of(own.turn.began_at), seconds_of(line.timestamp)
    return round(ended - began, 3) if 0 < began <= ended else None


def _second(value: Any) -> int:
    """
    Return a value if it is a number of Unix seconds, otherwise 0.
    """
    return value if type(value) is int and 0 < value < _SECONDS_MAX else 0


def _read_error(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    text = text_of(payload.get("message"))
    return _problem(own, line, text) if text else own.quiet(line, "error")


def _problem(own: Interpreter, line: RolloutLine, text: str) -> _Facts:
    key = checksum("error", text.strip())
    echo_of = own.turn.error[0] if own.turn.error and own.turn.error[1] == key else None
    own.turn.error = [own.count if echo_of is None else echo_of, key]
    return (Problem(*own.head(line), text, ends_turn=True, echo_of=echo_of),)


def _read_rollback(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    count = payload.get("num_turns")
    return (RolledBack(*own.head(line), count if type(count) is int and count > 0 else 0, str(count)),)


def _read_review_event(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    return read_review(own, line, payload, payload.get("turn_id"))


def read_review(own: Interpreter, line: RolloutLine, item: _Payload, turn_id: Any) -> _Facts:
    """
    Return the facts of the start of a review: a turn, in which the reviewer has its own turn, as Codex counts them.
    """
    began = _begin_turn(own, line, turn_id if isinstance(turn_id, str) else None)
    own.turn.is_running, own.turn.began_at = True, line.timestamp or ""
    text = text_of(item.get("prompt")) or text_of(item.get("user_facing_hint"))
    notice = (Notice(*own.head(line), "review started", text),) if own.has_texts else ()
    return (began, *notice)


def read_message(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    """
    Return the facts of a message of the user, the developer or the agent.
    """
    role = payload.get("role")
    if role == "user":
        return _read_user_item(own, line, payload)
    if not own.has_texts:
        return ()
    read = read_parts(payload.get("content"))
    if not read.text and not read.images:
        return own.quiet(line, "message without content")
    if role == "assistant":
        return say(own, line, "agent", [read.words], ITEM, read.images, others=read.others)
    kind = context_kind(read.words) or str(role)
    return (Context(*own.head(line), kind, read.text, read.images, is_of_user=False),)


def _read_user_item(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    found: list[Fact] = []
    message = read_user_message(payload, has_events=own.has_events)
    if not (message.context or message.words or message.images or message.others):
        return own.quiet(line, "message without content")
    if message.context:
        images = () if message.is_prompt else message.images
        found.append(Context(*own.head(line), message.kind, message.context, images))
        if not message.is_prompt:
            if not message.is_sure:
                known = [own.count, checksum("user", message.context.strip())]
                own.turn.contexts = [*own.turn.contexts, known][-_COMPARED_MAX:]
            return found
    return [*found, *_add_prompt(own, line, message.words, ITEM, message.images, message.others)]


def _read_user_event(own: Interpreter, line: RolloutLine, payload: _Payload) -> _Facts:
    kind, words = payload.get("kind"), text_of(payload.get("message"))
    if kind in ("user_instructions", "environment_context"):
        return (Context(*own.head(line), str(kind).replace("_", " "), words),)
    sources = [*list_of(payload.get("images")), *list_of(payload.get("local_images"))]
    images = tuple(image(source) for source in sources if isinstance(source, str))
    return _read_confirmation(own, line, words, EVENT, images)


def read_completed_prompt(own: Interpreter, line: RolloutLine, item: _Payload) -> _Facts:
    """
    Return the facts of a completed item with a message of the user.
    """
    read = read_parts(item.get("content"))
    return _read_confirmation(own, line, read.words, COMPLETED, read.images, read.others)


def _read_confirmation(
    own: Interpreter, line: RolloutLine, words: str, family: int, images: tuple[Image, ...], others: Sequence[str] = ()
) -> _Facts:
    """
    Return the facts of an event with a person's message: it may show that an earlier message is not Codex's.
    """
    own.has_events = True
    key = checksum("user", words.strip())
    contexts = own.turn.contexts
    at = next((place for place, known in enumerate(contexts) if known[1] == key), None)
    confirms = None
    if at is not None:
        confirms = contexts[at][0]
        own.turn.contexts = contexts[:at] + contexts[at + 1 :]
    return _add_prompt(own, line, words, family, images, others, confirms=confirms)


def _add_prompt(
    own: Interpreter,
    line: RolloutLine,
    words: str,
    family: int,
    images: tuple[Image, ...] = (),
    others: Sequence[str] = (),
    *,
    confirms: int | None = None,
) -> _Facts:
    """
    Return the fact of a prompt, and that of a turn that begins with it.

    A prompt in another family of lines than those before repeats the prompt of its turn. While a turn is running, all
    prompts belong to it.
    """
    turn = own.turn
    is_repeated = bool(turn.families) and not turn.families & family
    is_steering = turn.is_running and bool(turn.families & family)
    found: list[Fact] = []
    if turn.index < 0 or not (turn.is_running or is_repeated):
        found.append(_begin_turn(own, line))
    key = checksum("user", words.strip())
    echo_of = None
    for known in turn.prompts:
        if known[1] == key and not known[2] & family:
            known[2] |= family
            echo_of = known[0]
            break
    else:
        turn.prompts = [*turn.prompts, [own.count, key, family]][-_COMPARED_MAX:]
    turn.families |= family
    source = "person" if own.role in ("", "root") else "harness" if own.role == "review" else "agent"
    whole = "\n".join(filter(None, (words, *others)))
    found.append(Prompt(*own.head(line), request_in(words), whole, images, source, is_steering, echo_of, confirms))
    return found


_Reader: TypeAlias = "Callable[[Interpreter, RolloutLine, _Payload], _Facts]"
TURN_EVENTS: dict[str, _Reader] = {
    "task_started": _read_start,
    "turn_started": _read_start,
    "task_complete": _read_end,
    "turn_complete": _read_end,
    "turn_aborted": _read_end,
    "entered_review_mode": _read_review_event,
    "user_message": _read_user_event,
    "error": _read_error,
    "thread_rolled_back": _read_rollback,
}
"""The readers of events about turns."""
