# ruff: noqa: RUF001 -- full-width letters are meant
from __future__ import annotations

import re
import sqlite3
import tempfile
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.search import Filters, index_path, search, update_index
from rollout.search import _scripts as scripts
from rollout.search._query import TOKENIZER, TRIGRAM, Matcher, parse_query
from rollout.search._scripts import has_unspaced, indexed_text, places_of_split, split_text
from tests.builders import command, command_output
from tests.rollouts import event, message
from tests.search.homes import open_index, put_session, sql_damage, texts, words_of

PLAN = "修改youer服务端的计划 完成; 明天下午三点开项目评审会议"
# Letters of a Korean syllable, as macOS writes file names.
SERVER = unicodedata.normalize("NFD", "서버를")

EXAMPLES = [
    # Chinese
    ("服务端", PLAN, ["服务端"]),
    ("会议", PLAN, ["会议"]),
    ("youer", PLAN, ["youer"]),
    ("YOU*", PLAN, ["youer"]),
    ("议", PLAN, ["议"]),
    ("youer服务", PLAN, ["youer服务"]),
    ("改youer", PLAN, ["改youer"]),
    ("端服", PLAN, []),
    ("会 服", PLAN, ["服", "会"]),
    ('"计划 完成"', PLAN, ["计划 完成"]),
    ('"完成 明天"', PLAN, ["完成; 明天"]),
    ("计划完成", PLAN, []),
    ("划完", PLAN, []),
    ('"计划明天"', PLAN, []),
    ("计划，完成", PLAN, ["计划 完成"]),
    ("计划 -完成", PLAN, []),
    ("计划 -成", PLAN, []),
    ("计划 -成完", PLAN, ["计划"]),
    ("会*", PLAN, ["会"]),
    ("电脑 OR 会议", PLAN, ["会议"]),
    ("服务端!", PLAN, ["服务端"]),
    ("服务端🙂", PLAN, ["服务端"]),
    ("第3回", "これは第3回です", ["第3回"]),
    ("𠮷野", "𠮷野家", ["𠮷野"]),
    ("𰻝", "吃𰻝𰻝面", ["𰻝", "𰻝"]),
    ("葛城", "葛\U000e0100城市", ["葛\U000e0100城"]),
    ("豈", "\uf900", ["\uf900"]),
    # Japanese
    ("設定", "環境設定を変更する", ["設定"]),
    ("変更する", "環境設定を変更する", ["変更する"]),
    ("ガイド", "ｶﾞｲﾄﾞを読む", ["ｶﾞｲﾄﾞ"]),
    ("ｶﾞ", "ガイド", ["ガ"]),
    ("がく", "だいか\u3099くせい", ["か\u3099く"]),
    ("ー", "サーバー", ["ー", "ー"]),
    ("・", "フー・バー", None),
    # Korean
    ("서버", "서버를 다시 시작", ["서버"]),
    ("서버", SERVER, [SERVER[:4]]),
    ("시작", "서버를 다시 시작", ["시작"]),
    ("ㅋ", "ㅋㅋ", ["ㅋ", "ㅋ"]),
    ("ﾡ", "ㄱ", ["ㄱ"]),
    # Full-width forms
    ("api", "ＡＰＩサーバー", ["ＡＰＩ"]),
    ("ＡＰＩ", "the API", ["API"]),
    ("第12", "第１２回", ["第１２"]),
    # Thai, Lao, Khmer, Burmese
    ("ประชุม", "การประชุมวันนี้", ["ประชุม"]),
    ("ที", "ที่นี่", ["ที่"]),
    ("น้ำ", "ดื่มน้ำเย็น", ["น้ำ"]),
    ("น\u0e49\u0e4d\u0e32", "ดื่มน้ำเย็น", ["น้ำ"]),
    ("ลาว", "ภาษาลาว", ["ลาว"]),
    ("ລາວ", "ພາສາລາວ", ["ລາວ"]),
    ("ខ្មែរ", "ភាសាខ្មែរ", ["ខ្មែរ"]),
    ("ភាសាខ្មែរ", "ភាសា\u200bខ្មែរ", ["ភាសា\u200bខ្មែរ"]),
    ("မြန်မာ", "ဒါမြန်မာစာ", ["မြန်မာ"]),
    ("api", "เรียกapiใหม่", ["api"]),
    # With spaces, and marks in the words
    ("हिन्दी", "यह हिन्दी है", ["हिन्दी"]),
    ("हिन्दी", "यह हिन्दू है", []),
    ("हिन्*", "यह हिन्दू है", ["हिन्दू"]),
    ("\u0915\u093c", "\u0958", ["\u0958"]),
    ("தமிழ்", "இது தமிழ்.", ["தமிழ்"]),
    ("كتاب", "هذا كِتَابٌ", ["كِتَابٌ"]),
    ("كِتَاب", "هذا كتاب", ["كتاب"]),
    ("שלום", "שָׁלוֹם", ["שָׁלוֹם"]),
    ("сервер", "Сервер", ["Сервер"]),
    ("viet", "Việt", ["Việt"]),
    # Emoji that are newer than the table of FTS5
    ("done", "done🤖🙂", ["done"]),
    ("done🤖", "🙂done", ["done"]),
]


