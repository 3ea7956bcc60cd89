"""
A loaded session: its lines, its turns, and the items to send to a model.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import field, frozen

from rollout import schema
from rollout.codec import RolloutLine
from rollout.document import Document, DocumentBuilder
from rollout.errors import MissingSessionMetaError, SessionNotFoundError
from rollout.home import StrPath, find_and_use, home_folder, home_of, locate
from rollout.interpret import (
    ActiveTurns,
    Fact,
    Interpreter,
    Prompt,
    RolledBack,
    TurnBegan,
    is_own_meta,
    meta_of_name,
    with_recovered_cwd,
)
from rollout.reading import LineReader, SkippedLine, base_of, inherited_lines, read_lines
from rollout.sessions._model_input import model_input

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

__all__ = ["History", "Turn", "load_history"]


@frozen
class Turn:
    """
    One turn: a message of the user, and everything up to the next one.

    Attributes:
        prompt: Request of the user, without what Codex or an editor adds; None if the turn began without a prompt.
        lines: All lines of the turn.
        turn_id: Id of the turn, in sessions of 2026.
        is_rolled_back: Whether the turn was rolled back; it is then no longer part of the history.
    """

    prompt: str | None
    lines: tuple[RolloutLine, ...] = field(repr=lambda lines: f"<{len(lines)} lines>")
    turn_id: str | None = None
    is_rolled_back: bool = False


@frozen
class History:
    """
    The contents of a session's file.

    Attributes:
        path: Path of the file.
        session_id: Id in the first session_meta. This id, not the file name, identifies the session. If this line
            cannot be read, the id in the file name.
        meta: First session_meta. In files before 0.32 its *cwd* comes from the first environment context. If this line
            cannot be read, it has only the values in the file name.
        lines: All readable lines.
        skipped: Lines that could not be read, with the reasons.
        inherited: Lines before *lines*, from the session from which Codex forked this session by reference.
        missing_base: Id of that session if its file is missing; *inherited* is then empty.
        numbers: Number of each line in the file, from 1.
    """

    path: Path
    session_id: str
    meta: schema.SessionMeta
    lines: tuple[RolloutLine, ...] = field(repr=lambda lines: f"<{len(lines)} lines>")
    skipped: tuple[SkippedLine, ...] = ()
    inherited: tuple[RolloutLine, ...] = field(default=(), repr=lambda lines: f"<{len(lines)} lines>")
    missing_base: str | None = None
    numbers: Sequence[int] = field(default=(), repr=False)

    @property
    def items(self) -> tuple[schema.RolloutItem, ...]:
        """Typed items of all lines, built at every access."""
        return tuple(line.item for line in self.lines)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All turns in order, including rolled back and inherited ones."""
        return tuple(_turns(self.inherited, self.lines))

    def numbered(self) -> Iterator[tuple[str, RolloutLine]]:
        """
        Yield each line with its key in the document: its number in the file; ``b1``, ``b2`` for inherited lines.
        """
        yield from ((f"b{number}", line) for number, line in enumerate(self.inherited, 1))
        yield from ((str(number), line) for number, line in zip(self.numbers, self.lines, strict=True))

    def document(self) -> Document:
        """
        Return the session as a document for readers: turns, calls with their outputs, each text once.
        """
        builder = DocumentBuilder(self.path)
        for number, line in enumerate(self.inherited, 1):
            builder.add(line, number, is_inherited=True)
        skipped = deque(self.skipped)
        for number, line in zip(self.numbers, self.lines, strict=True):
            while skipped and skipped[0].lineno < number:
                builder.add_unreadable(skipped.popleft())
            builder.add(line, number)
        for unreadable in skipped:
            builder.add_unreadable(unreadable)
        document = builder.document
        assert document is not None  # noqa: S101 -- a history has a session_meta
        document.missing_base = self.missing_base
        return document

    def to_dataframe(self) -> pd.DataFrame:
        """
        Return a pandas table of the session's document, one row for each item, in order.

        Returns:
            A table whose columns have the same dtypes if it is empty. Unknown values are missing (``<NA>``, ``NaT``,
            NaN), as are values that do not apply: the exit code of a message, the output of a call without output.

            * *key* (string): number of the item's first line in the file; ``b12`` for an inherited line.
            * *turn* (Int64): number of the turn, from 1; 0 before the first prompt.
            * *kind* (string): user, agent, call, or another of `rollout.document.ITEM_KINDS`.
            * *title*, *tool* (string): kind of a notice or error; name of the called tool.
            * *timestamp* (datetime64[us, UTC]): time of the first line.
            * *gap_seconds* (float64): seconds since the previous item.
            * *duration_seconds* (float64): measured seconds of a call, otherwise seconds until its output.
            * *exit_code* (Int64), *is_failed* (boolean): result of a call with an output.
            * *text*, *output* (string): text of the item, or input of the tool; output of the tool.
            * *characters*, *images*, *lines* (Int64): number of characters of text and output, of images, and of lines
              in the file.
            * *total_tokens* (Int64): tokens that the session had used when the item was recorded.
            * *model* (string): model of the turn.
            * *is_rolled_back*, *is_inherited* (boolean): whether the turn was rolled back; whether it is from another
              session.

        Raises:
            ModuleNotFoundError: The extra ``pandas`` is not installed.
        """
        from rollout.document import document_frame  # noqa: PLC0415 -- an extra

        return document_frame(self.document())

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        from rollout.notebook import history_bundle  # noqa: PLC0415 -- for notebooks

        return history_bundle(self.document())

    def to_input(self, *, for_api: bool = False) -> list[dict[str, Any]]:
        """
        Return the response items to send to a model to continue the session, as Codex 0.169.0 sends them.

        Rolled back turns are left out, with the messages that Codex wrote directly before their prompts. A compaction
        replaces the items before it with its *replacement_history*, otherwise with the user's prompts and the summary.
        A call without an output gets the output "aborted", and an output without a call is left out, because services
        refuse both. Messages with the role system are kept, which Codex does not send: agents of other programs need
        them.

        Args:
            for_api: Whether to leave out what OpenAI's public Responses API refuses: fields of Codex and of other
                services, their ids, types that only Codex has (messages between agents among them), and reasoning
                that OpenAI has neither encrypted nor stored.
        """
        return model_input(self.inherited, self.lines, for_api=for_api)


