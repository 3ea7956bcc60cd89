"""
Write a repaired copy of a damaged rollout, and a report. The original is never edited.

The copy has every line that can be read, unchanged, including lines that were joined to another line or are next to NUL
bytes. The only other changes are those that Codex needs to read the session: a session_meta and missing ordinals are
added, duplicate ordinals are renumbered, and bytes that are not UTF-8 are replaced.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from attrs import define, frozen

from rollout import schema
from rollout._version import SCHEMA_VERSION, __version__
from rollout.codec import RolloutLine, encode_json, encode_line
from rollout.errors import EncodeError
from rollout.home import RolloutName, StrPath, home_of, make_folder, new_file
from rollout.reading._lines import read_lines
from rollout.reading._opening import open_rollout
from rollout.reading._verify import Verification, examine, verify
from rollout.schema import snapshot

__all__ = ["Repair", "repair"]

_ACTIONS = {
    "torn-tail": "left out",
    "bad-json": "left out",
    "bad-compression": "the rest of the file left out",
    "glued-lines": "complete lines separated, the rest left out",
    "nul-block": "left out",
    "bom": "left out",
    "bad-utf8": "replaced by U+FFFD",
    "bad-line": "copied unchanged",
    "oversize-line": "copied unchanged",
    "unread-by-codex": "put into the form that Codex reads, if it has one; otherwise unchanged",
    "call-without-output": "unchanged: Codex reports the call to the model as aborted",
    "duplicate-ordinal": "renumbered",
    "missing-ordinal": "numbered; the numbers of lost lines stay unused, which Codex accepts",
    "utf-16": "not repaired: nothing can be read",
    "missing-meta": "created from the file name and the first lines",
}
_NO_META = "not created: the file name contains no id"


@frozen
class Repair:
    """
    The result of `repair`.

    Attributes:
        original: The damaged file; unchanged.
        copy: The repaired file.
        report: A JSON file next to the copy that lists each fault and the action that was taken.
        before: The result of `verify` for the original.
        after: The result of `verify` for the copy.
        actions: The action that was taken, for each fault of *before*.
    """

    original: Path
    copy: Path
    report: Path
    before: Verification
    after: Verification
    actions: tuple[str, ...]


def repair(path: StrPath, *, to: StrPath | None = None) -> Repair:
    """
    Write a repaired copy of a rollout, mode 0600, and a report. Blocks; the original is only read.

    Both are written atomically and synced to the disk. To use the copy, close every writer of the session and move the
    copy over the original.

    Args:
        path: The file, plain or ``.jsonl.zst``; the copy is plain.
        to: Path of the copy; by default the same name in the folder ``repaired`` of the home, or, if the file is not
            in a home, its path with ``.repaired`` appended. The path of the report is this path with ``.report.json``
            appended.

    Raises:
        FileExistsError: The copy or its report exists already; nothing is overwritten.
        OSError: The original cannot be read, or the copy cannot be written.
        ModuleNotFoundError: The file is compressed and the extra ``zstd`` is not installed.
    """
    original = Path(path)
    copy = _default_copy_path(original) if to is None else Path(to)
    report = copy.with_name(copy.name + ".report.json")
    for target in (copy, report):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "the file exists; the repair would overwrite it", str(target))
    before = verify(original)
    make_folder(copy.parent.absolute())
    meta = _new_meta(original) if any(fault.kind == "missing-meta" for fault in before.faults) else None
    with new_file(copy) as file:
        for part in _Repairer(original, before, meta).parts():
            file.write(part)
    actions = tuple(_NO_META if f.kind == "missing-meta" and meta is None else _ACTIONS[f.kind] for f in before.faults)
    result = Repair(original, copy, report, before, verify(copy), actions)
    with new_file(report) as file:
        file.write(encode_json(_report(result)).encode("utf-8", "replace") + b"\n")
    return result


def _default_copy_path(original: Path) -> Path:
    # Not in a folder of sessions: Codex of 2025 finds a session by any file whose name contains its id.
    name = original.name.removesuffix(".zst")
    home = home_of(original)
    return original.with_name(f"{name}.repaired") if home is None else home / "repaired" / name


@define
class _Repairer:
    original: Path
    before: Verification
    meta: RolloutLine | None
    is_paginated: bool = False
    last_ordinal: int = -1

    def parts(self) -> Iterator[bytes]:
        """
        Yield the bytes of the copy in parts.
        """
        if self.meta is not None:
            yield self._numbered(self.meta)
        unchanged = {fault.lineno for fault in self.before.faults if fault.kind in ("bad-line", "oversize-line")}
        for raw_line, pieces, _ in examine(self.original):
            for piece in pieces:
                if piece.line is not None:
                    yield from map(self._numbered, _readable(piece.line))
                elif raw_line.lineno in unchanged:
                    # A line in memory is not read again: seeking in a compressed file decompresses all bytes before it.
                    yield from [piece.raw] if piece.raw else _bytes_of(self.original, piece.offset, piece.size)
                    yield b"\n"

    def _numbered(self, line: RolloutLine) -> bytes:
        if line.type == "session_meta" and line.payload.get("history_mode") == "paginated":
            self.is_paginated = True
        if self.is_paginated or line.ordinal is not None:
            is_good = line.ordinal is not None and line.ordinal > self.last_ordinal
            self.last_ordinal = line.ordinal if is_good else self.last_ordinal + 1  # type: ignore[assignment]
            if not is_good:
                # A line that is nested too deeply to be encoded again gets no number; Codex cannot read it either.
                with suppress(EncodeError):
                    return encode_line(attrs.evolve(line, ordinal=self.last_ordinal, keys=None))
        if not line.raw:
            return encode_line(line)
        return line.raw.decode("utf-8", "replace").encode() + b"\n"


def _readable(line: RolloutLine) -> list[RolloutLine]:
    """
    Return a line in the form that Codex reads; a message in the form of another API may become several lines.
    """
    from rollout.dialects import codex_items, unread_reason  # noqa: PLC0415 -- every program imports this module

    if line.type != "response_item" or not unread_reason(line.payload):
        return [line]
    try:
        items = codex_items(line.payload)
    except EncodeError:
        return [line]
    return [line if item is line.payload else attrs.evolve(line, payload=item, keys=None) for item in items]


def _bytes_of(path: Path, offset: int, size: int) -> Iterator[bytes]:
    # A line of a gigabyte is not held in memory.
    file, _ = open_rollout(path)
    with file:
        file.seek(offset)
        while size and (block := file.read(min(size, 2**20))):
            size -= len(block)
            yield block


def _new_meta(path: Path) -> RolloutLine | None:
    """
    Return a new session_meta for a file that has lost it; None if the file name has no session id.
    """
    name = RolloutName.parse(path)
    if name is None:
        return None
    first: RolloutLine | None = None
    cwd: Any = None
    with read_lines(path) as lines:
        for line in lines:
            first = first or line
            if line.type == "turn_context" and isinstance(line.payload.get("cwd"), str):
                cwd = line.payload["cwd"]
                break
    date, _, time = name.timestamp.partition("T")
    timestamp = (first and first.timestamp) or f"{date}T{time.replace('-', ':')}.000Z"
    meta = schema.SessionMeta(
        id=name.session_id,
        timestamp=timestamp,
        cwd=cwd,
        originator="rollout",
        cli_version=__version__,
        history_mode=None if first is None or first.ordinal is None else "paginated",
    )
    from rollout.interpret import with_recovered_cwd  # noqa: PLC0415 -- only to replace a meta

    with read_lines(path) as lines:
        meta = with_recovered_cwd(meta, lines)
    # Codex requires a cwd.
    payload = attrs.evolve(meta, cwd=meta.cwd or "/")
    ordinal = None if first is None or first.ordinal is None else max(first.ordinal - 1, 0)
    return RolloutLine(timestamp=timestamp, type="session_meta", payload=snapshot(payload), ordinal=ordinal)


def _report(repair: Repair) -> dict[str, Any]:
    faults = [
        {**attrs.asdict(fault), "action": action}
        for fault, action in zip(repair.before.faults, repair.actions, strict=True)
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "original": str(repair.original),
        "copy": str(repair.copy),
        "lines_in_original": repair.before.line_count,
        "lines_in_copy": repair.after.line_count,
        "faults": faults,
        "faults_in_copy": [attrs.asdict(fault) for fault in repair.after.faults],
    }
