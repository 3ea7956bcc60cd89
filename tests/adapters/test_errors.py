"""
Requests that fail, and faults of recording itself, which never reach the agent.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollout import Recorder
from rollout.adapters._exchange import Exchange
from rollout.adapters._log import Log
from rollout.adapters._responses import watch_response, watch_result
from tests.adapters.apis import APIS, Answer, Api, ModelServer, events_in, items_in, only, seen_items
from tests.adapters.conftest import MakeAgent, Record

each_api = pytest.mark.parametrize("api", APIS, ids=repr)
both_clients = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
CHAT = APIS[1]


@each_api
@both_clients
class TestFailures:
    @pytest.mark.parametrize("status", [401, 429])
    def test_an_http_error_is_recorded_and_its_retry_has_no_second_prompt(
        self, api: Api, is_async: bool, status: int, agent: MakeAgent, record: Record
    ) -> None:
        with ModelServer([Answer(status=status, text="Not now"), Answer(text="Yes")]) as server:
            own = agent(api, is_async=is_async, server=server)
            sessions = record(own.client)
            with pytest.raises(importlib.import_module(api.package).APIStatusError):
                own.ask("Hello")
            own.go_on()
            own.close()
            sessions.undo()

            _, answered = seen_items(api, server, 1)
        path = only(sessions)
        (error,) = events_in(path, "error")
        assert f"Error code: {status}" in error["message"]
        assert [event["message"] for event in events_in(path, "user_message")] == ["Hello"]
        assert items_in(path)[1:] == answered
        assert len(events_in(path, "task_complete")) == 1
        assert sessions.problems == {}

    def test_a_timeout_is_recorded(self, api: Api, is_async: bool, agent: MakeAgent, record: Record) -> None:
        with ModelServer([Answer(text="late", delay=0.3)]) as server:
            own = agent(api, is_async=is_async, server=server, timeout=0.05)
            sessions = record(own.client)
            with pytest.raises(importlib.import_module(api.package).APITimeoutError):
                own.ask("Hello")
            own.close()
            sessions.undo()

        (error,) = events_in(only(sessions), "error")
        assert error["message"].startswith("APITimeoutError: ")

    def test_a_retry_of_the_sdk_is_no_second_request(
        self, api: Api, is_async: bool, agent: MakeAgent, record: Record
    ) -> None:
        with ModelServer([Answer(status=429), Answer(text="Yes")]) as server:
            own = agent(api, is_async=is_async, server=server, max_retries=2)
            sessions = record(own.client)
            own.ask("Hello")
            own.close()
            sessions.undo()

            assert len(server.requests) == 2
        assert len(items_in(only(sessions))) == 2
        assert events_in(only(sessions), "error") == []


class TestInterrupts:
    @pytest.mark.promise("instrumented")
    def test_an_interrupt_of_a_request_ends_the_turn_as_interrupted(
        self, server: ModelServer, agent: MakeAgent, record: Record, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = agent(CHAT)

        def interrupt(*args: Any, **kwargs: Any) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(own.client._client, "send", interrupt)
        sessions = record(own.client)
        with pytest.raises(KeyboardInterrupt):
            own.ask("Hello")
        sessions.undo()

        (aborted,) = events_in(only(sessions), "turn_aborted")
        assert aborted["reason"] == "interrupted"
        assert len(items_in(only(sessions))) == 1

    @pytest.mark.promise("instrumented")
    def test_an_interrupt_while_a_stream_is_read_keeps_what_came(
        self, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(CHAT)
        sessions = record(own.client)

        def read() -> None:
            arguments = CHAT.arguments([{"role": "user", "content": "Hello"}], stream=True)
            with own.client.chat.completions.create(**arguments) as stream:
                for number, _ in enumerate(stream):
                    if number == 2:
                        raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            read()
        sessions.undo()

        _, answer = items_in(only(sessions))
        assert 0 < len(answer["content"][0]["text"]) < len("It is sunny in Paris, 21 °C.")

    @pytest.mark.promise("instrumented")
    def test_a_cancelled_task_ends_the_turn_as_interrupted(self, agent: MakeAgent, record: Record) -> None:
        with ModelServer([Answer(text="late", delay=0.3)]) as server:
            own = agent(CHAT, server=server, is_async=True)
            sessions = record(own.client)
            arguments = CHAT.arguments([{"role": "user", "content": "Hello"}])

            async def cancel() -> None:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(own.client.chat.completions.create(**arguments), 0.05)

            assert own.loop is not None
            own.loop.run_until_complete(cancel())
            own.close()
            sessions.undo()

        (aborted,) = events_in(only(sessions), "turn_aborted")
        assert aborted["reason"] == "interrupted"


@both_clients
class TestFaultsOfRecording:
    def test_an_error_in_on_session_is_counted_and_the_session_is_recorded(
        self, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(CHAT, is_async=is_async)

        def fail(recorder: Recorder) -> None:
            raise RuntimeError("on_session fails")

        sessions = record(own.client, on_session=fail)
        own.ask("Hello")
        own.ask("And?")
        sessions.undo()

        assert len(items_in(only(sessions))) == 4
        ((text, count),) = sessions.problems.items()
        assert "on_session fails" in text
        assert count == 1

    def test_an_error_in_redact_is_counted_and_logged_once(
        self,
        is_async: bool,
        server: ModelServer,
        agent: MakeAgent,
        record: Record,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        own = agent(CHAT, is_async=is_async)

        def redact(value: Any) -> Any:
            if "secret" in str(value):
                raise RuntimeError("redact fails")
            return value

        sessions = record(own.client, redact=redact)
        with caplog.at_level(logging.ERROR, "rollout"):
            own.ask("A secret")
            own.ask("Another secret")
        own.ask("Hello")
        sessions.undo()

        ((text, count),) = sessions.problems.items()
        assert "redact fails" in text
        assert count == 2
        assert len([one for one in caplog.records if "redact fails" in one.message]) == 1
        # Nothing that was not redacted is kept, and everything else is.
        assert "secret" not in only(sessions).read_text()
        assert [item["role"] for item in items_in(only(sessions))] == ["assistant"] * 2 + ["user", "assistant"]

    @pytest.mark.promise("hook and disk")
    def test_a_home_that_cannot_be_written_is_counted(
        self, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record, tmp_path: Path
    ) -> None:
        own = agent(CHAT, is_async=is_async)
        (tmp_path / "file").write_text("")
        sessions = record(own.client, home=tmp_path / "file")

        body = own.ask("Hello")
        own.ask("And?")

        assert body == server.replies[0]
        assert sum(sessions.problems.values()) == 2
        assert sessions.sessions == {}

    @pytest.mark.promise("hook and disk")
    def test_a_file_that_was_deleted_is_counted(
        self, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(CHAT, is_async=is_async)
        recorders: list[Recorder] = []
        sessions = record(own.client, on_session=recorders.append)
        own.ask("Hello")
        recorders[0].close()
        only(sessions).unlink()

        own.ask("And?")

        assert len(server.requests) == 2
        assert sum(sessions.problems.values()) >= 1

    def test_an_error_in_redact_of_an_answer_is_counted(self, is_async: bool, agent: MakeAgent, record: Record) -> None:
        def redact(value: Any) -> Any:
            if "wrong" in str(value):
                raise RuntimeError("redact fails")
            return value

        with ModelServer([Answer(text="wrong"), Answer(status=400, text="wrong")]) as server:
            own = agent(CHAT, is_async=is_async, server=server)
            sessions = record(own.client, redact=redact)
            own.ask("Hello")
            with pytest.raises(Exception, match="wrong"):
                own.ask("And?")
            own.close()
            sessions.undo()

        assert sum(sessions.problems.values()) == 2
        assert "wrong" not in only(sessions).read_text()

    def test_what_a_function_of_the_caller_asks_a_model_is_not_recorded(
        self, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own, other = agent(CHAT, is_async=is_async), agent(CHAT)
        sessions = record(on_session=lambda recorder: other.ask("A title, please"))

        own.ask("Hello")
        sessions.undo()

        assert len(server.requests) == 2
        assert len(items_in(only(sessions))) == 2

    def test_undo_within_on_session_closes_the_session(
        self, is_async: bool, server: ModelServer, agent: MakeAgent, record: Record
    ) -> None:
        own = agent(CHAT, is_async=is_async)
        undo: list[Callable[[], None]] = []
        sessions = record(own.client, on_session=lambda recorder: undo[0]())
        undo.append(sessions.undo)

        own.ask("Hello")

        assert items_in(only(sessions)) == []
        assert sum(sessions.problems.values()) == 1


class TestOtherClients:
    def test_a_request_that_cannot_be_understood_is_counted(self, record: Record) -> None:
        calls: list[Any] = []

        class Proxy:
            def request(self, *args: Any) -> Any:
                calls.append(args)

        sessions = record(proxy := Proxy())
        proxy.request("no options")

        assert calls == [("no options",)]
        assert sum(sessions.problems.values()) == 1

    def test_an_answer_that_cannot_be_understood_is_counted(self, record: Record) -> None:
        class Odd:
            @property
            def http_response(self) -> Any:
                raise RuntimeError("odd")

        class Options:
            method, url = "post", "/chat/completions"
            json_data = CHAT.arguments([{"role": "user", "content": "Hello"}])

        class Proxy:
            def request(self, options: Any) -> Any:
                return odd

        odd = Odd()
        sessions = record(proxy := Proxy())

        assert proxy.request(Options()) is odd
        assert sum(sessions.problems.values()) == 1


class TestAnswers:
    """
    Answers in forms that no SDK returns.
    """

    @pytest.fixture
    def log(self, home: Path) -> Any:
        log = Log(home=home)
        yield log
        log.close()

    @pytest.fixture
    def exchange(self, log: Log) -> Exchange:
        exchange = log.sent(CHAT.dialect, CHAT.arguments([{"role": "user", "content": "Hello"}]))
        assert exchange is not None
        return exchange

    def path(self, log: Log) -> Path:
        log.close()
        (path,) = log.sessions.paths.values()
        return path

    @pytest.mark.parametrize(("content", "text"), [(b"busy", "HTTP status 503: busy"), (b"", "HTTP status 503")])
    def test_an_http_error_of_a_raw_response_is_recorded(
        self, log: Log, exchange: Exchange, content: bytes, text: str
    ) -> None:
        http = pytest.importorskip("httpx2", reason="the SDKs use httpx2")

        watch_response(exchange, http.Response(503, content=content))

        (error,) = events_in(self.path(log), "error")
        assert error["message"].endswith(text)

    def test_a_body_that_is_no_json_is_an_empty_answer(self, log: Log, exchange: Exchange) -> None:
        http = pytest.importorskip("httpx2", reason="the SDKs use httpx2")

        watch_response(exchange, http.Response(200, content=b"<html>"))

        assert len(items_in(self.path(log))) == 1
        assert log.work.problems == {}

    @pytest.mark.parametrize("answer", [None, "text", 7])
    def test_an_answer_of_an_unknown_kind_is_an_empty_one(self, log: Log, exchange: Exchange, answer: Any) -> None:
        watch_result(exchange, answer)

        assert len(items_in(self.path(log))) == 1
        assert log.work.problems == {}

    def test_only_the_first_answer_to_a_request_counts(self, log: Log, exchange: Exchange) -> None:
        exchange.received({"choices": [{"message": {"role": "assistant", "content": "one"}}]})
        exchange.received({"choices": [{"message": {"role": "assistant", "content": "two"}}]})
        exchange.failed(ValueError("three"))

        path = self.path(log)
        assert len(items_in(path)) == 2
        assert events_in(path, "error") == []

    @pytest.mark.parametrize("error", [None, ValueError("late")])
    def test_an_answer_after_the_end_is_not_recorded(
        self, log: Log, exchange: Exchange, error: Exception | None
    ) -> None:
        path = self.path(log)
        before = path.read_bytes()

        if error is None:
            exchange.received({"choices": [{"message": {"role": "assistant", "content": "late"}}]})
        else:
            exchange.failed(error)

        assert path.read_bytes() == before
        assert log.sent(CHAT.dialect, CHAT.arguments([])) is None

    def test_an_answer_that_cannot_be_read_is_counted(self, log: Log, exchange: Exchange) -> None:
        http = pytest.importorskip("httpx2", reason="the SDKs use httpx2")

        class Broken(dict[str, str]):
            def get(self, *args: Any) -> Any:
                raise RuntimeError("broken header")

        response = http.Response(200, stream=http.ByteStream(b"{}"))
        watch_response(exchange, response)
        next(iter(log.open_streams)).__self__.headers = Broken()  # type: ignore[attr-defined]
        response.read()

        assert sum(log.work.problems.values()) == 1