@pytest.mark.parametrize(("query", "text", "expected"), EXAMPLES)
def test_a_word_is_found_in_every_script_with_and_without_an_index(
    query: str, text: str, expected: list[str] | None, tmp_path: Path
) -> None:
    put_session(tmp_path, 1, [message("user", text)])
    update_index(home=tmp_path)
    if expected is None:
        with pytest.raises(ValueError, match="no word"):
            parse_query(query)
        return

    for use_index in (True, False):
        hits = list(search(query, home=tmp_path, use_index=use_index))
        assert [hit.text for hit in hits] == [text] * bool(expected)
        assert [word for hit in hits for word in words_of(hit)] == [re.sub(r"\s", " ", word) for word in expected]
        assert [path.name[-10:-6] for path in search(query, home=tmp_path, use_index=use_index).sessions()] == [
            "0001"
        ] * bool(expected)


@pytest.mark.parametrize(
    "query",
    [
        *("bd-q3fy", "ISSUE-42", "issue", "src/parser.py:118", "parser.py", "118", "E0425", "foo_bar", "foo", "bar"),
        *("foo.bar.baz", "foo.bar.baz(qux)", "can't", "kube-system", "status.phase!=Running", "--field-selector"),
        *("--field-selector=status.phase", "-- --field-selector", "TypeError:", "v1.2.3-rc.1", "v1.2.3", "v1.2*"),
        *("`foo_bar`", "C:\\Users\\me", "user@host.example", "https://host.example/a?b=c#d", "#4711", "$HOME/.cache"),
        *("019ea6e3-af80-7123", "0xDEADBEEF", "std::vec::Vec<u8>", "@scope/package", "--no-verify OR never"),
    ],
)
def test_names_are_found_as_people_write_them(query: str, tmp_path: Path) -> None:
    lines = [
        "work on bd-q3fy and ISSUE-42, see src/parser.py:118, then v1.2.3-rc.1 and #4711",
        "kubectl get pods -n kube-system --field-selector=status.phase!=Running; git commit --no-verify",
        "E0425: cannot find value `foo_bar` in this scope at foo.bar.baz(qux)",
        "TypeError: can't read property 'x' of C:\\Users\\me, user@host.example https://host.example/a?b=c#d",
        "$HOME/.cache/019ea6e3-af80-7123-8000-00000000005b 0xDEADBEEF std::vec::Vec<u8> @scope/package",
    ]
    put_session(tmp_path, 1, [message("user", text) for text in lines])
    update_index(home=tmp_path)

    found = texts(query, home=tmp_path)

    assert found
    assert texts(query, home=tmp_path, use_index=False) == found


def test_two_minus_signs_begin_a_word_and_one_excludes_it(tmp_path: Path) -> None:
    put_session(tmp_path, 1, [message("user", "run --force now"), message("user", "run now")])

    assert texts("run --force", home=tmp_path) == ["run --force now"]
    assert texts("run -force", home=tmp_path) == ["run now"]
    assert texts('run -"--force"', home=tmp_path) == ["run now"]


