"""
Find secrets in well-known formats in recorded sessions, and replace them with placeholders in exports.

Only the text is examined: this module does not check whether a key is valid, and does not find secrets that look like
ordinary words.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import asdict, define, evolve, field, frozen

from rollout._version import SCHEMA_VERSION
from rollout.codec import decode_json, decode_line, encode_json
from rollout.errors import InvalidLineError
from rollout.home import StrPath
from rollout.reading import is_blank, open_rollout, raw_lines

__all__ = ["FoundSecret", "Receipt", "Redaction", "Replacement", "Secret", "find_secrets", "scan"]

_MARK = "[REDACTED:"
# Characters: a shorter text contains no secret; a longer secret is not an example, even if it contains "xxxx".
_SHORTEST, _EXAMPLE_MAX = 8, 100
# Number of passes over a text after which whole words are replaced; maximum length of a key in a path.
_PASSES_MAX, _KEY_MAX = 8, 100
# A pattern begins at an anchor; its last group is the secret. No pattern fails at the far end of a run with other
# anchors, which would be quadratic. No pattern ends inside an escape or goes past a double quote, so that JSON text
# stays valid. A NUL is the quote that `_redact_text` puts around the value of a field.
# Also after a color sequence of a terminal, which ends in m.
_LEFT = r"(?:(?<![A-Za-z0-9\\])|(?<=\\[nrt])|(?<=[\d;\[]m))"
_BREAK = r"(?:\\{1,8}[nrt]|\s)"
# A truncated key has no end; its lines are headers, or long.
_PEM = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?=[^\"]{0,400}?[A-Za-z0-9+/]{16})"
    r"(?:(?:(?!-----(?:BEGIN|END))[^\"\0]){0,32768}-----END [A-Z0-9 ]{0,50}-----"
    rf"|(?:{_BREAK}{{1,8}}(?:[A-Z][A-Za-z-]{{2,30}}: [^\r\n\\\"]{{0,200}}|[A-Za-z0-9+/=]{{16,}}))*"
    rf"(?:{_BREAK}{{1,4}}[A-Za-z0-9+/=]{{1,15}}(?=\s{{0,4}}(?:\Z|[\0…]|\.\.\.)))?)"
)
# After a name: quoted; without quotes if the name is in capitals, as in an environment, or the value is long and mixed.
# Not code: a value followed by a call, an index or an attribute.
_VALUE = (
    r"(?:[\\\"'\]]{0,3}\s{0,4}(?::\s?[A-Za-z_.\[\]|, ]{1,24}(?==))?[:=!]{1,3}>?\s{0,4}(?:\0([^\s\0]{8,4096})\0"
    r"|[rbufRBUF]{0,2}([\"'`])(?![,:;}\])])((?:\\\S|(?!\2)[^\\\s\"\0]){8,4096})\2"
    r"|\\{1,8}[\"'`](?![,:;}\])])([^\\\s\"'`\0]{8,4096})\\{1,8}[\"'`])"
    r"|(?:=(?<=[A-Z]=)(?=[^\d\s]{0,200}\d)(?=[^A-Za-z\s]{0,200}[A-Za-z])([^\s\"'`\\;&|<>$(){}\[\],\0]{8,})"
    r"|(?:=|:\s?)(?=[A-Za-z+/=-]{0,200}\d)(?=[\d+/=-]{0,200}[A-Za-z])([A-Za-z0-9+/=-]{20,}))(?P<code>\.\w|[\w(\[])?)"
)
_AWS_NAME = (
    r"(?i:secret[_-]?access[_-]?key|(?<=aws[_-])secret[_-]?key)[\\\"'\]\s]{0,8}[=:>]{0,2}[\\\"'\s\0]{0,8}(?<!\\)"
)
_HEADER = r"(?i:authorization)[\\\"'\]]{0,4}\s{0,4}[:=,]\s{0,4}[\\\"'`\0]{0,4}(?i:bearer|basic|token) {1,4}"
# With a digit; hyphens only after these words: scikit-learn's HTML has names such as sk-toggleable__label.
_OPENAI = r"sk-(?=[A-Za-z_-]{0,100}\d)(?:(?:proj|svcacct|admin|or-v1)-[\w-]{20,}|[A-Za-z0-9]{20,})"
_JWT = r"(?:(?<![\w\\-])|(?<=\\[nrt])|(?<=\n[+-])|(?<=[\d;\[]m))eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
_URL = r"(?<=[A-Za-z0-9])://[^\s:/?#@\"'`<>\\\[\]\0]{0,200}:([^\s/?#\"'`<>\\\0]{3,500})@(?=[^\s/@\0])(?!sha\d)"
# Kind, anchors, pattern. If two patterns match the same text, the first pattern determines the kind.
_SHAPES = (
    ("private-key", ("-----BEGIN ",), _PEM),
    ("aws-access-key", ("AKIA", "ASIA"), _LEFT + r"A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("aws-secret-key", ("secret",), _AWS_NAME + r"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"),
    ("github-token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), _LEFT + r"gh[pousr]_[A-Za-z0-9]{36,}"),
    ("github-token", ("github_pat_",), _LEFT + r"github_pat_\w{22,}"),
    ("gitlab-token", ("glpat-",), _LEFT + r"glpat-[\w-]{20,}(?:\.[0-9a-z]{2}\.[0-9a-z]{9})?"),
    ("slack-token", ("xox",), _LEFT + r"xox[abposr]-[A-Za-z0-9-]{10,}"),
    ("slack-webhook", ("hooks.slack.com/",), r"hooks\.slack\.com/[a-z]{5,20}/([\w/-]{20,})"),
    ("anthropic-key", ("sk-ant-",), _LEFT + r"sk-ant-[\w-]{20,}"),
    ("openai-key", ("sk-",), _LEFT + _OPENAI),
    ("google-key", ("AIza",), _LEFT + r"AIza[\w-]{35}(?![\w-])"),
    ("stripe-key", ("sk_live_", "rk_live_"), _LEFT + r"[sr]k_live_[A-Za-z0-9]{16,}"),
    ("npm-token", ("npm_",), _LEFT + r"npm_[A-Za-z0-9]{36}(?!\w)"),
    ("pypi-token", ("pypi-",), _LEFT + r"pypi-[\w-]{50,}"),
    ("huggingface-token", ("hf_",), _LEFT + r"hf_[A-Za-z0-9]{30,}"),
    ("sendgrid-key", ("SG.",), _LEFT + r"SG\.[\w-]{22}\.[\w-]{43}(?![\w-])"),
    ("twilio-key", ("SK",), _LEFT + r"SK[0-9a-f]{32}(?![A-Za-z0-9])"),
    ("digitalocean-token", ("dop_v1_",), _LEFT + r"dop_v1_[0-9a-f]{64}(?![A-Za-z0-9])"),
    ("azure-storage-key", ("AccountKey=",), r"AccountKey=([A-Za-z0-9+/]{40,}={0,2})"),
    ("jwt", ("eyJ",), _JWT),
    ("authorization-header", ("authorization",), _HEADER + r"([\w.~+/=-]{8,})"),
    ("url-password", ("://",), _URL),
    ("password", ("passw", "passphrase", "pwd", "_pass"), rf"(?i:passw(?:or)?d|passphrase|pwd|_pass){_VALUE}"),
    ("api-key", ("apikey", "api_key", "api-key", "access_key"), rf"(?i:api[_-]?key|access_key){_VALUE}"),
    ("secret", ("secret",), rf"(?i:secret(?:[_-]?key)?){_VALUE}"),
    ("token", ("token",), rf"(?i:token){_VALUE}"),
)
# Characters between words, also in JSON text.
_SEPARATOR = r"\\+(?:u[0-9A-Fa-f]{4}|.)?|[\s\"'`\0]+"
_COLOR = re.compile(r"\x1b\[[\d;:]*m")
_EXAMPLE = r"x{4}|X{4}|\*{3}|\.{3}|…|(.)\1{7}|(?i:example|change[_-]?me|placeholder|your[_-]|redacted)"
# Words, the name of a constant, a path, an address, or a template.
_NO_VALUE = (
    r"(?:[A-Za-z_./:,|#-]|[^\0-\x7f]|\\u[0-9A-Fa-f]{4}|\\[nrt])+\Z|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\Z|<.*>\Z"
    r"|\$\w+\Z|%\w+%\Z|(?:~|\.{1,2})?/[\w.-]+/|.*(?:[$#]\{|\$\(|\{\{|%\(|\{[^{}]+\}|://|environ|getenv|process\.env)"
)
_EXCEPTIONS = {
    **dict.fromkeys(("password", "api-key", "secret", "token"), _NO_VALUE),
    "url-password": r"(?i:pass(?:word|wd)?|pwd?|secret|token)\Z|\*+\Z|[{%]|\$[{(]|\$[A-Z_]+\Z",
    "authorization-header": r"[A-Z]?[a-z-]+\Z|[A-Z_]+\Z",
}
# Not compiled at import: most programs that import this module search for nothing.
_compiled = lru_cache(maxsize=None)(partial(re.compile, flags=re.ASCII | re.DOTALL))


@frozen
class Secret:
    """
    The position of a secret in a text, from *start* up to *end*; not the secret itself.

    The placeholder is ``[REDACTED:kind:3f2a9c1b]``, with the beginning of the SHA-256 of kind and secret: equal secrets
    have equal placeholders. A short or guessable secret can be guessed from its placeholder.
    """

    kind: str
    start: int
    end: int
    placeholder: str


@frozen
class FoundSecret:
    """
    The position of a secret in a rollout: the line, from 1, and the path in the line, as ``payload.content[0].text``.

    For a secret in a key, *where* is the path of the object; for a line that is not a rollout line, and is searched as
    text, it is empty. Keys in *where* are truncated after 100 characters.
    """

    kind: str
    lineno: int
    where: str
    placeholder: str


@frozen
class Replacement:
    """
    A placeholder, the kind of its secret, and the number of replacements.
    """

    placeholder: str
    kind: str
    count: int


@frozen
class Receipt:
    """
    The replacements of a `Redaction`, in the order of the first occurrence of each secret.
    """

    replacements: tuple[Replacement, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the receipt as plain values, for JSON."""
        return {"schema_version": SCHEMA_VERSION, "replacements": [asdict(each) for each in self.replacements]}


