"""
Facts about a session, its turns and its calls, as texts of one line. All displays and exports use them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rollout._text import duration_text, moment_text, one_line, pluralize
from rollout.document._model import Call, Document, Turn
from rollout.stats import SessionStats

__all__ = ["call_facts", "session_facts", "turn_facts", "usage_facts"]


def session_facts(document: Document) -> Iterator[tuple[str, list[str]]]:
    """
    Yield the facts about a session that are known before its first turn: names, each with one or more values.
    """
    meta, git = document.meta, document.meta.git
    facts: dict[str, list[Any]] = {
        "id": [document.session_id],
        "started": [moment_text(meta.timestamp)],
        "folder": [meta.cwd],
        "git": [git.branch, git.commit_hash and str(git.commit_hash)[:10], git.repository_url] if git else [],
        "model": [*dict.fromkeys(turn.model for turn in document.turns if turn.model)],
        "recorded by": [meta.originator, meta.cli_version],
        "forked from": [meta.forked_from_id],
        "file": [str(document.path)],
    }
    for name, values in facts.items():
        # A file that is damaged, or was written by a later version of Codex, may have any value in these fields.
        texts = [value for value in values if isinstance(value, str) and value.strip()]
        if texts:
            yield name, texts


def usage_facts(stats: SessionStats) -> list[str]:
    """
    Return the resources that a session used: turns, time, calls, tokens.
    """
    failures = f", {stats.failures:,} failed" if stats.failures else ""
    facts = [pluralize(stats.turns, "turn")]
    facts += [duration_text(stats.duration)] if stats.duration else []
    facts += [f"{pluralize(stats.calls, 'call')}{failures}"] if stats.calls else []
    facts += [f"{stats.tokens.total_tokens:,} tokens"] if stats.tokens and stats.tokens.total_tokens else []
    return facts


def turn_facts(turn: Turn, *, is_over: bool = True) -> list[str]:
    """
    Return the facts about a turn: duration, tokens, model, status. If it is not over, return only facts that are final.
    """
    facts = []
    if is_over:
        facts += [duration_text(turn.duration)] if turn.duration else []
        facts += [f"{turn.tokens.total_tokens:,} tokens"] if turn.tokens and turn.tokens.total_tokens else []
    facts += [one_line(turn.model)] if turn.model else []
    facts += [one_line(turn.status)] if is_over and turn.status not in (None, "completed") else []
    facts += ["rolled back"] if turn.is_rolled_back else []
    facts += ["inherited"] if turn.is_inherited else []
    return [fact for fact in facts if fact]


def call_facts(call: Call) -> list[str]:
    """
    Return the outcome of a call: its exit code, or the reason why it failed, and its duration.
    """
    facts = [f"exit code {call.exit_code}"] if call.exit_code is not None else []
    if call.is_failed and not call.exit_code:
        facts += ["failed" if call.failure in ("", "error") else one_line(call.failure)]
    return [*facts, duration_text(call.seconds)] if call.seconds else facts
