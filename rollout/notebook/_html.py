"""
HTML for notebooks: elements that load nothing and run nothing, with a style that changes nothing else in the notebook.

Colors and fonts are those of the notebook, light or dark. Recorded text is truncated, then its control characters are
escaped, then it is escaped as HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from rollout._text import escape_control_chars, one_line, pluralize, size_text
from rollout.document import call_facts, turn_facts
from rollout.interpret import title_of

if TYPE_CHECKING:
    from rollout.document import Call, Item, Turn

__all__ = [
    "SIZE_MAX",
    "cut_line",
    "facts_list",
    "facts_text",
    "join_facts",
    "note",
    "page",
    "table",
    "turn_line",
    "turn_title",
    "turns_list",
]

SIZE_MAX = 200_000
"""Maximum size of the HTML of one object, in bytes."""

# Maximum numbers of characters: of the beginning and of the end of a text, and of a text in one line.
_HEAD, _TAIL, _LINE = 1600, 400, 240
_STEPS_MAX = 50
# Kinds of items that have their own style.
_MARKED = ("user", "agent", "reasoning")
# Bytes for the note on the items of a turn that are left out.
_NOTE_SIZE = 400
_MARKS = {"completed": "✓", "in_progress": "▸"}

# A notebook has its own rules for tables; a class that is repeated three times takes precedence over these rules.
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
    Return the parts as one element with its style.
    """
    return f'{_STYLE}<div class="rollout-view">{"".join(parts)}</div>'


def cut_line(text: str, size: int = _LINE) -> str:
    """
    Return the beginning of a text in one line, with control characters escaped; not yet escaped as HTML.
    """
    line = one_line(text[: 4 * size])
    return line if len(line) <= size and len(text) <= 4 * size else f"{line[: size - 1]}…"


def join_facts(facts: Mapping[str, Iterable[object]]) -> Iterator[tuple[str, str]]:
    """
    Yield the name and the joined values of each fact that has values. Values that are not strings are left out: a
    damaged file may contain values of any type.
    """
    for name, values in facts.items():
        text = " · ".join(cut_line(value) for value in values if isinstance(value, str) and value)
        if text:
            yield name, text


def facts_text(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """
    Return a title and the facts as plain text, one per line.
    """
    return "\n".join([cut_line(title), *(f"{name:<12}  {cut_line(text)}" for name, text in facts)])


def facts_list(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """
    Return a title and the facts as HTML.
    """
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(cut_line(text))}</td></tr>" for name, text in facts)
    return f'<div class="rv-title">{escape(cut_line(title))}</div><table class="rv-facts">{rows}</table>'


def note(text: str) -> str:
    """
    Return a note about the shown contents.
    """
    return f'<p class="rv-note">{escape(text)}</p>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """
    Return a table. The columns in *numbers* are aligned to the right.
    """
    marks = [' class="rv-number"' if column in numbers else "" for column in range(len(heads))]
    head = "".join(f"<th{mark}>{escape(text)}</th>" for mark, text in zip(marks, heads, strict=True))
    body = "".join(f"<tr>{_cells(marks, row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(marks: Sequence[str], row: Sequence[str]) -> str:
    return "".join(f"<td{mark}>{escape(cut_line(text))}</td>" for mark, text in zip(marks, row, strict=True))


def turn_title(turn: Turn) -> str:
    """
    Return the first words of a turn in one line, not yet escaped as HTML.
    """
    if turn.prompt is None:
        return "before the first prompt" if turn.number == 0 else "no prompt"
    return cut_line(title_of(turn.prompt), 160)


def turn_line(turn: Turn) -> str:
    """
    Return facts about a turn in one line, not yet escaped as HTML.
    """
    return cut_line(", ".join([pluralize(len(turn.items), "item"), *turn_facts(turn)]))


def turns_list(turns: Sequence[Turn | str], size: int) -> Iterator[str]:
    """
    Yield the HTML of turns, each opened by a click. Items that do not fit into *size* bytes are counted.

    Args:
        turns: Turns, and texts that are shown as notes between them.
        size: Maximum size in bytes.
    """
    heads = [note(turn) if isinstance(turn, str) else _turn_head(turn) for turn in turns]
    left = size - sum(len(head.encode()) + _NOTE_SIZE for head in heads)
    for number, (head, turn) in enumerate(zip(heads, turns, strict=True)):
        yield head
        if not isinstance(turn, str):
            # This turn and those after it share the bytes that the turns before have left.
            body = _turn_body(turn, max(left, 0) // (len(turns) - number))
            left -= len(body.encode())
            yield f"{body}</details>"


def _turn_head(turn: Turn) -> str:
    title, facts = escape(turn_title(turn)), escape(turn_line(turn))
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
    notes = [f"{pluralize(left_out, 'more item')} not shown here because of their size"] if left_out else []
    notes += [f"{pluralize(others, 'line')} of settings and counters"] if others else []
    return "".join(body) + (note("; ".join(notes)) if notes else "")


def _item(item: Item) -> str:
    call = item.call
    is_failed = (call is not None and call.is_failed) or item.kind == "error"
    mark = "rv-failed" if is_failed else f"rv-{item.kind}" if item.kind in _MARKED else "rv-other"
    head = " · ".join(filter(None, _item_words(item)))
    body = [] if item.kind == "context" else [_text(item.text, is_code=item.kind in ("other", "unreadable"))]
    if item.kind == "context":
        head += f" · {pluralize(len(item.text), 'character')}"
    body += _steps(item) + (_call(call) if call else [])
    body += [note(f"an image, {size_text(len(image.source))} as text") for image in item.images[:_STEPS_MAX]]
    return f'<div class="rv-item {mark}"><div class="rv-more">{escape(head)}</div>{"".join(body)}</div>'


def _item_words(item: Item) -> Iterator[str]:
    call = item.call
    yield cut_line(call.tool if call else item.kind, 80)
    yield cut_line(item.title, 80)
    if call is not None:
        yield from call_facts(call)
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
        left_out = pluralize(len(text) - _HEAD - _TAIL, "character")
        parts = [text[:_HEAD], f"\n… {left_out} not shown here …\n", text[-_TAIL:]]
    mark = ' class="rv-code"' if is_code else ""
    return f"<pre{mark}>{escape(''.join(map(escape_control_chars, parts)))}</pre>"