@define
class Redaction:
    """
    The replacement of secrets in values, with counts for all values. Not safe for use by several threads at once.
    """

    _counts: Counter[tuple[str, str]] = field(factory=Counter, init=False, repr=False)

    @property
    def receipt(self) -> Receipt:
        """The replacements so far."""
        return Receipt(tuple(Replacement(*key, count) for key, count in self._counts.items()))

    def redact(self, value: Any) -> Any:
        """
        Return a plain JSON value with placeholders for secrets: in strings, in keys, and in JSON inside strings.

        *value* is not changed; parts without secrets are returned without a copy. JSON text stays valid.

        Raises:
            RecursionError: The value has some hundred levels of nesting; Codex reads 127.
        """
        found: list[FoundSecret] = []
        new = _redact_value(value, "", "", found)
        self._counts.update((secret.placeholder, secret.kind) for secret in found)
        return new


def find_secrets(text: str) -> list[Secret]:
    """
    Return the secrets in a text, in order, in linear time. Overlapping secrets become one secret, of the first kind.
    """
    merged: list[tuple[int, int, str]] = []
    for start, minus_end, _, kind in sorted(_candidates(text)):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], -minus_end), merged[-1][2])
        else:
            merged.append((start, -minus_end, kind))
    return [Secret(kind, start, end, _placeholder(kind, text[start:end])) for start, end, kind in merged]


