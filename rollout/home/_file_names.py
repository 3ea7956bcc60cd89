"""
The file name of a rollout <-> its time and id. Other versions and tools leave out the time, or the time of day.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from attrs import field, frozen

__all__ = ["UNKNOWN_TIME", "UUID_PATTERN", "Key", "RolloutName", "id_time", "key_in", "parse_key"]

Key: TypeAlias = "tuple[str, str]"
"""(timestamp, id): the key by which rollouts are sorted."""

UNKNOWN_TIME = "0001-01-01T00-00-00"
"""The timestamp of a name that states no time: older than every other one."""

UUID_PATTERN = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_DATE = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_TIMESTAMP = rf"{_DATE}T(?:[01]\d|2[0-3])-[0-5]\d-[0-5]\d"
# The ids of the TypeScript CLI, whose files end in ".json", are not always UUIDs.
_SHORT_ID = r"[0-9a-f]{4,32}"
_NAME = re.compile(
    rf"rollout-(?:({_TIMESTAMP}|{_DATE})-)?(?:({UUID_PATTERN})(?:_({UUID_PATTERN}))?|({_SHORT_ID})(?=\.json(?!l)))"
    r"(\.jsonl?)(\.zst)?",
    re.ASCII | re.IGNORECASE,
)
_KEY = re.compile(rf"({_TIMESTAMP})\|({UUID_PATTERN}|{_SHORT_ID})", re.ASCII | re.IGNORECASE)
# Positions in the usual name, `rollout-2025-09-16T19-49-09-<uuid>.jsonl`, and in one with two ids.
_TIME, _ID, _SECOND_ID = slice(8, 27), slice(28, 64), slice(65, 101)
_AT_T, _AFTER_ID = slice(18, 19), slice(64, 65)
# No zone is further from UTC than 14 hours; offsets of zones are multiples of a quarter of an hour.
_OFFSET_MAX = timedelta(hours=14, minutes=10)
_QUARTER = timedelta(minutes=15)


@frozen
class RolloutName:
    """
    The parts of a rollout's file name.

    Attributes:
        timestamp: Local time at which the file was created, ``YYYY-MM-DDThh-mm-ss``. Without a time of day in the name
            it ends in ``T00-00-00``; without a date it is that of the id, if the id contains one, or `UNKNOWN_TIME`.
        session_id: Id of the session, in lower case: a UUID, except in old files that end in ``.json``.
        rollout_id: UUID of the file, if a session was reverted and continues in a new file; otherwise None.
        is_compressed: Whether the name ends in ``.zst``.
        path: The file.
        stamp: What the name has in place of the timestamp: a date, or nothing; None if it has the timestamp.
        suffix: ``.jsonl`` or ``.json``.
    """

    timestamp: str
    session_id: str
    rollout_id: str | None = None
    is_compressed: bool = False
    path: Path = field(default=Path(), eq=False)
    stamp: str | None = None
    suffix: str = ".jsonl"

    @property
    def key(self) -> Key:
        """The key by which rollouts are sorted."""
        return (self.timestamp, self.rollout_id or self.session_id)

    @property
    def day(self) -> tuple[int, int, int]:
        """The day on which the file was created: year, month, day."""
        year, month, day = (int(part) for part in self.timestamp[:10].split("-"))
        return year, month, day

    @property
    def is_dated(self) -> bool:
        """Whether the name states a day."""
        return self.timestamp != UNKNOWN_TIME

    @property
    def is_sure(self) -> bool:
        """Whether the name alone states the moment of creation: by its id, which is independent of time zones."""
        return self._offset(id_time(self.key[1])) is not None

    @property
    def started_at(self) -> datetime | None:
        """The moment at which the file was created, in UTC, as far as the name states it; see `start`."""
        return self.start(None)

    def start(self, stated: datetime | None) -> datetime | None:
        """
        Return the moment at which the file was created, in UTC; None if it is unknown.

        The timestamp is local time where it was written. A UUID of version 7, otherwise *stated*, shows in which zone
        that was. If neither is about the same time, the zone is that of the reader.

        Args:
            stated: The moment that the session_meta states; None if it is unknown.
        """
        if not self.is_dated or self.stamp:
            return stated or (self._to_utc() if self.is_dated else None)
        offset = self._offset(id_time(self.key[1]))
        return self._to_utc(self._offset(stated) if offset is None else offset)

    def _to_utc(self, offset: timedelta | None = None) -> datetime | None:
        written = self._written
        try:
            if written is None or offset is None:
                return written and written.astimezone(timezone.utc)
            return (written - offset).replace(tzinfo=timezone.utc)
        except (ValueError, OverflowError):
            # At the end of the calendar.
            return None

    @property
    def _written(self) -> datetime | None:
        try:
            return datetime.fromisoformat(f"{self.timestamp[:13]}:{self.timestamp[14:16]}:{self.timestamp[17:]}")
        except ValueError:
            # For example, the 31st of a shorter month.
            return None

    def _offset(self, created: datetime | None) -> timedelta | None:
        """
        Return the offset from UTC with which the timestamp was written, if the file was created at a moment; None if no
        zone has it.
        """
        written = self._written
        if written is None or created is None or self.stamp:
            return None
        offset = written - created.replace(tzinfo=None)
        return round(offset / _QUARTER) * _QUARTER if abs(offset) <= _OFFSET_MAX else None

    def __str__(self) -> str:
        stamp = self.timestamp if self.stamp is None else self.stamp
        rollout_id = f"_{self.rollout_id}" if self.rollout_id else ""
        ending = f"{self.suffix}{'.zst' if self.is_compressed else ''}"
        return f"rollout-{stamp}{'-' if stamp else ''}{self.session_id}{rollout_id}{ending}"

    @classmethod
    def parse(cls, path: str | Path) -> RolloutName | None:
        """
        Return the parts of the last component of a path; None if it is not the name of a rollout.
        """
        path = Path(path) if isinstance(path, str) else path
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        stamp, session_id, rollout_id, short_id, suffix, zst = match.groups()
        session_id = (session_id or short_id).lower()
        rollout_id = rollout_id and rollout_id.lower()
        if stamp is not None and len(stamp) > len("2025-09-16"):
            return cls(stamp, session_id, rollout_id, zst is not None, path, None, suffix.lower())
        timestamp = f"{stamp}T00-00-00" if stamp else _timestamp_of(rollout_id or session_id)
        return cls(timestamp, session_id, rollout_id, zst is not None, path, stamp or "", suffix.lower())


def _timestamp_of(uuid: str) -> str:
    created = id_time(uuid)
    return UNKNOWN_TIME if created is None else f"{created.astimezone():%Y-%m-%dT%H-%M-%S}"


def id_time(uuid: str) -> datetime | None:
    """
    Return the moment in a UUID of version 7, in UTC; None for any other id.
    """
    try:
        value = UUID(uuid)
        return datetime.fromtimestamp((value.int >> 80) / 1000, timezone.utc) if value.version == 7 else None
    except (ValueError, OverflowError, OSError):
        # No UUID, or a year after 9999.
        return None


def key_in(name: str) -> Key:
    """
    Return the key in a rollout's name; arbitrary text for other names.
    """
    if name[_AT_T] == "T" and name[_AFTER_ID] in (".", "_"):
        # By position: parsing takes 5 us, this 0.2 us.
        return name[_TIME], (name[_SECOND_ID] if name[_AFTER_ID] == "_" else name[_ID]).lower()
    parsed = RolloutName.parse(name)
    return parsed.key if parsed else ("", name)


def parse_key(token: str) -> Key | None:
    """
    Return the key in a text of the form ``YYYY-MM-DDThh-mm-ss|id``; None if the text has another form.
    """
    match = _KEY.fullmatch(token)
    return (match[1], match[2].lower()) if match else None
