"""
A damaged rollout -> a repaired copy beside it, and a report. Never edits in place.

Every line that can be read is in the copy, as it stands, also one that was glued to another or hidden behind NUL
bytes. What is added or changed is what Codex needs to read the session: a session_meta, unbroken numbers, UTF-8.
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
from rollout._plain import snapshot
from rollout._prompts import with_recovered_cwd
from rollout._version import __version__
from rollout._whole import new_file
from rollout.codec import RolloutLine, encode_json, encode_line
from rollout.errors import EncodeError
from rollout.layout import RolloutName, StrPath, home_of, make_folder
from rollout.reader import open_rollout, read_lines
from rollout.verify import Verification, examine, verify

__all__ = ["Repair", "repair"]

_ACTIONS = {
    "torn-tail": "left out",
    "bad-json": "left out",
    "bad-compression": "what follows is left out",
    "glued-lines": "whole lines parted, the rest left out",
    "nul-block": "left out",
    "bom": "left out",
    "bad-utf8": "replaced by U+FFFD",
    "bad-line": "copied as it is",
    "oversize-line": "copied as it is",
    "call-without-output": "left as it is: Codex tells the model that it was aborted",
    "duplicate-ordinal": "renumbered",
    "missing-ordinal": "numbered; where lines are lost their numbers stay free, which Codex reads past",
    "missing-meta": "made up from the file's name and its first lines",
}
_NO_META = "not made up, as the file's name says no id"


@frozen
class Repair:
    """
    What `repair` did.

    Attributes:
        original: The damaged file; not touched.
        copy: The repaired one.
        report: A JSON file beside it that lists each fault and what became of it.
        before: What `verify` finds in the original.
        after: What `verify` finds in the copy.
        actions: For each fault of *before*, what became of it.
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

    Both are synced to the disk, and are there whole or not at all. To use the copy, close every writer of the
    session and move it over the original.

    Args:
        path: The file, plain or ``.jsonl.zst``; the copy is plain.
        to: Where to write the copy; by default under the same name in the folder ``repaired`` of the home, else
            beside the original with ``.repaired`` behind its name. The report has ``.report.json`` behind that.

    Raises:
        FileExistsError: The copy or its report is there already; nothing is overwritten.
        OSError: The original cannot be read, or the copy not be written.
        ModuleNotFoundError: It is compressed and the extra ``zstd`` is not installed.
    """
    original = Path(path)
    copy = _place_of_copy(original) if to is None else Path(to)
    report = copy.with_name(copy.name + ".report.json")
    for there in (copy, report):
        if os.path.lexists(there):
            raise FileExistsError(errno.EEXIST, "would be overwritten by the repair", str(there))
    before = verify(original)
    make_folder(copy.parent.absolute())
    meta = _made_up_meta(original) if any(fault.kind == "missing-meta" for fault in before.faults) else None
    with new_file(copy) as file:
        for part in _Repairer(original, before, meta).parts():
            file.write(part)
    actions = tuple(_NO_META if f.kind == "missing-meta" and meta is None else _ACTIONS[f.kind] for f in before.faults)
    done = Repair(original, copy, report, before, verify(copy), actions)
    with new_file(report) as file:
        file.write(encode_json(_report(done)).encode("utf-8", "replace") + b"\n")
    return done


def _place_of_copy(original: Path) -> Path:
    # Never among the sessions: Codex of 2025 finds a session by any file whose name has its id in it.
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
        Give the copy's bytes, piece by piece.
        """
        if self.meta is not None:
            yield self._numbered(self.meta)
        kept = {fault.lineno for fault in self.before.faults if fault.kind in ("bad-line", "oversize-line")}
        for at, pieces, _ in examine(self.original):
            for piece in pieces:
                if piece.line is not None:
                    yield self._numbered(piece.line)
                elif at.lineno in kept:
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
                # A line too deep to be encoded again stays without a number; Codex cannot read it either.
                with suppress(EncodeError):
                    return encode_line(attrs.evolve(line, ordinal=self.last_ordinal, keys=None))
        if not line.raw:
            return encode_line(line)
        return line.raw.decode("utf-8", "replace").encode() + b"\n"


def _bytes_of(path: Path, offset: int, size: int) -> Iterator[bytes]:
    # A line of a gigabyte is not held in memory.
    file, _ = open_rollout(path)
    with file:
        file.seek(offset)
        while size and (block := file.read(min(size, 2**20))):
            size -= len(block)
            yield block


def _made_up_meta(path: Path) -> RolloutLine | None:
    """
    Make the session_meta that a file has lost; None if its name does not say whose it was.
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
    with read_lines(path) as lines:
        meta = with_recovered_cwd(meta, (line.payload for line in lines if line.type == "response_item"))
    # Codex needs one.
    payload = attrs.evolve(meta, cwd=meta.cwd or "/")
    ordinal = None if first is None or first.ordinal is None else max(first.ordinal - 1, 0)
    return RolloutLine(timestamp=timestamp, type="session_meta", payload=snapshot(payload), ordinal=ordinal)


def _report(done: Repair) -> dict[str, Any]:
    faults = [
        {**attrs.asdict(fault), "action": action}
        for fault, action in zip(done.before.faults, done.actions, strict=True)
    ]
    return {
        "schema_version": 1,
        "original": str(done.original),
        "copy": str(done.copy),
        "lines_in_original": done.before.line_count,
        "lines_in_copy": done.after.line_count,
        "faults": faults,
        "faults_in_copy": [attrs.asdict(fault) for fault in done.after.faults],
    }
