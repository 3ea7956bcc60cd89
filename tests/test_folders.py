"""
Folders of other systems, read here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.home._folders import (
    folder_key,
    folder_name,
    folder_of_uri,
    folder_text,
    is_below,
    short_folder,
    typed_folder,
)

SPELLINGS = [
    r"C:\Users\sam\proj", r"\\?\C:\Users\sam\proj", r"\\.\C:\Users\sam\proj", r"\\?\c:\users\SAM\Proj",
    "C:/Users/sam/proj",
    r"c:/Users\sam/proj/", r"C:\Users\sam\proj\\", r"C:\Users\.\sam\x\..\proj", "//?/C:/Users/sam/proj",
]  # fmt: skip
SHARES = [
    r"\\server\share\x",
    r"\\?\UNC\server\share\x",
    r"//?/unc/Server/Share/X",
    "//server/share/x",
    r"\\SERVER\share/x\\",
]


@pytest.mark.parametrize("spellings", [SPELLINGS, SHARES])
def test_all_spellings_of_a_windows_folder_are_one_folder(spellings: list[str]) -> None:
    assert len({folder_key(spelling) for spelling in spellings}) == 1
    assert all(is_below(one, other) for one in spellings for other in spellings)
    assert {folder_name(spelling).lower() for spelling in spellings} == {folder_name(spellings[0])}


@pytest.mark.parametrize(
    ("folder", "other", "expected"),
    [
        (r"C:\Users\sam\proj", r"c:\users", True),
        (r"C:\Users\sam", "C:\\", True),
        (r"C:\Users\sam", "c:", True),
        (r"C:\Users2", r"C:\Users", False),
        (r"D:\Users", r"C:\Users", False),
        (r"\\server\share\x", r"\\server\share", True),
        (r"\\server\share2", r"\\server\share", False),
        (r"C:\x", "/", False),
        ("/home/sam/proj", "/home/sam", True),
        ("/home/sam/", "/home/sam", True),
        ("/home/samuel", "/home/sam", False),
        ("/home/Sam", "/home/sam", False),
        ("/home/sam\\x", "/home/sam", False),
        ("/x", "/", True),
        ("/", "/x", False),
    ],
)
def test_a_folder_is_below_another_one(folder: str, other: str, expected: bool) -> None:
    assert is_below(folder, other) is expected


def test_a_folder_for_a_reader_has_no_literal_prefix() -> None:
    assert folder_text(r"\\?\C:\Users\Sam") == r"C:\Users\Sam"
    assert folder_text(r"\\?\UNC\server\share\x") == r"\\server\share\x"
    assert folder_text(r"\\?\Volume{ab}\x") == r"\\?\Volume{ab}\x"
    assert folder_text("c:") == "c:\\"
    assert folder_text("/home/x/../y/") == "/home/x/../y/"


@pytest.mark.parametrize(
    ("folder", "name"),
    [(r"C:\a\b", "b"), ("C:\\", "C:\\"), (r"\\server\share", r"\\server\share"), ("/a/b/", "b"), ("/", "/"), ("", "")],
)
def test_the_name_of_a_folder_is_its_last_part(folder: str, name: str) -> None:
    assert folder_name(folder) == name


def test_a_long_folder_is_shown_by_its_last_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/sam")

    assert short_folder("/home/sam/work", 40) == "~/work"
    assert short_folder("/home/sam", 40) == "~"
    assert short_folder("/home/samuel", 40) == "/home/samuel"
    assert short_folder(r"\\?\C:\Users\Sam\work\viewer", 40) == r"~\work\viewer"
    assert short_folder("C:\\Users", 40) == "C:\\Users"
    assert short_folder(r"\\server\Users\sam\x", 40) == r"\\server\Users\sam\x"
    assert short_folder(r"C:\work\a long name\parser", 20) == r"…\a long name\parser"
    assert short_folder("/srv/projects/2026/parser", 14) == "…/2026/parser"
    assert short_folder(f"/srv/{'x' * 50}", 20) == f"…{'x' * 19}"
    assert short_folder(rf"\\server\{'x' * 50}", 20) == f"…{'x' * 19}"
    monkeypatch.setenv("HOME", "/")
    assert short_folder("/work", 40) == "/work"


def test_a_typed_folder_becomes_absolute_unless_it_is_one_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/sam")

    assert typed_folder(r"\\?\C:\Users/sam") == r"C:\Users\sam"
    assert typed_folder("~/x") == "/home/sam/x"
    assert typed_folder(".") == str(Path.cwd())
    assert typed_folder("/a/../b") == "/b"


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("file:///home/sam/a%20b", "/home/sam/a b"),
        ("file://localhost/home/sam", "/home/sam"),
        ("file:///C:/Users/sam", "C:/Users/sam"),
        ("file:///c%3A/Users/sam", "c:/Users/sam"),
        ("file://server/share/x", "//server/share/x"),
        ("file://x", "x"),
        ("/home/100%25", "/home/100%25"),
    ],
)
def test_a_file_uri_names_a_folder(uri: str, folder: str) -> None:
    assert folder_of_uri(uri) == folder
