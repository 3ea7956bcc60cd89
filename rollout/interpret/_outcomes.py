"""
The end of a call: its output, exit code, duration and failure, in each form that a version of Codex writes.

Structure comes first: the status and exit code of a completed item or an end event, then the fields of an output. The
text of an output is the last evidence; its forms are those of the errors that Codex itself writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rollout.codec import decode_json, json_for_reading
from rollout.interpret._parts import Image, dict_of, picture, read_parts, seconds_in, strings_in, text_of
from rollout.interpret._record import Record

__all__ = ["Outcome", "event_outcome", "output_outcome"]

# Maximum size in characters of the header that Codex writes before an output since 0.50. Before, outputs were JSON.
_HEADER_SIZE = 400
_EXIT_CODE = re.compile(r"(?:^Exit code: |^Process exited with code )(-?\d{1,10})$", re.MULTILINE | re.ASCII)
_DURATION = re.compile(r"^Wall time:? (\d{1,9}(?:\.\d{1,9})?) seconds$", re.MULTILINE | re.ASCII)
_USUAL_HEADER = re.compile(
    r"(?:Chunk ID: \w{1,20}\n)?(?:Exit code: (-?\d{1,10})\n)?Wall time: (\d{1,9}(?:\.\d{1,9})?) seconds\n"
    r"(?(1)|Process exited with code (-?\d{1,10})\n)(?:Original token count: \d{1,12}\n)?"
    r"(?:Total output lines: \d{1,12}\n)?Output:\n",
    re.ASCII,
)
_RUNNING = "Process running with session ID "
_DURATION_MAX = 1e9  # seconds, as many digits as the pattern for text accepts
_OUTPUT_MARK = "Output:\n"
_JSON_MARK = '{"output":'
_SCRIPT = re.compile(r"Script (completed|failed|running|terminated)\b")
# Parts of a JSON text in which an MCP server reports an error; the text is decoded only if it contains one.
_ERROR_MARKS = ('"isError":true', '"isError": true')
_ERROR_SIZE_MAX = 2**20
# The beginnings of the errors that Codex gives as the output of a call, with the reason that each of them means. Only
# for an output without a header or an exit code.
_FAILURES = re.compile(
    r"""
    (?P<aborted> aborted(?:\ by\ user\b.*)?\Z )
  | (?P<unsupported> unsupported\ (?:custom\ tool\ )?call: )
  | (?P<timeout> (?:command\ timed|tool\ call\ timed|timed)\ out\ after\b )
  | (?P<error>
        err:\  | error:\  | failed\ in\ sandbox\b | execution\ error\b | tool\ call\ (?:error\b|failed\b)
      | failed\ to\ parse\ function\ arguments\b | Failed\ to\ find\b
      | unable\ to\ (?:locate|read|process|open)\ image\b
    )
    """,
    re.VERBOSE | re.DOTALL,
)
# Those that begin with a name, and the words in them: a search for the words saves most of the time.
_OTHER_WORDS = (" failed", "rejected", " is unavailable in", " is not ")
_OTHER_FAILURES = re.compile(
    r"""
    (?P<denied> (?:\w+(?:\ command)?\ )?rejected(?:\ by\ user|:) )
  | (?P<unsupported> \w+\ is\ (?:unavailable|not\ (?:supported|available))\ in\b )
  | (?P<error> (?:\w+_\w+|apply_patch\ verification|unified\ exec|collab\ \w+)\ failed(?::|\ for\b) )
    """,
    re.VERBOSE,
)
_FAILURE_SIZE_MAX = 200
# Keys that only the end of a call has.
_END_KEYS = frozenset({"exit_code", "success", "status", "duration", "result", "error"})
_STATUS_FAILED = {"failed": "error", "declined": "denied", "denied": "denied", "cancelled": "aborted"}
_STATUS_RUNNING = ("in_progress", "inProgress", "running", "pending")


class Outcome(Record):
    """
    The facts that a line states about the end of a call.

    Attributes:
        text: Output of the tool, without the header that Codex adds; None if the line contains no output.
        exit_code: Exit code of the command; None if the call was not a command, or the command has not ended.
        duration: Duration in seconds; None if unknown.
        is_failed: Whether the call failed; None if the line does not say.
        reason: Reason of the failure: ``exit code 1``, denied, aborted, timeout, unsupported, script failed or error.
        images: Images in the output.
        is_running: Whether the call has not ended: its command or script goes on.
        is_script: Whether this is the output of a script.
    """

    text: str | None = ""
    exit_code: int | None = None
    duration: float | None = None
    is_failed: bool | None = None
    reason: str = ""
    images: tuple[Image, ...] = ()
    is_running: bool = False
    is_script: bool = False


def output_outcome(payload: Mapping[str, Any]) -> Outcome:
    """
    Return the outcome in a response item with the output of a call.
    """
    output = payload.get("output")
    if isinstance(output, str):
        return _of_json(output) if output.startswith(_JSON_MARK) else _of_text(output)
    if isinstance(output, list):
        return _of_parts(output)
    if isinstance(output, dict):
        return _of_object(output)
    tools = payload.get("tools")
    return Outcome("" if tools is None else json_for_reading(tools))


def _of_json(output: str) -> Outcome:
    try:
        value = decode_json(output)
        text, metadata = value["output"], value["metadata"]
        exit_code, duration = metadata.get("exit_code"), metadata.get("duration_seconds")
    except (ValueError, KeyError, AttributeError, TypeError):
        return Outcome(output)
    seconds = float(duration) if type(duration) in (int, float) and 0 <= duration < _DURATION_MAX else None
    return _of_code(text if isinstance(text, str) else output, exit_code, seconds)


def _of_code(text: str, exit_code: Any, seconds: float | None) -> Outcome:
    if type(exit_code) is not int:
        return Outcome(text, duration=seconds)
    return Outcome(text, exit_code, seconds, bool(exit_code), f"exit code {exit_code}" if exit_code else "")


def _of_text(output: str) -> Outcome:
    usual = _USUAL_HEADER.match(output)
    if usual:
        # Most outputs, in half of the time.
        code, exited = usual[1], usual[3]
        return _of_code(output[usual.end() :], int(code or exited), float(usual[2]))
    end = output.find(_OUTPUT_MARK, 0, _HEADER_SIZE)
    if end >= 0:
        header, mark, script = output[:end], _OUTPUT_MARK, _SCRIPT.match(output)
        code, seconds = _EXIT_CODE.search(header), _DURATION.search(header)
        if code is not None or seconds is not None:
            text, duration = output[len(header) + len(mark) :], float(seconds[1]) if seconds else None
            if script:
                return _of_script(script[1], text, duration)
            if code is not None:
                return _of_code(text, int(code[1]), duration)
            return Outcome(text, duration=duration, is_running=_RUNNING in header)
    reason = _failure_in(output)
    return Outcome(output, is_failed=True, reason=reason) if reason else Outcome(output)


def _of_script(state: str, text: str, duration: float | None, images: tuple[Image, ...] = ()) -> Outcome:
    is_failed = state in ("failed", "terminated")
    is_running = state == "running"
    reason = f"script {state}" if is_failed else ""
    return Outcome(text, None, None if is_running else duration, is_failed, reason, images, is_running, is_script=True)


def _failure_in(text: str) -> str:
    """
    Return the reason of a failure that a text states; an empty string if it states none.
    """
    beginning = text[:_FAILURE_SIZE_MAX].lstrip() if len(text) > _FAILURE_SIZE_MAX else text.strip()
    found = _FAILURES.match(beginning)
    if found is None and any(word in beginning for word in _OTHER_WORDS):
        found = _OTHER_FAILURES.match(beginning)
    if found:
        return str(found.lastgroup)
    return "error" if text[:1] == "{" and _is_error_object(text) else ""


def _is_error_object(text: str) -> bool:
    if len(text) > _ERROR_SIZE_MAX or not any(mark in text for mark in _ERROR_MARKS):
        return False
    try:
        return dict_of(decode_json(text)).get("isError") is True
    except ValueError:
        return False


def _of_parts(output: list[Any]) -> Outcome:
    read = read_parts(output)
    texts = [text for text in read.texts if text]
    first = texts[0] if texts else ""
    script = _SCRIPT.match(first)
    if script:
        whole = _of_text(first if _OUTPUT_MARK in first else f"{first}\n{_OUTPUT_MARK}")
        # Without a duration, the first part has no header, and is a text of its own.
        own = whole.text or "" if _DURATION.search(first) else first
        text = "\n".join(filter(None, [own.rstrip("\n"), *texts[1:], *read.others]))
        return _of_script(script[1], text, whole.duration, read.images)
    header = _DURATION.match(first)
    if header and first[header.end() :].strip() in ("", _OUTPUT_MARK.strip()):
        text = "\n".join([*texts[1:], *read.others])
        return Outcome(text, duration=float(header[1]), images=read.images, **_failure_of_parts(output, texts[1:]))
    return Outcome(read.text, images=read.images, **_failure_of_parts(output, texts))


def _failure_of_parts(output: list[Any], texts: list[str]) -> dict[str, Any]:
    reason = _failure_in(texts[0]) if texts else ""
    is_error = any(dict_of(part).get("isError") is True for part in output)
    return {"is_failed": True, "reason": reason or "error"} if reason or is_error else {}


def _of_object(output: dict[str, Any]) -> Outcome:
    content = output.get("content", "")
    read = read_parts(content)
    text = read.text or "\n".join(strings_in(content))
    is_failed = output.get("success") is False or output.get("isError") is True
    says = is_failed or "success" in output or "isError" in output
    return Outcome(text, is_failed=is_failed if says else None, reason="error" if is_failed else "", images=read.images)


def event_outcome(payload: Mapping[str, Any]) -> Outcome:
    """
    Return the outcome in an event about a call, or in a completed item. The beginning of a call has no text.
    """
    output = text_of(payload.get("aggregated_output")) or "".join(
        text_of(payload.get(key)) for key in ("stdout", "stderr")
    )
    images: tuple[Image, ...] = picture(payload.get("result"))
    result = payload.get("result")
    result = None if images else payload.get("error") if result is None else result
    is_error = isinstance(result, dict) and "Err" in result
    if isinstance(result, dict):
        result = result.get("Ok", result.get("Err", result))
    is_error |= isinstance(result, dict) and result.get("isError") is True
    content = payload.get("content_items", payload.get("output"))
    if isinstance(result, dict) and isinstance(result.get("content"), list):
        content = result["content"]
    if isinstance(content, (list, str)):
        read = read_parts(content)
        output, images = read.text or output, images or read.images
    elif not output and result is not None:
        output = "\n".join(strings_in(result)) or json_for_reading(result)
    status = payload.get("status")
    is_running = isinstance(status, str) and status in _STATUS_RUNNING
    is_ended = not payload.keys().isdisjoint(_END_KEYS) and not is_running
    code, is_failed, reason = _failure_of_event(payload, is_error)
    text = output if output or (is_ended and not images) else None
    return Outcome(text, code, seconds_in(payload), is_failed, reason, images, is_running)


def _failure_of_event(payload: Mapping[str, Any], is_error: bool) -> tuple[int | None, bool | None, str]:
    """
    Return the exit code, whether the call failed, or None if the event does not say, and the reason.
    """
    code = payload.get("exit_code")
    code = code if type(code) is int else None
    success, status = payload.get("success"), text_of(payload.get("status"))
    if code:
        return code, True, f"exit code {code}"
    if is_error or success is False or status in _STATUS_FAILED:
        return code, True, _STATUS_FAILED.get(status, "error")
    says = code is not None or success is True or status == "completed" or isinstance(payload.get("result"), dict)
    return code, False if says else None, ""