def test_an_index_of_trigrams_finds_parts_of_words_in_every_script(tmp_path: Path) -> None:
    put_session(tmp_path, 1, [message("user", PLAN), event("agent_message", message="Parserfehler")])
    update_index(home=tmp_path, trigram=True)

    for query, found in {"服务端": [PLAN], "arserf": ["Parserfehler"], "会议": [PLAN], "端服务": []}.items():
        assert texts(query, home=tmp_path) == found
    assert [words_of(hit) for hit in search("服务端的", home=tmp_path)] == [["服务端的"]]


def test_filters_apply_to_words_of_scripts_without_spaces(tmp_path: Path) -> None:
    put_session(tmp_path, 1, [message("user", PLAN), command("shell", "ls"), command_output("会议失败", code=1)])
    update_index(home=tmp_path)

    for use_index in (True, False):
        found = {
            name: texts("会议", home=tmp_path, use_index=use_index, filters=wanted)
            for name, wanted in {
                "user": Filters(kind="user"),
                "output": Filters(kind="output"),
                "failed": Filters(failed=True),
                "tool": Filters(tool="nothing"),
            }.items()
        }
        assert found == {"user": [PLAN], "output": ["会议失败"], "failed": ["会议失败"], "tool": []}


def test_an_index_of_another_version_is_not_used_and_then_rebuilt(tmp_path: Path) -> None:
    put_session(tmp_path, 1, [message("user", PLAN)])
    update_index(home=tmp_path)
    with open_index(tmp_path) as index:
        index.note("version", 6)

    results = search("会议", home=tmp_path)

    assert (len(list(results)), results.is_indexed, results.scanned) == (1, False, 1)
    assert update_index(home=tmp_path).sessions == 1
    assert search("会议", home=tmp_path).is_indexed


def test_a_line_in_ascii_is_not_decoded_for_a_word_of_other_letters() -> None:
    query = parse_query("会议 OR 服务 plan")

    assert not query.may_match(b"plan")
    assert query.may_match("plan 会议".encode())
    assert query.may_match(b"plan \\u4f1a\\u8bae")
    assert parse_query("会议 OR plan").may_match(b"plan")


def test_the_first_match_in_a_long_text_without_spaces_is_marked() -> None:
    text = "的" * 20_000 + "会议" + "的" * 20_000

    assert Matcher(parse_query("会议")).spans(text) == [(20_000, 20_002)]


@pytest.fixture(scope="module")
def unspaced() -> list[str]:
    pattern = re.compile(f"[{scripts._UNSPACED}{scripts._UNSPACED_ABOVE}]")
    return [chr(code) for code in range(0x80, 0x40000) if pattern.match(chr(code))]


def tokens(characters: list[str]) -> dict[str, str]:
    database = sqlite3.connect(":memory:")
    database.execute(f'CREATE VIRTUAL TABLE texts USING fts5(text, tokenize = "{TOKENIZER}")')
    database.executemany("INSERT INTO texts(rowid, text) VALUES (?, ?)", ((ord(each), each) for each in characters))
    database.execute("CREATE VIRTUAL TABLE words USING fts5vocab(texts, instance)")
    found = {chr(number): word for word, number in database.execute("SELECT term, doc FROM words")}
    database.close()
    return found


def test_each_character_of_a_script_without_spaces_is_a_word_for_sqlite(unspaced: list[str]) -> None:
    spelled = sorted({part for each in unspaced for part in unicodedata.normalize("NFKC", each)})

    assert tokens(spelled) == {each: each for each in spelled}
    assert all(has_unspaced(each) for each in spelled)


def test_punctuation_is_no_character_of_a_word(unspaced: list[str]) -> None:
    # Radicals are symbols, but become characters.
    kinds = {each: unicodedata.category(unicodedata.normalize("NFKC", each)[0])[0] for each in unspaced}

    assert {each for each, kind in kinds.items() if kind in "PSZ"} == set()