def load_history(path_or_id: StrPath, *, home: StrPath | None = None) -> History:
    """
    Load a session. Blocks; the whole session is in memory. Needs no lock. Unreadable lines are skipped and counted.

    Args:
        path_or_id: Path of the file (plain or ``.jsonl.zst``), or the session's id or the beginning of the id.
        home: The home in which to find an id; by default ``CODEX_HOME``, else ``~/.codex``.

    Raises:
        SessionNotFoundError: No session has this id.
        AmbiguousSessionError: Several ids have this beginning.
        MissingSessionMetaError: The file has no readable line; or it has no session_meta, and its name is not that of a
            rollout.
        OSError: The file cannot be read.
        ModuleNotFoundError: The file is compressed and the extra ``zstd`` is not installed.
    """
    return history_of(find_and_use(lambda: locate(path_or_id, home), read_lines), home)


def history_of(reader: LineReader, home: StrPath | None = None) -> History:
    """
    Load a session from a reader of its file, as `load_history` does.
    """
    path = reader.path
    numbers = array("Q")
    lines = tuple(_numbered(reader, numbers))
    meta = _meta_in(lines, path, is_cut=bool(lines and reader.skipped) and reader.skipped[0].lineno < numbers[0])
    if meta is None or not lines:
        raise MissingSessionMetaError(path, "no session_meta" if lines or reader.skipped else "empty session file")
    base, missing_base = _load_inherited(lines, home_of(path) or home_folder(home))
    meta = with_recovered_cwd(meta, lines)
    return History(path, meta.id, meta, lines, tuple(reader.skipped), base, missing_base, numbers)


def _meta_in(lines: Sequence[RolloutLine], path: Path, *, is_cut: bool) -> schema.SessionMeta | None:
    """
    Return the meta of a session; only with the values in the file's name if its own cannot be read.

    Args:
        lines: The readable lines of the session.
        path: The file.
        is_cut: Whether a line before them cannot be read.
    """
    for number, line in enumerate(lines):
        meta = line.item if line.type == "session_meta" else None
        if isinstance(meta, schema.SessionMeta):
            return meta if is_own_meta(meta.id, path, is_first=not (number or is_cut)) else meta_of_name(path)
    return meta_of_name(path)


def _numbered(reader: LineReader, numbers: array[int]) -> Iterator[RolloutLine]:
    for line in reader:
        numbers.append(reader.lineno)
        yield line


def _load_inherited(lines: Sequence[RolloutLine], home: Path) -> tuple[tuple[RolloutLine, ...], str | None]:
    meta: dict[str, Any] = next((line.payload for line in lines if line.type == "session_meta"), {})
    try:
        return tuple(inherited_lines(meta, home)), None
    except (SessionNotFoundError, OSError, ImportError):
        return (), base_of(meta)


@attrs.define
class _OpenTurn:
    lines: list[RolloutLine] = field(factory=list)
    prompt: str | None = None
    turn_id: str | None = None
    is_rolled_back: bool = False


def _turns(inherited: Sequence[RolloutLine], lines: Sequence[RolloutLine]) -> Iterator[Turn]:
    turns: list[_OpenTurn] = []
    standing: ActiveTurns[_OpenTurn] = ActiveTurns()
    first_prompt: str | None = None
    for line, facts in _read((inherited, lines)):
        prompt = None
        for fact in facts:
            if isinstance(fact, TurnBegan):
                turns.append(_OpenTurn(turn_id=fact.turn_id))
            elif isinstance(fact, Prompt):
                prompt = prompt or fact.text
                if fact.source == "history":
                    first_prompt, prompt = first_prompt or fact.text, None
        if turns:
            turns[-1].lines.append(line)
            if prompt is not None:
                turns[-1].prompt = turns[-1].prompt or prompt
                standing.add(turns[-1])
        for fact in facts:
            if isinstance(fact, RolledBack):
                standing.roll_back(fact.count)
    if turns and turns[0].prompt is None:
        # The prompt of the first turn was replaced by the compaction with which the file begins.
        turns[0].prompt = first_prompt
    for turn in turns:
        yield Turn(turn.prompt, tuple(turn.lines), turn.turn_id, turn.is_rolled_back)


def _read(parts: Iterable[Sequence[RolloutLine]]) -> Iterator[tuple[RolloutLine, Sequence[Fact]]]:
    for lines in parts:
        interpreter = Interpreter(has_texts=False)
        for line in lines:
            yield line, interpreter.feed(line)
