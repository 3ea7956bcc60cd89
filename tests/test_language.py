"""
Check the language of the package: how docstrings begin, and which words appear nowhere.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "rollout"


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The verbs that docstrings of functions begin with. Add a verb only if every programmer knows its meaning.
VERBS = words(
    """
    abort accept acknowledge acquire add advance allow answer append apply archive ask assert assign attach begin bind
    block break build cache calculate call cancel catch change check choose classify clean clear close collect combine
    commit compare compile complete compress compute configure confirm connect construct consume continue convert copy
    correct count cover create cut decide declare decode decompress define delay delete deliver derive describe detect
    determine disable discard disconnect display divide draw drop dump emit empty enable encode end enqueue ensure
    enter enumerate escape evaluate exclude execute exit expand explain export extend extract fetch fill filter find
    finish flush fold follow forget fork format free generate get group guard handle hash hide highlight hold identify
    ignore import include increase index inform initialize insert inspect install interrupt invalidate iterate join
    keep label leave limit link list listen load locate lock log look make map mark match measure merge move name
    normalize note notify number omit open order parse pass pause perform place plot point pop prefer prepare present
    prevent print process produce protect provide publish put queue quote raise read rebuild receive record recover
    redact redirect reduce refresh refuse register reject release remove rename render reopen repair repeat replace
    report request require reserve reset resolve restore resume retry return reuse reverse rewrite roll run sanitize
    save scan schedule score seal search select send serialize serve set shorten show shut skip sort split start stop
    store stream strip structure subtract sum swap switch sync synchronize tag take test tokenize track translate trim
    truncate try turn unarchive undo unlock unregister update use validate verify visit wait wake walk warn watch wrap
    write yield
    """
)
FORBIDDEN_VERBS = words("give gives giving given gave say says saying said let lets letting")
# Words of closed classes that begin neither an order nor a noun phrase; `Whether` begins the docstring of a boolean.
NO_NOUN_PHRASE = words(
    """
    what whatever which whichever who whoever whom whose where wherever when whenever why how however
    if unless until while because since although though so as than
    it its he his she they their we you there that here
    anybody anyone anything everybody everyone everything nobody nothing somebody someone something none
    is are was were be been may might can could shall should will would must do does did has have had
    at by for from in into of off on onto out over to up with without after before during about not
    """
)
FORBIDDEN_WORDS = re.compile(r"\b(nobody|whoever|who +waits|anybody|somebody)\b", re.IGNORECASE)
# What stands between two words of a phrase that continues on the next line.
JOINTS = re.compile(r"[\s#\"'/*]")


def is_property(node: ast.AST) -> bool:
    names = {ast.unparse(decorator).rpartition(".")[2] for decorator in getattr(node, "decorator_list", [])}
    return bool(names & {"property", "cached_property"})


def begins_well(node: ast.AST, docstring: str) -> bool:
    """
    Return whether a docstring begins well: a function's with an allowed verb, any other with a noun phrase or a verb.
    """
    word = re.split(r"[^\w'-]", docstring.strip("`*\"' "), maxsplit=1)[0].lower()
    if word in FORBIDDEN_VERBS:
        return False
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not is_property(node):
        return word in VERBS
    return word not in NO_NOUN_PHRASE


def docstrings(source: str) -> Iterator[tuple[ast.AST, int, str]]:
    """
    Yield each module, class and function that has a docstring, with its line and the docstring.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node)
            if docstring is not None:
                yield node, getattr(node, "lineno", 1), docstring


def test_every_docstring_begins_with_a_standard_verb_or_a_noun_phrase() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE.parent)}:{line}: {docstring.partition(chr(10))[0]}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for node, line, docstring in docstrings(path.read_text())
        if not begins_well(node, docstring)
    ]

    assert wrong == []


def test_no_text_of_the_package_contains_a_forbidden_word() -> None:
    wrong = []
    for path in sorted(path for suffix in ("py", "js", "html", "css") for path in PACKAGE.rglob(f"*.{suffix}")):
        # The whole source: docstrings, comments, messages and help.
        source = path.read_text()
        wrong.extend(
            f"{path.relative_to(PACKAGE.parent)}:{source[: match.start()].count(chr(10)) + 1}: {match[0]}"
            for match in FORBIDDEN_WORDS.finditer(re.sub(JOINTS, " ", source))
        )

    assert wrong == []


@pytest.mark.parametrize(
    ("source", "is_good"),
    [
        ("def f():\n '''Return the lines.'''", True),
        ("def f():\n '''Give the lines.'''", False),
        ("def f():\n '''Says that it waits.'''", False),
        ("def f():\n '''Let it go on.'''", False),
        ("def f():\n '''The lines.'''", False),
        ("def f():\n '''Returns the lines.'''", False),
        ("class A:\n @property\n def f(self):\n  '''The lines.'''", True),
        ("class A:\n @functools.cached_property\n def f(self):\n  '''What the lines are.'''", False),
        ("class A:\n '''Writer of lines.'''", True),
        ("class A:\n '''It makes lines.'''", False),
        ("'''What a line means.'''", False),
        ("'''Lines of a session.'''", True),
    ],
)
def test_the_beginning_of_a_docstring_is_checked(source: str, is_good: bool) -> None:
    assert [begins_well(node, docstring) for node, _, docstring in docstrings(source)] == [is_good]


@pytest.mark.parametrize("text", ["as nobody reads", "for Whoever asks", "one who\n    # waits", "somebody's"])
def test_a_forbidden_word_is_found(text: str) -> None:
    assert FORBIDDEN_WORDS.search(re.sub(JOINTS, " ", text))
