"""
The response items to send to a model to continue a session.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import define, field

from rollout.codec import RolloutLine
from rollout.interpret import (
    SENT_OUTPUTS,
    Fact,
    Interpreter,
    Prompt,
    RolledBack,
    free_output,
    is_sent,
    missing_output,
    rollback_mark,
    sent_item,
)

__all__ = ["model_input"]

_UNSENT_KEY = "internal_chat_message_metadata_passthrough"


@define
class _Entry:
    """
    A line of the history.

    Attributes:
        line: The line.
        item: The item that it adds to the input; of a compaction its payload.
        mark: What a rollback does at it; see `rollback_mark`.
        is_prompt: Whether it is a prompt.
        dropped: Number of items that a rollback removed from the end of the history in a compaction.
    """

    line: RolloutLine
    item: dict[str, Any]
    mark: str
    is_prompt: bool
    dropped: int = 0


def model_input(
    inherited: Sequence[RolloutLine], lines: Sequence[RolloutLine], *, for_api: bool = False
) -> list[dict[str, Any]]:
    """
    Return the items, as `rollout.History.to_input` does.

    Args:
        inherited: Lines of the session that this session continues by reference.
        lines: The session's own lines.
        for_api: Whether to leave out what the public API refuses.
    """
    kept = _EffectiveLines()
    for part in (inherited, lines):
        kept.read(part)
    found = _Items()
    for entry in kept.entries:
        if entry.line.type == "compacted":
            found.compact(entry.item, entry.dropped)
        else:
            found.items.append((entry.item, entry.is_prompt))
    items = _pair_calls(item for item, _ in found.items)
    sent = [{key: value for key, value in item.items() if key != _UNSENT_KEY} for item in items]
    if not for_api:
        return sent
    from rollout.interpret import public_items  # noqa: PLC0415 -- imports the dialects

    return public_items(sent)


@define
class _EffectiveLines:
    """
    The lines of a history so far, without those that were rolled back. Each line is examined once, when it is added, so
    that the cost of a rollback depends only on the lines that it removes.
    """

    entries: list[_Entry] = field(factory=list)
    # Positions of the lines with which a turn begins.
    starts: list[int] = field(factory=list)

    def read(self, lines: Iterable[RolloutLine]) -> None:
        """
        Add the lines of one file.
        """
        interpreter = Interpreter(has_texts=False)
        # Messages that a later line may show to be prompts, and their positions, by number of the line.
        contexts: dict[int, tuple[int, _Entry]] = {}
        for line in lines:
            facts = interpreter.feed(line)
            item = line.payload if line.type == "compacted" else sent_item(line)
            if item is not None:
                mark = rollback_mark(line, facts)
                is_prompt = line.type == "response_item" and any(isinstance(fact, Prompt) for fact in facts)
                entry = _Entry(line, item, mark, is_prompt)
                if mark == "start":
                    self.starts.append(len(self.entries))
                if mark == "context":
                    contexts[interpreter.count] = len(self.entries), entry
                self.entries.append(entry)
            for fact in facts:
                if isinstance(fact, RolledBack):
                    self._roll_back(fact.count)
                elif isinstance(fact, Prompt) and fact.confirms in contexts:
                    self._confirm(*contexts[fact.confirms])

    def _confirm(self, place: int, entry: _Entry) -> None:
        # A rollback may have removed the entry since.
        if place < len(self.entries) and self.entries[place] is entry:
            entry.is_prompt, entry.mark = True, "start"
            insort(self.starts, place)

    def _roll_back(self, count: int) -> None:
        """
        Remove the last *count* turns. Each begins at a prompt, or at the context directly before it.

        The lines before the first prompt are never removed.
        """
        if not self.starts or count < 1:
            return
        first = max(len(self.starts) - count, 0)
        start = self.starts[first]
        while first and self.entries[start - 1].mark == "context":
            start -= 1
        if first and self.entries[start - 1].line.type == "compacted":
            self.entries[start - 1].dropped = _count_context(self.entries[start - 1].item)
        del self.starts[first:], self.entries[start:]


def _count_context(payload: dict[str, Any]) -> int:
    """
    Return the number of items at the end of the history in a compaction that belong to the turn after it.
    """
    items = _replacement(payload) or []
    marks = (_mark_of(item) for item in reversed(items))
    return next((number for number, mark in enumerate(marks) if mark != "context"), len(items))


def _replacement(payload: dict[str, Any]) -> list[dict[str, Any]] | None:
    """
    Return the items of the history in a compaction; None if it contains none.
    """
    replacement = payload.get("replacement_history")
    if not isinstance(replacement, list):
        return None
    return [item for item in replacement if isinstance(item, dict) and is_sent(item)]


@define
class _Items:
    """
    The items that are sent to a model, after all compactions of the session: each with whether it is a prompt.
    """

    items: list[tuple[dict[str, Any], bool]] = field(factory=list)
    # Number of items, from the first, that are known to be prompts: no later compaction examines them again.
    prompt_count: int = 0

    def compact(self, payload: dict[str, Any], dropped: int) -> None:
        """
        Replace all items with the history in a compaction, otherwise with the user's prompts and the summary.
        """
        replacement = _replacement(payload)
        if replacement is not None:
            kept = replacement[: len(replacement) - dropped]
            self.items = [(item, _is_prompt(item)) for item in kept]
            self.prompt_count = 0
            return
        self.items[self.prompt_count :] = [pair for pair in self.items[self.prompt_count :] if pair[1]]
        self.prompt_count = len(self.items)
        content = [{"type": "input_text", "text": str(payload.get("message", ""))}]
        summary = {"type": "message", "role": "user", "content": content}
        self.items.append((summary, _is_prompt(summary)))


def _is_prompt(item: dict[str, Any]) -> bool:
    return any(isinstance(fact, Prompt) for fact in _read_alone(item)[1])


def _mark_of(item: dict[str, Any]) -> str:
    return rollback_mark(*_read_alone(item))


def _read_alone(item: dict[str, Any]) -> tuple[RolloutLine, Sequence[Fact]]:
    line = RolloutLine(timestamp=None, type="response_item", payload=item)
    return line, Interpreter(has_texts=False).feed(line)


def _pair_calls(items: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """
    Yield the items. Adds an output to each call without an output, and leaves out outputs without a call.
    """
    items = list(items)
    calls = {_key(SENT_OUTPUTS[item["type"]], item) for item in items if item["type"] in SENT_OUTPUTS}
    answered = {_key(item["type"], item) for item in items if item["type"] in SENT_OUTPUTS.values()}
    for item in items:
        kind = item["type"]
        if kind in SENT_OUTPUTS.values() and _key(kind, item) not in calls:
            free = free_output(item)
            if free is not None:
                yield free
            continue
        yield item
        if kind in SENT_OUTPUTS and _key(SENT_OUTPUTS[kind], item) not in answered:
            yield from missing_output(item)


def _key(kind: str, item: dict[str, Any]) -> tuple[str, str]:
    # Converted to text: in a damaged file, an id may be any value.
    return kind, str(item.get("call_id"))
