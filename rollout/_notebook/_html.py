"""
What a notebook shows as HTML: pieces that load nothing, run nothing, and whose style says nothing about a notebook.

Colours and fonts are those of the notebook, light or dark. Whatever was recorded is cut, then made harmless for a
screen, then escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from rollout._units import counted, duration_text, size_text
from rollout._visible import one_line, visible

if TYPE_CHECKING:
    from rollout.document import Call, Item, Turn

__all__ = ["SIZE_MAX", "cut_line", "facts_list", "note", "page", "table", "turn_facts", "turn_title", "turns_list"]

SIZE_MAX = 200_000
"""Bytes of HTML of one object, at most."""

# Characters: of a text its beginning and its end, of what stands in one line.
_HEAD, _TAIL, _LINE = 1600, 400, 240
_STEPS_MAX = 50
# Kinds of items that have a style.
_MARKED = ("user", "agent", "reasoning")
# Bytes for what is said of a turn that does not fit.
_NOTE_SIZE = 400
_MARKS = {"completed": "✓", "in_progress": "▸"}

# A notebook has rules of its own for tables; three times a class is more than those weigh.
_STYLE = """\
<style>
& { max-width: 64em; margin: .3em 0; line-height: 1.45; overflow-wrap: anywhere; text-align: left; }
& .rv-title { font-size: 1.1em; font-weight: 600; margin: .1em 0 .35em; }
& details { border-top: 1px solid rgba(128, 128, 128, .3); }
& summary { cursor: pointer; padding: .35em .2em; }
& summary:hover { background: rgba(128, 128, 128, .1); }
& .rv-more, & .rv-note, & th { opacity: .7; font-size: .92em; font-weight: 400; }
& .rv-note { margin: .5em .2em; }
& .rv-item { margin: .5em .2em .7em 1.2em; padding-left: .8em; border-left: 3px solid rgba(128, 128, 128, .3); }
& .rv-user { border-left-color: rgba(66, 133, 244, .8); }
& .rv-agent { border-left-color: rgba(52, 168, 120, .8); }
& .rv-failed { border-left-color: rgba(222, 84, 70, .9); }
& .rv-reasoning pre { font-style: italic; }
& pre { font: inherit; white-space: pre-wrap; overflow-wrap: anywhere; word-break: normal; margin: .15em 0; \
padding: 0; border: 0; background: none; color: inherit; }
& pre.rv-code { font: .88em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; max-height: 24em; \
overflow: auto; padding: .4em .6em; background: rgba(128, 128, 128, .1); border-radius: 4px; }
& table { border-collapse: collapse; table-layout: auto; margin: .2em 0 .5em; font-size: inherit; }
& tr { background: none; }
& th, & td { text-align: left; vertical-align: top; padding: .25em 1.2em .25em .2em; border: 0; \
white-space: normal; overflow-wrap: break-word; max-width: 34em; }
& td { border-top: 1px solid rgba(128, 128, 128, .3); }
& .rv-facts th { white-space: nowrap; }
& .rv-facts th, & .rv-facts td { border: 0; padding-top: 0; padding-bottom: .1em; overflow-wrap: anywhere; }
& .rv-number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
</style>
""".replace("&", "div.rollout-view.rollout-view.rollout-view")


def page(*parts: str) -> str:
    """
    Put parts together.
    """
    return f'{_STYLE}<div class="rollout-view">{"".join(parts)}</div>'


def cut_line(text: str, size: int = _LINE) -> str:
    """
    Give the beginning of a text in one line, harmless for a screen; not yet escaped.
    """
    line = one_line(text[: 4 * size])
    return line if len(line) <= size and len(text) <= 4 * size else f"{line[: size - 1]}…"


def facts_list(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """
    Give a title and what is known below it.
    """
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(cut_line(text))}</td></tr>" for name, text in facts)
    return f'<div class="rv-title">{escape(cut_line(title))}</div><table class="rv-facts">{rows}</table>'


def note(text: str) -> str:
    """
    Give a line that says something about what is shown.
    """
    return f'<p class="rv-note">{escape(text)}</p>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """
    Give a table; the columns in *numbers* are aligned as such.
    """
    marks = [' class="rv-number"' if column in numbers else "" for column in range(len(heads))]
    head = "".join(f"<th{mark}>{escape(text)}</th>" for mark, text in zip(marks, heads, strict=True))
    body = "".join(f"<tr>{_cells(marks, row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(marks: Sequence[str], row: Sequence[str]) -> str:
    return "".join(f"<td{mark}>{escape(cut_line(text))}</td>" for mark, text in zip(marks, row, strict=True))


def turn_title(turn: Turn) -> str:
    """
    Give the first words of a turn in one line, not yet escaped.
    """
    if turn.prompt is None:
        return "before the first prompt" if turn.number == 0 else "without a prompt"
    return cut_line(turn.prompt, 160)


def turn_facts(turn: Turn) -> str:
    """
    Give what is known of a turn in one line, not yet escaped.
    """
    found = [counted(len(turn.items), "item")]
    found += [duration_text(turn.duration)] if turn.duration else []
    found += [f"{turn.tokens.total_tokens:,} tokens"] if turn.tokens.total_tokens else []
    found += [turn.status] if turn.status not in (None, "completed") else []
    found += ["rolled back"] if turn.is_rolled_back else []
    found += ["inherited"] if turn.is_inherited else []
    return cut_line(", ".join(map(str, found)))


def turns_list(turns: Sequence[Turn | str], size: int) -> Iterator[str]:
    """
    Give turns that open at a click, in no more than *size* bytes: what does not fit is counted.

    Args:
        turns: The turns; a text among them is a note.
        size: Bytes.
    """
    heads = [note(turn) if isinstance(turn, str) else _turn_head(turn) for turn in turns]
    left = size - sum(len(head.encode()) + _NOTE_SIZE for head in heads)
    for number, (head, turn) in enumerate(zip(heads, turns, strict=True)):
        yield head
        if not isinstance(turn, str):
            # What the turns before did not take is there for this one and those behind it.
            body = _turn_body(turn, max(left, 0) // (len(turns) - number))
            left -= len(body.encode())
            yield f"{body}</details>"


def _turn_head(turn: Turn) -> str:
    title, facts = escape(turn_title(turn)), escape(turn_facts(turn))
    return f'<details><summary>{turn.number} · {title} <span class="rv-more">· {facts}</span></summary>'


def _turn_body(turn: Turn, size: int) -> str:
    body: list[str] = []
    for item in turn.items:
        text = _item(item)
        size -= len(text.encode())
        if size < 0:
            break
        body.append(text)
    left_out = len(turn.items) - len(body)
    others = sum(map(len, turn.others.values()))
    says = [f"{counted(left_out, 'more item')} not shown here, for their size"] if left_out else []
    says += [f"{counted(others, 'line')} of settings and counters"] if others else []
    return "".join(body) + (note("; ".join(says)) if says else "")


def _item(item: Item) -> str:
    call = item.call
    is_failed = (call is not None and call.is_failed) or item.kind == "error"
    mark = "rv-failed" if is_failed else f"rv-{item.kind}" if item.kind in _MARKED else "rv-other"
    head = " · ".join(filter(None, _item_words(item)))
    body = [] if item.kind == "context" else [_text(item.text, is_code=item.kind in ("other", "unreadable"))]
    if item.kind == "context":
        head += f" · {counted(len(item.text), 'character')}"
    body += _steps(item) + (_call(call) if call else [])
    body += [note(f"an image, {size_text(len(image.source))} as text") for image in item.images[:_STEPS_MAX]]
    return f'<div class="rv-item {mark}"><div class="rv-more">{escape(head)}</div>{"".join(body)}</div>'


def _item_words(item: Item) -> Iterator[str]:
    call = item.call
    yield cut_line(call.tool if call else item.kind, 80)
    yield cut_line(item.title, 80)
    if call is not None:
        taken = call.elapsed if call.duration is None else call.duration
        yield f"exit code {call.exit_code}" if call.exit_code is not None else "failed" if call.is_failed else ""
        yield duration_text(taken) if taken else ""
    yield f"line {cut_line(item.key, 80)}"


def _call(call: Call) -> list[str]:
    found = [_text(call.input, is_code=True)]
    for change in call.changes[:_STEPS_MAX]:
        more, less = change.counts
        found.append(note(f"{cut_line(change.kind, 20)} {cut_line(change.path)}: +{more:,} -{less:,}"))
    return [*found, _text(call.output or "", is_code=True)]


def _steps(item: Item) -> list[str]:
    steps = [f"{_MARKS.get(step.status, '○')} {cut_line(step.text)}" for step in item.plan[:_STEPS_MAX]]
    return [_text("\n".join(steps), is_code=False)] if steps else []


def _text(text: str, *, is_code: bool) -> str:
    if not text.strip():
        return ""
    parts = [text]
    if len(text) > _HEAD + _TAIL:
        left_out = counted(len(text) - _HEAD - _TAIL, "character")
        parts = [text[:_HEAD], f"\n… {left_out} not shown here …\n", text[-_TAIL:]]
    mark = ' class="rv-code"' if is_code else ""
    return f"<pre{mark}>{escape(''.join(map(visible, parts)))}</pre>"
