"""
The answers of a model API as an SDK or an HTTP client returns them: a parsed object, a raw response, or a stream.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import define, field

from rollout.adapters._exchange import Exchange
from rollout.codec import decode_json

__all__ = ["events_in", "read_body", "watch_response", "watch_result"]

# What the SDK of OpenAI adds to answers of these classes: objects that it has read from the JSON texts.
_PARSED_CLASSES = ("ParsedChatCompletion", "ParsedResponse")
_PARSED = frozenset({"parsed", "parsed_arguments"})


def watch_result(exchange: Exchange, result: Any) -> None:
    """
    Record what an SDK's method returned: now, or when its stream ends, is closed or is dropped.

    Args:
        exchange: The request.
        result: Object of the SDK, its stream, or its wrapper of a raw response.
    """
    candidates = (getattr(result, name, None) for name in ("http_response", "response"))
    response = next(
        (own for own in (*candidates, result) if hasattr(own, "iter_bytes") and hasattr(own, "is_closed")), None
    )
    if response is not None:
        watch_response(exchange, response)
    else:
        exchange.received(_plain(result))


def watch_response(exchange: Exchange, response: Any) -> None:
    """
    Record the body of a response of httpx: now if it was read, else when it ends, is closed or is dropped.
    """
    if response.is_closed:
        _finish(exchange, response.status_code, response.headers, response.content)
        return
    watch = _Watch(exchange, response.status_code, dict(response.headers))
    # These attributes replace the methods of this object: each way to read a body calls one of them.
    response.iter_bytes = watch.reader(response.iter_bytes)
    response.aiter_bytes = watch.async_reader(response.aiter_bytes)
    response.close = watch.closer(response.close)
    response.aclose = watch.async_closer(response.aclose)
    exchange.opened(watch.finish)
    weakref.finalize(response, watch.finish).atexit = False


def read_body(content: bytes, headers: Mapping[str, str], exchange: Exchange) -> tuple[Any, bool]:
    """
    Return the body in the bytes of an answer, and whether it is whole.
    """
    events: Iterable[Any] = events_in(content)
    if "text/event-stream" not in headers.get("content-type", ""):
        try:
            body = decode_json(content)
        except ValueError:
            return {}, False
        if not isinstance(body, list):
            return body, True
        # Gemini streams its chunks as one array, unless the client asks for events (`alt=sse`).
        events = [event for event in body if isinstance(event, Mapping)]
    fold = exchange.dialect.folder()
    for event in events:
        fold.add(event)
    return fold.body, fold.is_complete


def events_in(content: bytes) -> Iterator[Mapping[str, Any]]:
    """
    Yield the JSON objects in the server-sent events of a stream; others are skipped.
    """
    data: list[bytes] = []
    for line in [*content.splitlines(), b""]:
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            try:
                event = decode_json(b"\n".join(data))
            except ValueError:
                event = None
            if isinstance(event, dict):
                yield event
            data = []


@define(eq=False)
class _Watch:
    """
    The bytes of a response that is being read.
    """

    exchange: Exchange
    status: int
    headers: Mapping[str, str]
    chunks: list[bytes] = field(factory=list)
    is_over: bool = False
    is_reading: bool = False

    @contextmanager
    def _until_end(self) -> Iterator[None]:
        """
        Record what came when the with statement ends, and the exception that ended it.
        """
        self.is_reading = True
        try:
            yield
        except GeneratorExit:
            # The caller reads no further; or this is the garbage collector, which must not wait.
            self.finish()
            raise
        except BaseException as error:
            self.finish(error)
            self.exchange.catch_up()
            raise
        self.finish()
        self.exchange.catch_up()

    def _closed(self) -> None:
        """
        Record what came, unless the end of the reading will, which knows the error; and the interrupt of the caller.
        """
        if not self.is_reading:
            error = sys.exc_info()[1]
            self.finish(None if isinstance(error, (Exception, GeneratorExit)) else error)
            if not isinstance(error, GeneratorExit):
                self.exchange.catch_up()

    def finish(self, error: BaseException | None = None) -> None:
        """
        Record what came, and the exception that ended it; the first call counts.
        """
        if not self.is_over:
            self.is_over = True
            self.exchange.closed(self.finish)
            content, self.chunks = b"".join(self.chunks), []
            try:
                _finish(self.exchange, self.status, self.headers, content, error)
            except Exception as problem:  # noqa: BLE001 -- the agent goes on
                self.exchange.report(problem)

    def reader(self, read: Callable[..., Iterator[bytes]]) -> Callable[..., Iterator[bytes]]:
        def iter_bytes(*args: Any, **kwargs: Any) -> Iterator[bytes]:
            with self._until_end():
                for chunk in read(*args, **kwargs):
                    self.chunks.append(chunk)
                    self.is_reading = False
                    yield chunk
                    self.is_reading = True

        return iter_bytes

    def async_reader(self, read: Callable[..., AsyncIterator[bytes]]) -> Callable[..., AsyncIterator[bytes]]:
        async def aiter_bytes(*args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
            with self._until_end():
                async for chunk in read(*args, **kwargs):
                    self.chunks.append(chunk)
                    self.is_reading = False
                    yield chunk
                    self.is_reading = True

        return aiter_bytes

    def closer(self, close: Callable[[], None]) -> Callable[[], None]:
        def close_and_finish() -> None:
            close()
            self._closed()

        return close_and_finish

    def async_closer(self, close: Callable[[], Any]) -> Callable[[], Any]:
        async def close_and_finish() -> None:
            await close()
            self._closed()

        return close_and_finish


def _finish(
    exchange: Exchange, status: int, headers: Mapping[str, str], content: bytes, error: BaseException | None = None
) -> None:
    if status >= 400:
        text = content[:2000].decode("utf-8", "replace")
        exchange.failed(RuntimeError(f"HTTP status {status}: {text}" if text else f"HTTP status {status}"))
        return
    body, is_complete = read_body(content, headers, exchange)
    exchange.received(body, is_whole=is_complete and error is None, error=error)


def _plain(result: Any) -> Any:
    dump = getattr(result, "model_dump", None)
    if dump is None:
        return result
    plain = dump(mode="json", exclude_unset=True, warnings=False)
    return _without_parsed(plain) if type(result).__name__.startswith(_PARSED_CLASSES) else plain


def _without_parsed(value: Any) -> Any:
    """
    Return a value without what the SDK has added to it.
    """
    if isinstance(value, list):
        return [_without_parsed(part) for part in value]
    if isinstance(value, dict):
        return {key: _without_parsed(part) for key, part in value.items() if key not in _PARSED}
    return value
