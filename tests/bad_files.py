"""
Contents of damaged rollouts, by the kind of their damage.
"""

from __future__ import annotations

import random

from tests import rollouts

__all__ = ["CORPUS", "LINE", "META"]

WHOLE = rollouts.encode(rollouts.seed_session("one", "two"))
META, *REST = WHOLE.splitlines(keepends=True)
LINE = REST[1]


def deep(levels: int) -> bytes:
    return b'{"timestamp":"t","type":"event_msg","payload":{"a":' + b"[" * levels + b"]" * levels + b"}}\n"


CORPUS: dict[str, bytes] = {
    "empty": b"",
    "only newlines": b"\n" * 1000,
    "one byte": b"{",
    "NUL bytes": b"\0" * 10_000,
    "NUL bytes in the middle": META + b"\0" * 4096 + LINE,
    "NUL bytes at the end": WHOLE + b"\0" * 4096,
    "not UTF-8": META + LINE.replace(b"one", b"\xff\xfe\xc0\x80"),
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "Latin-1": META + LINE.replace(b"one", "caf\xe9".encode("latin-1")),
    "BOM": b"\xef\xbb\xbf" + WHOLE,
    "BOM in every line": b"".join(b"\xef\xbb\xbf" + line for line in [META, *REST]),
    "CRLF": WHOLE.replace(b"\n", b"\r\n"),
    "CR alone": WHOLE.replace(b"\n", b"\r"),
    "blank lines": WHOLE.replace(b"\n", b"\n\n \n\t\n"),
    "no newline at the end": WHOLE[:-1],
    "torn": WHOLE[:-30],
    "torn in a character": META + LINE.replace(b"one", "☃".encode()[:2])[:-40],
    "glued": WHOLE.replace(b"\n", b""),
    "glued to a torn line": META + LINE[:50] + LINE,
    "nested 100": META + deep(100) + LINE,
    "nested 1,000": META + deep(1000) + LINE,
    "nested 100,000": META + deep(100_000) + LINE,
    "objects nested 100,000": META + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n" + LINE,
    "open brackets": META + b"[" * 1_000_000 + b"\n" + LINE,
    "huge numbers": META + LINE.replace(b'"one"', b"1" * 5000) + LINE.replace(b'"one"', b"1e999999") + LINE,
    "NaN": META + LINE.replace(b'"one"', b"NaN") + LINE.replace(b'"one"', b"-Infinity") + LINE,
    "lone surrogates": META + LINE.replace(b"one", b"\\ud800") + LINE.replace(b"one", b"\\udfff\\ud800"),
    "duplicate keys": META + LINE.replace(b'"payload":', b'"payload":{},"payload":'),
    "unknown types": META + LINE.replace(b"response_item", b"novel_item") + LINE.replace(b"message", b"novelty"),
    "wrong types": META
    + b'{"timestamp":1,"type":[],"payload":""}\n{"timestamp":"t","type":"x","payload":null}\n'
    + LINE,
    "no object": META + b'1\n"x"\nnull\ntrue\n[]\n{}\n' + LINE,
    "a PNG": b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(5000),
    "noise": random.Random(2).randbytes(100_000),
    "two metas": META + META + LINE,
    "the meta last": b"".join([*REST, META]),
    "a meta without id": META.replace(b'"id"', b'"xd"') + LINE,
    "paginated without numbers": META.replace(b'"cwd"', b'"history_mode":"paginated","cwd"') + LINE,
    "ordinals of all kinds": b"".join(
        META.replace(b'"type"', b'"ordinal":' + number + b',"type"', 1)
        for number in (b"0", b"0", b"-1", b"1.5", b'"1"', b"null", b"18446744073709551616", b"99999999999999999999999")
    ),
    "before the envelope": rollouts.bare_session("one", "two"),
    "both forms": WHOLE + rollouts.bare_session("three"),
}
