"""
The conversation to which a request belongs, and what is new in it.

A request contains the whole context again. Two contexts are compared by the items in them, without ids, reasoning and
system texts, which clients drop or change. The rules, in this order:

1. A request that continues a known conversation, to the last item that is known of it, belongs to it. The longest
   conversation counts; of equally long ones, the one whose last request came from the same thread, else the one that
   was used least recently.
2. A request that equals one whose answer failed, or was not read to its end, is a retry. A request that equals one that
   was answered, or that waits for its answer, begins a new conversation.
3. A request that changes what is known belongs to the same conversation, which is then compacted, if it contains an
   answer of the model at its place, or the last two items that are known, or if it contains all that was sent and then
   an answer other than the model's.
4. Any other request begins a new conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, dropwhile
from typing import Any

from attrs import define, field, frozen

from rollout.dialects import Dialect, Item, Request, is_compared, item_key

__all__ = ["ANSWERED", "CONVERSATIONS_MAX", "FAILED", "Conversation", "Match", "Matcher"]

CONVERSATIONS_MAX = 256
"""Maximum number of conversations that are remembered. The one that was used least recently is forgotten first."""

WAITING, ANSWERED, FAILED = "waiting", "answered", "failed"
_KEYS = {"responses": "input", "chat": "messages", "messages": "messages", "gemini": "contents"}


def _hashes(items: Sequence[Item]) -> tuple[list[int], list[int]]:
    """
    Return the hashes of the items that are compared, and the positions of these items.
    """
    places = [place for place, item in enumerate(items) if is_compared(item)]
    return [hash(item_key(items[place])) for place in places], places


@define(eq=False)
class Conversation:
    """
    The known part of a conversation: eight bytes an item, and the messages of the last request, which share their texts
    with those of the caller.

    Attributes:
        dialect: Name of the dialect.
        session: The session that records it; any object.
        messages: Context as in the last request, to compare the next one with in one step.
        sent_count: Number of the compared items that the last request contained.
        hashes: Hashes of the compared items: those of the last request, then those of its answer.
        answers: Hashes of the compared items that came from the model.
        state: waiting, answered or failed: what happened to the last request.
        thread: Thread of the last request.
        used: Number of the last request among all; -1 before the first.
    """

    dialect: str
    session: Any
    messages: list[Any] = field(factory=list)
    sent_count: int = 0
    hashes: list[int] = field(factory=list)
    answers: set[int] = field(factory=set)
    state: str = WAITING
    thread: int = 0
    used: int = -1

    def answer(self, items: Sequence[Item], *, is_whole: bool) -> None:
        """
        Note the answer of the last request; of several choices the first counts.
        """
        hashes, _ = _hashes([item for item in items if not item.get("choice")])
        del self.hashes[self.sent_count :]
        self.hashes += hashes
        self.answers.update(hashes)
        self.state = ANSWERED if is_whole else FAILED


@frozen
class Match:
    """
    A request and its place in a conversation.

    Attributes:
        conversation: The conversation; None for a new one.
        request: The request. If its beginning is known, *items* contains only the rest.
        new: The items that are new.
        hashes: Hashes of all compared items of the context.
        replaced: The items that replace all known ones; None if nothing was changed.
        known_count: Number of messages that the conversation contains already.
    """

    conversation: Conversation | None
    request: Request
    new: list[Item]
    hashes: list[int]
    replaced: list[Item] | None = None
    known_count: int = 0


@define
class Matcher:
    """
    The conversations of an instrumentation, in the order of their last use. Not safe for several threads at once.
    """

    conversations: dict[int, Conversation] = field(factory=dict)
    _by_id: dict[str, Conversation] = field(factory=dict)
    _numbers: Iterator[int] = field(factory=count)

    def match(self, dialect: Dialect, body: Mapping[str, Any], thread: int) -> Match:
        """
        Find the conversation of a request.

        Args:
            dialect: Dialect of the request.
            body: Body of the request, which is not changed.
            thread: Identifier of the caller's thread.
        """
        return self._match_messages(dialect, body, thread) or self.match_request(dialect.read_request(body), thread)

    def match_request(self, request: Request, thread: int) -> Match:
        """
        Find the conversation of a request that was read.

        Args:
            request: The request with its whole context, unless it states what it continues.
            thread: Identifier of the caller's thread, or of the run of a framework.
        """
        link = request.previous_id or request.conversation
        if link is not None:
            # Only new items are sent.
            conversation = self._by_id.get(link)
            known = conversation.hashes if conversation else []
            return Match(conversation, request, request.items, known + _hashes(request.items)[0])
        return self._match_items(request, thread)

    def _match_messages(self, dialect: Dialect, body: Mapping[str, Any], thread: int) -> Match | None:
        """
        Return the match of a request that begins with the same messages as the last one of a conversation; None if
        there is no such conversation. It compares values and reads only the new messages: for a context of 1,000
        messages a hundredth of the time that reading all of them takes.
        """
        key = _KEYS[dialect.name]
        messages = body.get(key)
        # The ids of Gemini's calls depend on all calls before them.
        if not isinstance(messages, list) or not messages or dialect.name == "gemini":
            return None
        found = [
            conversation
            for conversation in self.conversations.values()
            if conversation.dialect == dialect.name and _begins_with(messages, conversation.messages)
        ]
        for conversation in _by_preference(found, thread, lambda conversation: len(conversation.messages)):
            known = len(conversation.messages)
            request = dialect.read_request({**body, key: messages[known:]})
            if request.previous_id or request.conversation:
                return None
            hashes, places = _hashes(request.items)
            sent = conversation.hashes[: conversation.sent_count]
            answer = conversation.hashes[conversation.sent_count :]
            is_repeated = known == len(messages)
            if conversation.state == FAILED and (is_repeated or hashes[: len(answer)] != answer):
                return Match(conversation, request, request.items, sent + hashes, None, known)
            if conversation.state != WAITING and not is_repeated and hashes[: len(answer)] == answer:
                new = _after(request.items, places[len(answer) - 1]) if answer else request.items
                return Match(conversation, request, new, sent + hashes, None, known)
        return None

    def _match_items(self, request: Request, thread: int) -> Match:
        hashes, places = _hashes(request.items)
        own = set(hashes)
        shared = {
            conversation.used: _shared_count(hashes, conversation.hashes)
            for conversation in self.conversations.values()
            if conversation.state != WAITING and conversation.hashes
        }
        found = [self.conversations[used] for used in shared]
        for conversation in _by_preference(found, thread, lambda conversation: shared[conversation.used]):
            count = shared[conversation.used]
            is_retry = conversation.state == FAILED and hashes == conversation.hashes[: conversation.sent_count]
            if is_retry:
                return Match(conversation, request, [], hashes)
            # With no item after the answer, the model goes on with it.
            if count == len(conversation.hashes) and len(hashes) > conversation.sent_count:
                return Match(conversation, request, _after(request.items, places[count - 1]), hashes)
            is_other = hashes != conversation.hashes[: conversation.sent_count]
            if is_other and _is_edited(conversation, hashes, count, own, _role_at(request.items, places, count)):
                known = set(conversation.hashes)
                last = max(place for key, place in zip(hashes, places, strict=True) if key in known)
                return Match(conversation, request, request.items[last + 1 :], hashes, request.items[: last + 1])
        return Match(None, request, request.items, hashes)

    def keep(
        self,
        match: Match,
        session: Any,
        thread: int,
        dialect: Dialect | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Conversation:
        """
        Note that a request was sent, and return its conversation.

        Args:
            match: The request's place.
            session: What records a new conversation.
            thread: Identifier of the caller's thread, or of the run of a framework.
            dialect: Dialect of the request's body, if there is one.
            body: Body of the request, which is not changed later.
        """
        conversation = match.conversation or Conversation(dialect.name if dialect else "", session)
        self.conversations.pop(conversation.used, None)
        messages = body.get(_KEYS[dialect.name]) if dialect and body else None
        if match.request.previous_id or match.request.conversation or not isinstance(messages, list):
            conversation.messages = []
        else:
            del conversation.messages[match.known_count :]
            conversation.messages += messages[match.known_count :]
        conversation.hashes, conversation.sent_count = match.hashes, len(match.hashes)
        conversation.state, conversation.thread, conversation.used = WAITING, thread, next(self._numbers)
        self.conversations[conversation.used] = conversation
        if match.request.conversation:
            self.link(match.request.conversation, conversation)
        if len(self.conversations) > CONVERSATIONS_MAX:
            self.forget(next(iter(self.conversations.values())))
        return conversation

    def link(self, name: str, conversation: Conversation) -> None:
        """
        Note the id of a response or a conversation, by which later requests continue it.
        """
        self._by_id.pop(name, None)
        self._by_id[name] = conversation
        if len(self._by_id) > 4 * CONVERSATIONS_MAX:
            del self._by_id[next(iter(self._by_id))]

    def forget(self, conversation: Conversation) -> None:
        """
        Forget a conversation: a request that would continue it begins a new one.
        """
        del self.conversations[conversation.used]
        self._by_id = {name: own for name, own in self._by_id.items() if own is not conversation}


def _is_edited(conversation: Conversation, hashes: list[int], count: int, own: set[int], role: str) -> bool:
    """
    Return whether a context that is not the known one is a changed form of it.

    Args:
        conversation: The conversation.
        hashes: Hashes of the compared items of the request.
        count: Number of items at the beginning that are the same.
        own: The hashes as a set.
        role: Role of the first other item; empty if it is no message.
    """
    if not conversation.answers.isdisjoint(hashes[:count]):
        return True
    if count and count >= conversation.sent_count and len(hashes) > count:
        return role != "user"
    last = conversation.hashes[-2:]
    if len(last) < 2 or not own.issuperset(last):
        return False
    return any(hashes[at : at + 2] == last for at in range(len(hashes) - 1))


def _after(items: list[Item], place: int) -> list[Item]:
    """
    Return the items after the last known one, without reasoning and empty texts of the answer that follow it there.
    """
    return [
        *dropwhile(lambda item: not is_compared(item) and item.get("role") in (None, "assistant"), items[place + 1 :])
    ]


def _role_at(items: Sequence[Item], places: Sequence[int], count: int) -> str:
    return str(items[places[count]].get("role") or "") if count < len(places) else ""


def _begins_with(messages: list[Any], known: list[Any]) -> bool:
    count = len(known)
    return 0 < count <= len(messages) and messages[count - 1] == known[-1] and messages[:count] == known


def _shared_count(one: list[int], other: list[int]) -> int:
    if one[: len(other)] == other:
        return len(other)
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _by_preference(found: list[Conversation], thread: int, size: Callable[[Conversation], int]) -> list[Conversation]:
    return sorted(found, key=lambda own: (-size(own), own.thread != thread, own.used))
