"""
The methods of a `Recorder` for an agent's loop: messages, tools, turns, usage. Each records items with their events.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload
from uuid import uuid4

from rollout import schema
from rollout.codec import encode_name
from rollout.dialects import codex_items
from rollout.errors import EncodeError
from rollout.home import append_name, checked_name, locked_names
from rollout.recording._agents import Place
from rollout.recording._call_ends import Item, event
from rollout.recording._companions import Companions
from rollout.recording._images import ImageSource, image_part
from rollout.recording._prepare import text_of
from rollout.recording._settings import Settings
from rollout.recording._token_counts import TokenTotals
from rollout.recording._tool_runs import ToolRun, recorded_tool
from rollout.recording._turn import Turn, error_text
from rollout.schema import plain_item, snapshot

if TYPE_CHECKING:
    from rollout.recording._recorder import Recorder

__all__ = ["AgentMethods"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


class AgentMethods:
    """
    The part of `Recorder` that knows what agents do. All methods raise the errors of `Recorder.record`.
    """

    _settings: Settings
    _place: Place
    _session_id: str
    _companions: Companions
    _totals: TokenTotals
    _implicit: Turn | None

    @abstractmethod
    def record(self, *items: Any) -> None:
        """
        Record items; see `Recorder.record`.
        """

    def _begin_methods(self, companions: Companions, totals: TokenTotals) -> None:
        self._companions, self._totals = companions, totals
        self._implicit = None
        self._usage_lock = threading.RLock()

    def _plain(self, value: Any) -> Any:
        """
        Return a value as plain JSON values, converted by *default* where needed.
        """
        return snapshot(value, default=self._settings.default)

    def record_items(self, *items: Any) -> None:
        """
        Record items of the Responses API, each with the events by which every version of Codex shows it.

        For an item that comes from a model or goes to one: `record` writes only what it is given. Other items than
        those of the Responses API are recorded as they are.
        """
        lines: list[Any] = []
        refused: EncodeError | None = None
        forms: list[Any] = []
        for item in items:
            try:
                forms += codex_items(item, self._settings.default)
            except EncodeError as error:
                refused = refused or error
        for item in forms:
            try:
                kind, payload, metadata = plain_item(item, self._settings.default)
                if kind != "response_item":
                    lines.append(item)
                    continue
                plain = self._plain(payload)
            except EncodeError as error:
                refused = refused or error
                continue
            self._ensure_turn(plain)
            for line in self._companions.add(plain):
                is_own = line is plain and metadata is not None
                lines.append({"type": kind, "payload": plain, "metadata": metadata} if is_own else line)
        self.record(*lines)
        if refused is not None:
            raise refused

    def _ensure_turn(self, item: Item) -> None:
        """
        Begin a turn in a paginated session, of which Codex shows nothing outside of turns.
        """
        companions, implicit = self._companions, self._implicit
        if not companions.is_paginated:
            return
        is_prompt = item.get("type") == "message" and item.get("role") == "user"
        if implicit is not None and companions.turn_id == implicit.id and is_prompt:
            self._end_implicit_turn()
        if companions.turn_id is None:
            self._implicit = Turn(self, None, (), None, {}, None).begin()

    def _end_implicit_turn(self) -> None:
        implicit, self._implicit = self._implicit, None
        if implicit is not None:
            implicit.end()

    def turn(
        self,
        prompt: str | None = None,
        *,
        images: Sequence[ImageSource] = (),
        model: str | None = None,
        context: Mapping[str, Any] | None = None,
        model_context_window: int | None = None,
    ) -> Turn:
        """
        Return a turn, which records its beginning and its end when it is used in a with statement.

        The beginning: ``task_started``, the settings (`turn_context`), and the prompt (`user_message`). The end:
        ``task_complete`` with the duration, also after an exception, which is recorded as an error; or
        ``turn_aborted`` after KeyboardInterrupt, SystemExit or the cancellation of a task. Codex shows one turn at a
        time: parallel agents need sessions of their own, for example by `agent`.

        Args:
            prompt: What the person asks; None if the prompt is recorded by other means.
            images: Images of the prompt, as for `user_message`.
            model: Name of the model; by default that of the turn before. Without any, and without *context*, no
                settings are recorded, and Codex goes on with a model of its own.
            context: Further fields of `turn_context`.
            model_context_window: Size of the model's context in tokens.
        """
        self._end_implicit_turn()
        return Turn(self, prompt, images, model, context or {}, model_context_window)

    def user_message(self, text: str, images: Sequence[ImageSource] = ()) -> None:
        """
        Record a message of the user: the response item, and the event by which Codex lists the session.

        Args:
            text: The text.
            images: Paths of image files, which are read now and become part of the session, bytes of images, or URLs.

        Raises:
            OSError, ValueError: An image cannot be read, or is of an unknown kind; nothing was recorded.
        """
        parts = [{"type": "input_text", "text": text}] if text or not images else []
        parts += [image_part(image) for image in images]
        self.record_items({"type": "message", "role": "user", "content": parts})

    def agent_message(self, text: str) -> None:
        """Record a message of the agent: the event and the response item."""
        self.record_items(schema.Message(role="assistant", content=(schema.OutputText(text=text),)))

    def reasoning(self, text: str) -> None:
        """Record a summary of the model's reasoning: the event and the response item."""
        self.record_items(schema.Reasoning(summary=(schema.SummaryText(text=text),)))

    def tool_call(self, name: str, arguments: Any, call_id: str | None = None) -> str:
        """
        Record a call of a tool by the model.

        Args:
            name: Name of the tool.
            arguments: JSON text as a string, or any other value, which is encoded.
            call_id: Id that connects the output to the call; by default a new one.

        Returns:
            The id of the call, for `tool_output`.
        """
        call_id = call_id or f"call_{uuid4().hex}"
        arguments = text_of(arguments, self._settings.default)
        self.record_items(schema.FunctionCall(name=name, arguments=arguments, call_id=call_id))
        return call_id

    def tool_output(
        self, call_id: str, output: Any, *, is_failed: bool | None = None, seconds: float | None = None
    ) -> None:
        """
        Record the output of a tool, and the event by which Codex shows the call.

        Args:
            call_id: Id of the call.
            output: Text, a list of content parts (``{"type": "input_text", ...}``), or any other value, which is
                recorded as JSON text: Codex of 2025 reads only text.
            is_failed: Whether the call failed; None if the output itself tells.
            seconds: Duration of the call; by default the time since the call was recorded.
        """
        is_content = isinstance(output, list) and output and all(_is_part(part) for part in output)
        value = self._plain(output) if is_content else text_of(output, self._settings.default)
        item = {"type": "function_call_output", "call_id": call_id, "output": value}
        self.record(*self._companions.add(item, is_failed=is_failed, seconds=seconds))

    def call_ended(self, call_id: str, *, seconds: float | None = None, is_failed: bool | None = None) -> None:
        """
        Note the end of a call whose output is recorded later, with `record_items`: the event of the call then has this
        duration. Writes nothing.

        Args:
            call_id: Id of the call; one that was not recorded is ignored.
            seconds: Duration of the call; by default the time since the call was recorded.
            is_failed: Whether the call failed; None if the output itself tells.
        """
        self._companions.end(call_id, seconds, is_failed)

    @overload
    def tool(self, function: _Function, /) -> _Function: ...
    @overload
    def tool(self, function: None = None, /, *, name: str) -> Callable[[_Function], _Function]: ...
    def tool(self, function: Any = None, /, *, name: str | None = None) -> Any:
        """
        Return a function that records each call of a tool: ``@rec.tool`` or ``@rec.tool(name="search")``.

        Recorded are the arguments by their names, the result, the duration, and an exception as a failed call; it is
        raised again. A coroutine function stays one. Values without a JSON form are recorded as their `repr`.

        Args:
            function: The tool.
            name: Name of the tool; by default that of the function.
        """
        if function is None:
            return lambda function: recorded_tool(self, function, name)
        return recorded_tool(self, function, name)

    def tool_run(self, name: str, arguments: Any, call_id: str | None = None) -> ToolRun:
        """
        Record a call of a tool now, and its output when the with statement ends.

            with rec.tool_run("shell", {"command": ["ls"]}) as run:
                run.output = subprocess.run(["ls"], capture_output=True, text=True).stdout

        Args:
            name: Name of the tool.
            arguments: As for `tool_call`.
            call_id: Id of the call. A call that was recorded under this id is not recorded again.
        """
        return ToolRun(self, name, arguments, call_id)

    def turn_context(self, **fields: Any) -> None:
        """
        Record the settings of the turn that begins.

        Args:
            fields: Fields of `schema.TurnContext`. By default *cwd* is the recorder's, *model* that of the call before
                or "unknown", *approval_policy* "never", *summary* "auto", and *sandbox_policy* read-only: with this
                model and these permissions Codex goes on with the session. The sandbox policy is written with both of
                its tags, so that every Codex reads it.
        """
        policy = schema.SandboxPolicy(mode="read-only", type="read-only")
        fields = {"cwd": self._settings.cwd, "approval_policy": "never", "sandbox_policy": policy, **fields}
        self.record(schema.TurnContext(**{"model": self._companions.model or "unknown", "summary": "auto", **fields}))
        self._companions.model = fields.get("model", self._companions.model)

    def usage(self, usage: Any = None, *, model_context_window: int | None = None, **counts: int) -> None:
        """
        Record the tokens of a request to a model, and those of the session so far.

        A resumed session continues its totals: the first call reads the file backwards to the last ones.

        Args:
            usage: Usage object or dict of OpenAI, Anthropic, Google or a framework; see `rollout.dialects.usage_of`.
            model_context_window: Size of the model's context in tokens.
            counts: In place of *usage*: input_tokens (with those from the cache), cached_input_tokens, output_tokens
                (with those of reasoning), reasoning_output_tokens, total_tokens.

        Raises:
            ValueError: The usage has no known form.
        """
        from rollout.dialects import usage_of  # noqa: PLC0415 -- most programs that record do not need it

        found = usage_of(counts if usage is None else usage)
        if found is None:
            raise ValueError(f"the usage has no known form: {str(usage)[:80]}")
        with self._usage_lock:
            self.record(self._totals.add(found, model_context_window))

    def error(self, error: BaseException | str) -> None:
        """Record an error: an exception, or its text."""
        self._companions.last_error = error_text(error)
        self.record(event("error", message=self._companions.last_error, codex_error_info="other"))

    def compacted(self, summary: str, replacement_history: Sequence[Any] | None = None) -> None:
        """
        Record that the history was replaced.

        Args:
            summary: Text that replaces the history, for Codex of 2025 and for readers.
            replacement_history: Items of the Responses API from which the conversation goes on; by default *summary*.
        """
        history = None if replacement_history is None else [self._item(item) for item in replacement_history]
        self.record(schema.Compacted(message=summary, replacement_history=history))

    def name(self, name: str) -> None:
        """
        Set the name of the session, which lists and Codex show; blocks until it is on disk. Codex keeps another name
        that it gave the session itself: see `rollout.store.rename_session`.

        Raises:
            ValueError: The name is blank, or contains a line break or another control character.
            OSError: The name could not be written.
        """
        home, line = self._settings.home, encode_name(self._session_id, checked_name(name))
        with locked_names(home):
            append_name(home, line)

    def agent(self, name: str, *, role: str = "default", instructions: str | None = None) -> Recorder:
        """
        Return the recorder of a sub-agent: a new session that knows its parent, as the threads that Codex starts.

        It has the settings of this recorder, and is closed like any other. This session records its start and its end.

        Args:
            name: Name of the agent.
            role: Role of the agent.
            instructions: System prompt of the agent.

        Raises:
            OSError, WriterStartError: As for a new session.
            ValueError: The name has no letter and no digit.
        """
        place = self._place.child(self._session_id, name, role)
        agent = self._start_agent(place, instructions)
        self.record(place.activity(self._companions, agent.session_id, "started"))
        return agent

    @abstractmethod
    def _start_agent(self, place: Place, instructions: str | None) -> Recorder:
        """
        Return the recorder of a new session at a place.
        """

    def _item(self, item: Any) -> Any:
        _, payload, _ = plain_item(item, self._settings.default)
        return self._plain(payload)


def _is_part(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in ("input_text", "input_image")