def scan(path: StrPath) -> Iterator[FoundSecret]:
    """
    Yield the secrets in a rollout, plain or ``.jsonl.zst``. Blocks; holds one line at a time; changes nothing.

    Raises:
        OSError, ModuleNotFoundError: As `read_lines`, at the first secret.
    """
    file, damage = open_rollout(Path(path))
    with file, suppress(*damage):
        for line in raw_lines(file):
            found: list[FoundSecret] = []
            raw = line.raw or b""
            if is_blank(raw):
                continue
            try:
                read = decode_line(raw)
                _redact_value({"payload": read.payload, "metadata": read.metadata, **read.extra}, "", "", found)
            except (InvalidLineError, RecursionError):
                found.clear()
                _redact_text(raw.decode("utf-8", "replace"), "", "", found)
            yield from (evolve(secret, lineno=line.lineno) for secret in found)


def _redact_value(value: Any, where: str, name: str, found: list[FoundSecret]) -> Any:
    new: Any = value
    found_before = len(found)
    if isinstance(value, str):
        new = _redact_text(value, where, name, found)
    elif isinstance(value, list):
        new = [_redact_value(part, f"{where}[{at}]", "", found) for at, part in enumerate(value)]
    elif isinstance(value, dict):
        new = {}
        for key, part in value.items():
            own = _redact_text(key, where, "", found)
            # Otherwise a key of a megabyte with many values below it would be copied into many paths.
            shown = own if len(own) <= _KEY_MAX else f"{own[:_KEY_MAX]}…"
            new[own] = _redact_value(part, f"{where}.{shown}" if where else shown, own, found)
    return new if len(found) > found_before else value


