"""
The chunks of a stream of generateContent, folded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, define

from rollout.dialects._model import Item
from rollout.dialects._values import dict_of, index_of, list_of, other_keys

__all__ = ["GeminiFold"]


@define
class _Candidate:
    fields: dict[str, Any] = Factory(dict)
    # Parts, a run of texts as the list of its pieces after its other keys.
    parts: list[Any] = Factory(list)
    pieces: dict[int, list[str]] = Factory(dict)

    def add(self, candidate: dict[str, Any]) -> None:
        self.fields.update(other_keys(candidate, ("content",)))
        content = candidate.get("content")
        if content is None:
            return
        for part in list_of(dict_of(content).get("parts")) if isinstance(content, dict) else [content]:
            self._add_part(part)

    def _add_part(self, part: Any) -> None:
        last = len(self.parts) - 1
        is_text = isinstance(part, dict) and isinstance(part.get("text"), str) and part.keys() <= {"text", "thought"}
        if is_text and last in self.pieces and bool(self.parts[last].get("thought")) == bool(part.get("thought")):
            self.pieces[last].append(part["text"])
            return
        self.parts.append(part)
        if is_text:
            self.pieces[last + 1] = [part["text"]]

    def build(self) -> Item:
        parts = [
            {**part, "text": "".join(self.pieces[place])} if place in self.pieces else part
            for place, part in enumerate(self.parts)
        ]
        # The chunk that states the reason of the end has an empty text, which the response without a stream has not.
        parts = [part for part in parts if part != {"text": ""}] or parts
        return {"content": {"role": "model", "parts": parts}, **self.fields}


@define
class GeminiFold:
    """
    A stream of generateContent on its way to a response.
    """

    _body: dict[str, Any] = Factory(dict)
    _candidates: dict[int, _Candidate] = Factory(dict)

    def add(self, event: Mapping[str, Any]) -> None:
        """
        Add the next chunk.
        """
        event = dict_of(event)
        self._body.update(other_keys(event, ("candidates",)))
        for place, value in enumerate(list_of(event.get("candidates"))):
            candidate = dict_of(value)
            index = index_of(candidate.get("index"))
            self._candidates.setdefault(place if index is None else index, _Candidate()).add(candidate)

    @property
    def body(self) -> Item | None:
        """
        The response so far.
        """
        if not self._body and not self._candidates:
            return None
        if not self._candidates:
            return dict(self._body)
        return {"candidates": [self._candidates[index].build() for index in sorted(self._candidates)], **self._body}

    @property
    def is_complete(self) -> bool:
        """
        Whether every candidate has a reason for its end, or the prompt was blocked, or the stream stated an error.
        """
        if not self._candidates:
            feedback = dict_of(self._body.get("promptFeedback"))
            return bool(self._body.get("error") or feedback.get("blockReason"))
        return all(candidate.fields.get("finishReason") for candidate in self._candidates.values())
