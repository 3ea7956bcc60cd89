"""
The results of reading a body, and the interface that every dialect has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from attrs import frozen

__all__ = ["Dialect", "Fold", "Item", "Reply", "Request"]

Item: TypeAlias = dict[str, Any]
"""An item of the Responses API: plain JSON values. Treat it as read-only, it shares values with the body."""


@frozen(kw_only=True)
class Request:
    """
    The content of a request to a model.

    Attributes:
        items: Context of the request in its order, with system and developer texts where these are messages.
        model: Name of the model.
        effort: Reasoning effort.
        instructions: System text that is not a message: ``instructions``, ``system`` or ``systemInstruction``.
        tools: Definitions of the tools as sent; None if the request has none.
        settings: All other keys of the body, and each of the above whose form was not understood.
        previous_id: Id of the response that this request continues; `items` are only the new ones.
        conversation: Id of the conversation that this request continues; `items` are only the new ones.
    """

    items: list[Item]
    model: str | None = None
    effort: str | None = None
    instructions: str | None = None
    tools: Any = None
    settings: dict[str, Any]
    previous_id: str | None = None
    conversation: str | None = None


@frozen(kw_only=True)
class Reply:
    """
    The content of a response of a model.

    Attributes:
        items: What the model produced, in its order; items of a further choice n have the key ``choice``.
        usage: Tokens, with the keys of `usage_of`; None if the body states none.
        id: Id of the response.
        model: Name of the model that responded.
        error: Text of the error, if the body states one.
        stop: Reason of the end, in the words of the API.
    """

    items: list[Item]
    usage: dict[str, int] | None = None
    id: str | None = None
    model: str | None = None
    error: str | None = None
    stop: str | None = None


class Fold(Protocol):
    """
    A stream of events on its way to the body that the same request has as its response without a stream.
    """

    def add(self, event: Mapping[str, Any]) -> None:
        """
        Add the next event. Never raises; a damaged event adds what can be read of it.
        """

    @property
    def body(self) -> Item | None:
        """
        The body so far, a new dict at every access; None before the first event.
        """

    @property
    def is_complete(self) -> bool:
        """
        Whether the stream announced its end.
        """


class Dialect(Protocol):
    """
    One of the model APIs. Its methods never raise; what they do not understand stays in the result.
    """

    @property
    def name(self) -> str:
        """
        The name of the dialect: ``responses``, ``chat``, ``messages`` or ``gemini``.
        """

    def read_request(self, body: Mapping[str, Any]) -> Request:
        """
        Read the body of a request.
        """

    def read_reply(self, body: Mapping[str, Any]) -> Reply:
        """
        Read the body of a response without a stream, or of a folded stream.
        """

    def folder(self) -> Fold:
        """
        Return a new fold for the events of one stream.
        """

    def write_items(self, items: Sequence[Item]) -> list[Any]:
        """
        Return items as the ``input``, ``messages`` or ``contents`` of a request.

        Items that were read from a request of the same dialect become an equal conversation. Items of another dialect
        without an equivalent are omitted.
        """