def _redact_text(text: str, where: str, name: str, found: list[FoundSecret]) -> str:
    if "\x1b[" in text:
        # A color sequence inside a secret hides it; remove all colors then.
        plain = _COLOR.sub("", text)
        text = plain if len(find_secrets(plain)) > len(find_secrets(text)) else text
    # Repeat until nothing is found: a text may match a pattern next to a placeholder, but not next to a secret.
    passes = 0
    while len(text) >= _SHORTEST:
        passes, found_before, parts, end = passes + 1, len(found), [], len(name) + 2
        text = _redact_literals(text, where, found)
        # The name of a field may determine the kind of its value.
        whole = f"{name}=\0{text}\0"
        secrets = find_secrets(whole)
        for secret in secrets if passes <= _PASSES_MAX else _extend_to_words(whole, secrets):
            if secret.start >= len(name) + 2:
                parts += [whole[end : secret.start], secret.placeholder]
                end = secret.end
                found.append(FoundSecret(secret.kind, 0, where, secret.placeholder))
        if len(found) == found_before:
            break
        text = "".join([*parts, whole[end:-1]])
    return text


def _extend_to_words(text: str, secrets: list[Secret]) -> Iterator[Secret]:
    """
    Extend secrets to the whole words that contain them. If each secret hides the next, one pass finds only one secret.
    """
    gaps = [found.span() for found in _compiled(_SEPARATOR).finditer(text)]
    starts, ends = [*(start for start, _ in gaps), len(text)], [0, *(end for _, end in gaps)]
    last = 0
    for secret in secrets:
        start, end = ends[bisect_right(ends, secret.start) - 1], starts[bisect_left(starts, secret.end)]
        if end > last:
            start, last = max(start, last), end
            yield Secret(secret.kind, start, end, _placeholder(secret.kind, text[start:end]))


def _redact_literals(text: str, where: str, found: list[FoundSecret]) -> str:
    # Only strings of JSON text with escapes; others are equal to their JSON.
    parts, end = [], 0
    if "\\" in text and text.lstrip().startswith(("{", "[")):
        with suppress(ValueError):
            decode_json(text)
            marks = re.finditer(r'"|(?:\\.[^"\\]*){1,50}', text, re.DOTALL)
            quotes = (mark.start() for mark in marks if mark[0] == '"')
            for first, last in zip(quotes, quotes, strict=True):
                if text.find("\\", first, last) >= 0:
                    found_before = len(found)
                    new = _redact_text(decode_json(text[first : last + 1]), where, "", found)
                    if len(found) > found_before:
                        parts += [text[end:first], encode_json(new)]
                        end = last + 1
    return "".join([*parts, text[end:]])


def _candidates(text: str) -> Iterator[tuple[int, int, int, str]]:
    # The only character that has two characters in lower case; it would shift the positions after it.
    folded = text.replace("\u0130", "i").lower()
    for rank, (kind, anchors, pattern) in enumerate(_SHAPES):
        searched = folded if pattern.startswith("(?i") else text
        for anchor in anchors:
            at = searched.find(anchor)
            while at >= 0:
                match = _compiled(pattern).match(text, at)
                if match and not _is_no_secret(kind, match):
                    yield match.start(match.lastindex or 0), -match.end(match.lastindex or 0), rank, kind
                # The value of a field is always searched, so there may be more secrets in it.
                at = searched.find(anchor, match.end() if match and "\0" not in match[0] else at + 1)


def _is_no_secret(kind: str, match: re.Match[str]) -> bool:
    secret = match[match.lastindex or 0]
    if match.lastgroup == "code" or _MARK in secret or _compiled(_EXCEPTIONS.get(kind, "(?!)")).match(secret):
        return True
    return len(secret) < _EXAMPLE_MAX and _compiled(_EXAMPLE).search(secret) is not None


def _placeholder(kind: str, secret: str) -> str:
    # Without line breaks, which are escapes in the source text of a program.
    folded = _compiled(_BREAK).sub("", secret)
    return f"{_MARK}{kind}:{sha256(f'{kind}:{folded}'.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}]"