def test_no_emoji_and_no_symbol_of_frequent_blocks_is_a_letter_for_sqlite() -> None:
    blocks = [*range(0x2000, 0x2E80), *range(0x3000, 0x3400), *range(0x1F000, 0x1FC00)]
    symbols = [chr(code) for code in blocks if unicodedata.category(chr(code))[0] in "PSZ"]

    assert len(symbols) > 4_000
    assert tokens(symbols) == {}


def test_all_marks_of_words_are_letters_for_sqlite() -> None:
    assert set(tokens(list(scripts.MARKS))) == set(scripts.MARKS)


def test_a_line_without_the_bytes_of_a_word_is_left_out_only_if_no_character_may_become_ascii() -> None:
    others = [chr(code) for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000]
    database = sqlite3.connect(":memory:")
    database.execute(f'CREATE VIRTUAL TABLE texts USING fts5(text, tokenize = "{TOKENIZER}")')
    rows = ((ord(each), split_text(f"a{each}b")) for each in others)
    database.executemany("INSERT INTO texts(rowid, text) VALUES (?, ?)", rows)
    database.execute("CREATE VIRTUAL TABLE words USING fts5vocab(texts, instance)")
    found = {
        chr(number)
        for word, number in database.execute("SELECT term, doc FROM words")
        if word.isascii() and word not in {"a", "b"}
    }
    database.close()

    query = parse_query("word")
    assert {"é", "Ａ", "\u0301", "ſ", "\u212a"} < found
    assert [each for each in found if not query.may_match(each.encode())] == []
    assert not query.may_match("→ 会议 Сервер 🙂".encode())


PIECES = [
    *("服务端", "修改", "会", "议", "youer", "foo_bar", "v1.2", "a", "é", "e\u0301", "ＡＰＩ", "api", "１２"),
    *("ｶﾞ", "ガ", "か\u3099", "が", "か", "서버", SERVER, "를", "ㅋ", "ที่", "ที", "น้ำ", "น", "ลาว", "ລາວ", "ខ្មែរ", "មែ"),
    *("မြန်မာ", "𠮷", "𰻝", "हिन्दी", "हिन्दू", "हि", "كِتَاب", "كتاب", "שָׁלוֹם", "Сервер", "葛\U000e0100", "葛", "城"),
]
JOINTS = ["", "", "", "", " ", "。", "，", "-", "\n", "🙂", "·", "\u3000"]
piece = st.sampled_from(PIECES)


@st.composite
def joined(draw: Any, joints: list[str] = JOINTS, most: int = 8) -> str:
    parts = draw(st.lists(piece, min_size=1, max_size=most))
    return "".join(part + draw(st.sampled_from(joints)) for part in parts)


class Part(NamedTuple):
    text: str
    is_phrase: bool
    has_star: bool
    sign: str

    def __str__(self) -> str:
        quote = '"' * self.is_phrase
        return f"{self.sign}{quote}{self.text}{quote}{'*' * self.has_star}"


@st.composite
def part(draw: Any) -> Part:
    is_phrase, has_star = draw(st.booleans()), draw(st.sampled_from([False, False, True]))
    joints = JOINTS if is_phrase else [joint for joint in JOINTS if not joint.isspace()]
    return Part(draw(joined(joints, 3)), is_phrase, has_star, draw(st.sampled_from(["", "", "OR ", "-"])))


def is_unspaced(character: str) -> bool:
    name = unicodedata.name(character, "")
    found = re.match("CJK UNIFIED|HIRAGANA|KATAKANA|HANGUL|THAI|LAO|KHMER|MYANMAR", name)
    return found is not None and unicodedata.category(character)[0] in "LNM"


