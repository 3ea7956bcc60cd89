"""
The response items to send to a model to continue a session.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import define, field

from rollout.codec import RolloutLine
from rollout.interpret import Context, Fact, Interpreter, Prompt, RolledBack
from rollout.schema import CALL_OUTPUTS

__all__ = ["model_input"]

_OUTPUTS = frozenset(CALL_OUTPUTS.values())
# Types of items that are sent to a model. Snapshots of the folder, requests of the client and unknown types are not.
_SENT_TYPES = frozenset({
    *CALL_OUTPUTS, *_OUTPUTS, "message", "reasoning", "web_search_call", "agent_message", "tool_search_call",
    "tool_search_output", "image_generation_call", "compaction", "compaction_summary", "context_compaction",
})  # fmt: skip
_UNSENT_KEY = "internal_chat_message_metadata_passthrough"


@define
class _Entry:
    """
    A line of the history: whether it contains a prompt, and whether it is a message that Codex wrote.
    """

    line: RolloutLine
    is_prompt: bool
    is_context: bool


def model_input(inherited: Sequence[RolloutLine], lines: Sequence[RolloutLine]) -> list[dict[str, Any]]:
    """
    Return the items, as `rollout.History.to_input` does.

    Args:
        inherited: Lines of the session that this session continues by reference.
        lines: The session's own lines.
    """
    kept = _EffectiveLines()
    for part in (inherited, lines):
        kept.read(part)
    found = _Items()
    for entry in kept.entries:
        if entry.line.type == "compacted":
            found.compact(entry.line.payload)
        elif _is_sent(entry.line.payload):
            found.items.append((entry.line.payload, entry.is_prompt))
    items = _pair_calls(item for item, _ in found.items)
    return [{key: value for key, value in item.items() if key != _UNSENT_KEY} for item in items]


@define
class _EffectiveLines:
    """
    The lines of a history so far, without those that were rolled back. Each line is examined once, when it is added, so
    that the cost of a rollback depends only on the lines that it removes.
    """

    entries: list[_Entry] = field(factory=list)
    # Positions of the prompts.
    prompts: list[int] = field(factory=list)

    def read(self, lines: Iterable[RolloutLine]) -> None:
        """
        Add the lines of one file.
        """
        interpreter = Interpreter(has_texts=False)
        # Messages that a later line may show to be prompts, and their positions, by number of the line.
        contexts: dict[int, tuple[int, _Entry]] = {}
        for line in lines:
            facts = interpreter.feed(line)
            if line.type in ("response_item", "compacted"):
                entry = _entry_of(line, facts)
                if entry.is_prompt:
                    self.prompts.append(len(self.entries))
                if entry.is_context:
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
            entry.is_prompt, entry.is_context = True, False
            insort(self.prompts, place)

    def _roll_back(self, count: int) -> None:
        """
        Remove the last *count* turns. Each begins at the user's prompt, or at the context directly before it.

        The lines before the first prompt are never removed.
        """
        if not self.prompts or count < 1:
            return
        first = max(len(self.prompts) - count, 0)
        start = self.prompts[first]
        while first and self.entries[start - 1].is_context:
            start -= 1
        del self.prompts[first:], self.entries[start:]


def _entry_of(line: RolloutLine, facts: Sequence[Fact]) -> _Entry:
    is_item = line.type == "response_item"
    is_prompt = is_item and any(isinstance(fact, Prompt) for fact in facts)
    is_context = is_item and not is_prompt and any(isinstance(fact, Context) and fact.is_of_user for fact in facts)
    return _Entry(line, is_prompt, is_context)


@define
class _Items:
    """
    The items that are sent to a model, after all compactions of the session: each with whether it is a prompt.
    """

    items: list[tuple[dict[str, Any], bool]] = field(factory=list)
    # Number of items, from the first, that are known to be prompts: no later compaction examines them again.
    prompt_count: int = 0

    def compact(self, payload: dict[str, Any]) -> None:
        """
        Replace all items with the history in a compaction, otherwise with the user's prompts and the summary.
        """
        replacement = payload.get("replacement_history")
        if isinstance(replacement, list):
            items = [item for item in replacement if isinstance(item, dict) and _is_sent(item)]
            self.items = [(item, _is_prompt(item)) for item in items]
            self.prompt_count = 0
            return
        self.items[self.prompt_count :] = [pair for pair in self.items[self.prompt_count :] if pair[1]]
        self.prompt_count = len(self.items)
        content = [{"type": "input_text", "text": str(payload.get("message", ""))}]
        summary = {"type": "message", "role": "user", "content": content}
        self.items.append((summary, _is_prompt(summary)))


def _is_prompt(item: dict[str, Any]) -> bool:
    line = RolloutLine(timestamp=None, type="response_item", payload=item)
    return any(isinstance(fact, Prompt) for fact in Interpreter(has_texts=False).feed(line))


def _is_sent(item: dict[str, Any]) -> bool:
    kind = item.get("type")
    return isinstance(kind, str) and kind in _SENT_TYPES


def _pair_calls(items: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """
    Yield the items. Adds an output to each call without an output, and leaves out outputs without a call.
    """
    items = list(items)
    # Converted to text: in a damaged file, an id may be any value.
    calls = {str(item.get("call_id")) for item in items if item["type"] in CALL_OUTPUTS}
    answered = {str(item.get("call_id")) for item in items if item["type"] in _OUTPUTS}
    for item in items:
        call_id = str(item.get("call_id"))
        # An output of no call has a name instead of an id: Codex writes so that a goal was set.
        is_free = item.get("call_id") is None and isinstance(item.get("name"), str)
        if item["type"] in _OUTPUTS and call_id not in calls and not is_free:
            continue
        yield item
        if item["type"] in CALL_OUTPUTS and call_id not in answered:
            yield {"type": CALL_OUTPUTS[item["type"]], "call_id": item.get("call_id"), "output": "aborted"}
