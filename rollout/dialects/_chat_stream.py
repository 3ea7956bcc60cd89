"""
The chunks of a stream of Chat Completions, folded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, define

from rollout.dialects._merge import MergedDict
from rollout.dialects._model import Item
from rollout.dialects._values import dict_of, index_of, list_of

__all__ = ["ChatFold"]


@define
class _Choice:
    message: MergedDict = Factory(MergedDict)
    # The keys beside the delta: finish_reason, logprobs and those of a provider.
    others: MergedDict = Factory(MergedDict)
    is_finished: bool = False

    def build(self, index: int) -> Item:
        message = {"role": "assistant", "content": None, **self.message.build()}
        message["content"] = message["content"] or None
        for call in list_of(message.get("tool_calls")):
            if isinstance(call, dict):
                call.pop("index", None)
        return {"finish_reason": None, **self.others.build(), "index": index, "message": message}


@define
class ChatFold:
    """
    A stream of Chat Completions on its way to a completion.
    """

    _body: dict[str, Any] = Factory(dict)
    _choices: dict[int, _Choice] = Factory(dict)

    def add(self, event: Mapping[str, Any]) -> None:
        """
        Add the next chunk.
        """
        event = dict_of(event)
        for key, value in event.items():
            # The first chunk of Azure has an empty id and model, chunks before the last have no usage.
            if key not in ("choices", "object") and (value not in (None, "") or key not in self._body):
                self._body[key] = value
        for place, value in enumerate(list_of(event.get("choices"))):
            stated = dict_of(value)
            index = index_of(stated.get("index"))
            choice = self._choices.setdefault(place if index is None else index, _Choice())
            choice.message.add(dict_of(stated.get("delta")) or dict_of(stated.get("message")))
            choice.others.add({key: held for key, held in stated.items() if key not in ("index", "delta", "message")})
            choice.is_finished = choice.is_finished or bool(stated.get("finish_reason"))

    @property
    def body(self) -> Item | None:
        """
        The completion so far.
        """
        if not self._body and not self._choices:
            return None
        choices = [self._choices[index].build(index) for index in sorted(self._choices)]
        return {**self._body, "object": "chat.completion", "choices": choices}

    @property
    def is_complete(self) -> bool:
        """
        Whether every choice has a reason for its end, or the stream stated an error.
        """
        finished = [choice.is_finished for choice in self._choices.values()]
        return bool(self._body.get("error")) or (bool(finished) and all(finished))