def plain_words(text: str) -> list[str]:
    """
    Return the words of a text, and "|" after each run of characters without spaces.
    """
    words: list[str] = []
    is_open = has_run = False
    ignored = re.compile("[\u0591-\u05c7\u064b-\u065f\U000e0100]")
    for original in unicodedata.normalize("NFKC", ignored.sub("", text)):
        first = unicodedata.normalize("NFD", original.lower())[0]
        character = first if first.isascii() else original.lower()
        if has_run and not is_unspaced(character):
            words.append("|")
        has_run = is_unspaced(character)
        if has_run:
            words.append(character)
            is_open = False
        elif character.isalnum() or unicodedata.category(character)[0] == "M":
            words[-1:] = [words[-1] + character] if is_open else [*words[-1:], character]
            is_open = True
        else:
            is_open = False
    return words


def is_in(part: Part, text: str) -> bool:
    words, wanted = plain_words(text), plain_words(part.text)
    while wanted[-1] == "|":
        wanted.pop()
    size = len(wanted)
    return any(
        words[at : at + size - 1] == wanted[:-1]
        and (words[at + size - 1].startswith(wanted[-1]) if part.has_star else words[at + size - 1] == wanted[-1])
        for at in range(len(words) - size + 1)
    )


def is_match(parts: list[Part], text: str) -> bool:
    """
    Return whether a text matches a query, without any of the package's code.
    """
    groups: list[list[Part]] = []
    for part in parts:
        if part.sign == "OR " and groups:
            groups[-1].append(part)
        elif part.sign != "-":
            groups.append([part])
    return all(any(is_in(part, text) for part in group) for group in groups) and not any(
        is_in(part, text) for part in parts if part.sign == "-"
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.lists(joined(), min_size=1, max_size=8, unique=True),
    queries=st.lists(st.tuples(part(), st.lists(part(), max_size=2)), min_size=1, max_size=8),
)
def test_index_and_files_have_the_hits_of_a_plain_search(
    said: list[str], queries: list[tuple[Part, list[Part]]], tmp_path: Path
) -> None:
    home = Path(tempfile.mkdtemp(dir=tmp_path))
    put_session(home, 1, [event("agent_message", message=text) for text in said])
    update_index(home=home)
    for first, others in queries:
        # An exclusion after an OR would end the group.
        parts = [first._replace(sign=""), *sorted(others, key=lambda other: ["OR ", "", "-"].index(other.sign))]
        query = " ".join(map(str, parts))
        expected = sorted(text for text in said if is_match(parts, text))

        assert texts(query, home=home, use_index=False) == expected
        assert texts(query, home=home) == expected
        assert bool(list(search(query, home=home).sessions())) is bool(expected)
        for hit in search(query, home=home):
            assert hit.matches
            assert all(0 <= begin < end <= len(hit.snippet) for begin, end in hit.matches)
    assert index_path(home).exists()


@given(text=joined(most=12))
def test_each_character_of_a_split_text_has_its_place_in_the_text(text: str) -> None:
    split = split_text(text)

    places = places_of_split(text, range(len(split)))

    assert [begin for begin, _ in places] == sorted(begin for begin, _ in places)
    assert all(0 <= begin <= end <= len(text) for begin, end in places)
    for character, (begin, end) in zip(split, places, strict=True):
        if character not in {" ", *scripts.GAP}:
            assert character == text[begin:end] or character in unicodedata.normalize("NFKC", text[begin:end])


@given(text=st.text(st.characters(codec="ascii")) | st.text(st.characters(max_codepoint=0x2FF)))
def test_a_text_of_other_scripts_is_not_changed(text: str) -> None:
    text = text.replace("\u00ad", "")

    assert split_text(text) == indexed_text(text) == text
    assert places_of_split(text, range(len(text))) == [(at, at + 1) for at in range(len(text))]


def test_trigrams_are_of_the_text_as_it_is() -> None:
    matcher = Matcher(parse_query("ＡＰＩ"), TRIGRAM)

    assert matcher.find_matches(["API", "ＡＰＩサーバー"]) == [1]
    matcher.close()


def test_damage_does_not_hide_a_hit(tmp_path: Path) -> None:
    put_session(tmp_path, 1, [message("user", PLAN)])
    update_index(home=tmp_path)
    sql_damage("UPDATE spans SET session = 5")(index_path(tmp_path))

    assert texts("会议", home=tmp_path) == [PLAN]
