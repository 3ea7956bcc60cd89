r"""
Folders as sessions state them: their parts, by which they are compared, grouped and shown.

A session may come from another system, so a folder of Windows is read as such everywhere: ``C:\work``, ``C:/work``,
``\\?\C:\work`` and ``c:\Work`` are one folder, ``\\server\share`` is a root.
"""

from __future__ import annotations

import ntpath
import os
import re
from functools import lru_cache
from pathlib import PurePosixPath, PureWindowsPath

__all__ = ["folder_key", "folder_name", "folder_of_uri", "folder_text", "is_below", "short_folder", "typed_folder"]

# A drive, or two separators: a share, or a path that Windows takes literally.
_WINDOWS = re.compile(r"[A-Za-z]:(?:[\\/]|$)|[\\/]{2}[^\\/]", re.ASCII)
_LITERAL = re.compile(r"[\\/]{2}[?.][\\/](?:(UNC)[\\/]|(?=[A-Za-z]:))", re.ASCII | re.IGNORECASE)
# The folder of a user, after the root.
_USERS = "users"


def _is_windows(folder: str) -> bool:
    return _WINDOWS.match(folder) is not None


def folder_text(folder: str) -> str:
    """
    Return a folder for a reader: one of Windows with backslashes and without its literal prefix; others unchanged.
    """
    if not _is_windows(folder):
        return folder
    plain = ntpath.normpath(_LITERAL.sub(lambda found: r"\\" if found[1] else "", folder, count=1))
    return f"{plain}\\" if plain.endswith(":") else plain


@lru_cache(maxsize=4096)
def folder_key(folder: str) -> str:
    """
    Return the text by which folders are compared: it is equal for all spellings of a folder. Windows ignores case.
    """
    if not _is_windows(folder):
        return folder.rstrip("/")
    return folder_text(folder).rstrip("\\").lower()


def is_below(folder: str, other: str) -> bool:
    """
    Return whether a folder is another one, or is in it.
    """
    key, other_key = folder_key(folder), folder_key(other)
    return key == other_key or key.startswith(f"{other_key}{chr(92) if _is_windows(other) else '/'}")


def typed_folder(text: str) -> str:
    """
    Return the folder that a person typed as an absolute one. A folder of Windows is one already.
    """
    return folder_text(text) if _is_windows(text) else os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111 -- resolves ".."


def folder_of_uri(text: str) -> str:
    """
    Return the folder that a ``file://`` URI names; other text unchanged.
    """
    if not text.startswith("file://"):
        return text
    path = text.removeprefix("file://")
    if "%" in path:
        from urllib.parse import unquote  # noqa: PLC0415 -- 5 ms, and few folders need it

        path = unquote(path)
    host, slash, rest = path.removeprefix("localhost").partition("/")
    # A URI with a host is a share; the slash before a drive is that of the URI.
    return f"//{host}/{rest}" if host and slash and rest else rest if _is_windows(rest) else f"{host}{slash}{rest}"


def _parts(folder: str) -> tuple[str, ...]:
    path = PureWindowsPath(folder_text(folder)) if _is_windows(folder) else PurePosixPath(folder)
    return path.parts


def folder_name(folder: str) -> str:
    """
    Return the last part of a folder.
    """
    name = next(reversed(_parts(folder)), "")
    return name.rstrip("\\") if name.startswith("\\\\") else name


def short_folder(folder: str, size: int) -> str:
    """
    Return a folder with ``~`` for the folder of its user, and only its last parts if it is longer than *size*.
    """
    shown = _from_user(folder)
    if len(shown) <= size:
        return shown
    separator = "\\" if _is_windows(folder) else "/"
    kept = ""
    for part in reversed(_parts(folder)[1:]):
        if kept and len(part) + len(kept) + 2 > size:
            break
        kept = f"{separator}{part}{kept}"
    return f"…{kept}" if 0 < len(kept) < size else f"…{(kept or shown)[1 - size :]}"


def _from_user(folder: str) -> str:
    """
    Return a folder with ``~`` in place of the folder of the user: on Windows any user, otherwise the current one.
    """
    text = folder_text(folder)
    if _is_windows(folder):
        root, *names = _parts(folder)
        is_of_user = len(names) > 1 and len(root) <= len("C:\\") and names[0].lower() == _USERS
        return "\\".join(["~", *names[2:]]) if is_of_user else text
    own = os.path.expanduser("~")  # noqa: PTH111 -- "/" has no parts
    return f"~{text[len(own) :]}" if own not in ("~", "/") and is_below(text, own) else text
