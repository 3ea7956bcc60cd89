"""
Words in every script: what a text looks like before FTS5 splits it into words.

FTS5 ends a word at a space or punctuation. In Chinese, Japanese, Thai and other scripts without spaces between words,
it would take a whole sentence as one word; Korean adds particles to words. So each character of these scripts is a word
here, and a word of such a script is found as a phrase of its characters. In an index, which has no positions, each pair
of neighbors is a word instead.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from operator import add
from typing import NamedTuple
from unicodedata import is_normalized, normalize

__all__ = [
    "GAP",
    "MARKS",
    "SYMBOLS",
    "has_unspaced",
    "indexed_pairs",
    "indexed_text",
    "places_of_split",
    "split_text",
    "whole_end",
]

GAP = "\uf8d0\uf8d1"
"""Word after each run of characters without spaces: without it, a phrase would continue in the next run."""

# Characters of scripts without spaces between words, with their marks and digits, but without punctuation.
_UNSPACED = (
    # Thai, Lao, Burmese (with its extensions), Khmer, Tai Le, New Tai Lue, Buginese, Tai Tham, Tai Viet
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e50-\u0e59\u0e81-\u0ede\u1000-\u1049\u1050-\u109d\ua9e0-\ua9fe\uaa60-\uaa76\uaa7a-\uaa7f"
    "\u1780-\u17d3\u17d7\u17dc\u17dd\u17e0-\u17e9\u1950-\u1974\u1980-\u19d9\u1a00-\u1a1b\u1a20-\u1a7c\u1a80-\u1a99\u1aa7"
    "\uaa80-\uaadd"
    # Balinese, Javanese
    "\u1b00-\u1b4c\u1b50-\u1b59\ua980-\ua9c0\ua9cf-\ua9d9"
    # Korean: letters, syllables, half-width letters
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7c6\ud7cb-\ud7fb\uffa0-\uffbe\uffc2-\uffc7\uffca-\uffcf"
    "\uffd2-\uffd7\uffda-\uffdc"
    # Hiragana, Katakana (also half-width), Bopomofo
    "\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f\u3105-\u312f\u31a0-\u31bf"
    # Chinese characters, Yi
    "\u2f00-\u2fd5\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufad9"
    "\ua000-\ua48c"
)
# The same above U+FFFF: cuneiform, hieroglyphs, Tangut, Khitan, rare Kana, Nushu, rare Chinese characters.
_UNSPACED_ABOVE = (
    "\U00012000-\U0001246e\U00013000-\U0001342f\U00017000-\U00018d08\U0001aff0-\U0001b16f\U0001b170-\U0001b2fb"
    "\U00020000-\U0003fffd"
)
# Marks that are accents: a search ignores them, as FTS5 ignores those of Latin letters.
_ACCENTS = (
    "\u0332-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-"
    "\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0711\u0730-\u074a\u07eb-\u07f3\u07fd\u0816-\u0819\u081b-\u0823\u0825-\u0827"
    "\u0829-\u082d\u0859-\u085b\u0898-\u089f\u08ca-\u08e1\u08e3-\u08ff\u1ab0-\u1ace\u1dc0-\u1dff\ufe20-\ufe2f"
)
# Other characters with more than one spelling: letters of Hebrew, Arabic and of India, Tibetan, forms for presentation,
# full-width digits and letters.
_SPELLED = (
    "\u05d0-\u05ea\u0620-\u064a\u0671-\u06d3\u0900-\u0963\u0966-\u0df3\u0f40-\u0fbc\ufb1d-\ufb4f\ufb50-\ufbb1\ufbd3-\ufd3d"
    "\ufd50-\ufdfb\ufe70-\ufefc\uff10-\uff19\uff21-\uff3a\uff41-\uff5a"
)
# Characters without a width between those of a script without spaces: places for a line break, variants of a character.
_INVISIBLE = "\u00ad\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef"
# Characters of all other scripts, and the same without the invisible ones. The first ranges are the most frequent.
_PLAIN = "\0-\u0331\u1e00-\u2eff\u0370-\u0482\u048a-\u058f\ue000-\uf8ff\ufe00-\ufe1f\U0001e000-\U0001ffff"
_PLAIN_VISIBLE = (
    "\0-\u00ac\u00ae-\u0331\u1e00-\u200a\u200e-\u205f\u2061-\u2eff\u0370-\u0482\u048a-\u058f\ue000-\uf8ff\ufe10-\ufe1f"
    "\U0001e000-\U0001ffff"
)
# Marks that are a part of their word, such as vowels. Without them in its list, FTS5 ends a word before each.
_MARKS = (
    "07a6-07b0 0900-0903 093a-093c 093e-094f 0951-0957 0962-0963 0981-0983 09bc 09be-09c4 09c7-09c8 09cb-09cd 09d7"
    " 09e2-09e3 09fe 0a01-0a03 0a3c 0a3e-0a42 0a47-0a48 0a4b-0a4d 0a51 0a70-0a71 0a75 0a81-0a83 0abc 0abe-0ac5"
    " 0ac7-0ac9 0acb-0acd 0ae2-0ae3 0afa-0aff 0b01-0b03 0b3c 0b3e-0b44 0b47-0b48 0b4b-0b4d 0b55-0b57 0b62-0b63 0b82"
    " 0bbe-0bc2 0bc6-0bc8 0bca-0bcd 0bd7 0c00-0c04 0c3c 0c3e-0c44 0c46-0c48 0c4a-0c4d 0c55-0c56 0c62-0c63 0c81-0c83"
    " 0cbc 0cbe-0cc4 0cc6-0cc8 0cca-0ccd 0cd5-0cd6 0ce2-0ce3 0cf3 0d00-0d03 0d3b-0d3c 0d3e-0d44 0d46-0d48 0d4a-0d4d"
    " 0d57 0d62-0d63 0d81-0d83 0dca 0dcf-0dd4 0dd6 0dd8-0ddf 0df2-0df3 0e31 0e34-0e3a 0e47-0e4e 0eb1 0eb4-0ebc"
    " 0ec8-0ece 0f18-0f19 0f35 0f37 0f39 0f3e-0f3f 0f71-0f84 0f86-0f87 0f8d-0f97 0f99-0fbc 0fc6 102b-103e 1056-1059"
    " 105e-1060 1062-1064 1067-106d 1071-1074 1082-108d 108f 109a-109d 135d-135f 1712-1715 1732-1734 1752-1753"
    " 1772-1773 17b4-17d3 17dd 1885-1886 18a9 1920-192b 1930-193b 19b0-19c0 19c8-19c9 1a17-1a1b 1a55-1a5e 1a60-1a7c"
    " 1b00-1b04 1b34-1b44 1b80-1b82 1ba1-1bad 1be6-1bf3 1c24-1c37 302a-302f 3099-309a a802 a806 a80b a823-a827 a82c"
    " a880-a881 a8b4-a8c5 a8e0-a8f1 a8ff a926-a92d a947-a953 a980-a983 a9b3-a9c0 a9e5 aa29-aa36 aa43 aa4c-aa4d"
    " aa7b-aa7d aab0 aab2-aab4 aab7-aab8 aabe-aabf aac1 aaeb-aaef aaf5-aaf6 abe3-abea abec-abed 10d24-10d27"
    " 11100-11102 11127-11134 11145-11146 1e944-1e94a"
)
# Symbols, punctuation and emoji since Unicode 6.1, whose table FTS5 has: it takes them as letters, so that "Done" would
# not be found in "Done" with a robot after it. Emoji have a place for those of later versions of Unicode.
_SYMBOLS = (
    "20ba-20c0 218a-218b 23f4-23ff 2700 2b4d-2b4f 2b5a-2b73 2b76-2b95 2b97-2bff 2e3c-2e5d 2ffc-2fff 31ef 32ff 1f0bf"
    " 1f0e0-1f0f5 1f10d-1f10f 1f12f 1f16c-1f16f 1f19b-1f1ad 1f23b 1f260-1f265 1f321-1f32f 1f336 1f37d-1f37f 1f394-1f39f"
    " 1f3c5 1f3cb-1f3df 1f3f1-1f3ff 1f43f 1f441 1f4f8 1f4fd-1f4ff 1f53e-1f53f 1f544-1f54f 1f568-1f5fa 1f641-1f644"
    " 1f650-1f67f 1f6c6-1f6ff 1f774-1fbef"
)


def _characters(ranges: str) -> str:
    bounds = (each.partition("-") for each in ranges.split())
    return "".join(chr(code) for first, _, last in bounds for code in range(int(first, 16), int(last or first, 16) + 1))


MARKS = _characters(_MARKS)
"""Marks that FTS5 is told to take as letters."""

SYMBOLS = _characters(_SYMBOLS)
"""Symbols that FTS5 is told not to take as letters."""

# A character with its marks, and the letters of a Korean syllable after its first.
_JOINED = f"\u0300-\u0331{_ACCENTS}{MARKS}\u1160-\u11ff\ud7b0-\ud7fb\uff9e\uff9f"


class _Patterns:
    """
    The patterns, each compiled at its first use: it takes milliseconds, and a list of sessions uses none.
    """

    @cached_property
    def run(self) -> re.Pattern[str]:
        """A run of characters without spaces between words (group 1), or of others with more than one spelling."""
        unspaced = _UNSPACED + _UNSPACED_ABOVE
        return re.compile(f"([{unspaced}][{unspaced}{_INVISIBLE}]*)|[{_ACCENTS}{_SPELLED}]+")

    @cached_property
    def part(self) -> re.Pattern[str]:
        """A part of a text that may have runs. To look for it takes 3 ns for each character, for a run 60 ns."""
        return re.compile(f"[^{_PLAIN}][^{_PLAIN_VISIBLE}]*")

    @cached_property
    def cluster(self) -> re.Pattern[str]:
        """A character with its marks, which has its own spelling."""
        return re.compile(f".[{_JOINED}]*", re.DOTALL)

    @cached_property
    def marks(self) -> re.Pattern[str]:
        """Marks after a character, if there are any."""
        return re.compile(f"[{_JOINED}{_INVISIBLE}]*")

    @cached_property
    def ignored(self) -> re.Pattern[str]:
        """Characters that are left out."""
        return re.compile(f"[{_ACCENTS}{_INVISIBLE}]+")


_patterns = _Patterns()


def has_unspaced(text: str) -> bool:
    """
    Return whether a text has a character of a script without spaces between words.
    """
    return not text.isascii() and any(found[1] for found in _patterns.run.finditer(text))


def split_text(text: str) -> str:
    """
    Return a text with each character of a script without spaces as a word, and with one spelling of each character.
    """
    return _rewrite(text, _split)


def indexed_text(text: str) -> str:
    """
    Return the words of a text for an index without positions: in place of the characters in `split_text`, all pairs of
    neighbors, and the last character of each run.
    """
    return _rewrite(text, _pair_all)


def indexed_pairs(text: str) -> str:
    """
    Return the words, or beginnings of words, that `indexed_text` has for each text with this text.
    """
    return _rewrite(text, _pair)


def _rewrite(text: str, split: Callable[[str], str]) -> str:
    def rewrite_run(found: re.Match[str]) -> str:
        run = found[0] if is_normalized("NFKC", found[0]) else "".join(map(_respell, _clusters(found[0])))
        run = _patterns.ignored.sub("", run)
        return split(run) if found[1] else run

    def rewrite_part(found: re.Match[str]) -> str:
        return _patterns.run.sub(rewrite_run, found[0])

    return text if text.isascii() else _patterns.part.sub(rewrite_part, text)


def _clusters(run: str) -> Sequence[str]:
    """
    Return the parts of a run that have their own spelling each: characters, or characters with their marks.
    """
    return run if is_normalized("NFKC", run) else _patterns.cluster.findall(run)


def _respell(cluster: str) -> str:
    return normalize("NFKC", cluster)


def _split(run: str) -> str:
    return f" {' '.join(run)} {GAP} "


def _pair_all(run: str) -> str:
    return f" {' '.join(map(add, run, run[1:] + ' '))}"


def _pair(run: str) -> str:
    return f" {' '.join(map(add, run, run[1:])) or run} "


def places_of_split(text: str, positions: Iterable[int]) -> list[tuple[int, int]]:
    """
    Return, for positions in `split_text` of a text, the beginnings and ends of these characters in the text.
    """
    parts = list(_parts(text))
    begins = list(accumulate((part.size for part in parts), initial=0))
    places = []
    for position in positions:
        number = bisect_right(begins, position) - 1
        part = parts[number]
        at = part.begin + (position - begins[number]) // part.width if part.width else part.begin
        places.append((at, at + 1 if part.width else part.end))
    return places


class _Part(NamedTuple):
    """
    A part of a text: from *begin* to *end*, with *size* characters after splitting. If each of its characters became as
    many characters, *width* is their number, otherwise 0.
    """

    begin: int
    end: int
    size: int
    width: int


def _parts(text: str) -> Iterator[_Part]:
    end = 0
    for found in _patterns.run.finditer(text):
        yield _Part(end, found.start(), found.start() - end, 1)
        end = found.start()
        # A space stands before each character.
        width = 2 if found[1] else 1
        if is_normalized("NFKC", found[0]) and not _patterns.ignored.search(found[0]):
            yield _Part(end, found.end(), width * len(found[0]), width)
        else:
            for cluster in _clusters(found[0]):
                begin, end = end, end + len(cluster)
                yield _Part(begin, end, width * len(_patterns.ignored.sub("", _respell(cluster))), 0)
        end = found.end()
        if found[1]:
            yield _Part(end, end, len(f" {GAP} "), 0)
    yield _Part(end, len(text), len(text) - end, 1)


def whole_end(text: str, end: int) -> int:
    """
    Return the end of the marks after a position: a mark is not shown apart from its letter.
    """
    found = _patterns.marks.match(text, end)
    return found.end() if found else end
