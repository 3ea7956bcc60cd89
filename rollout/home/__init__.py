"""
The files of a home: paths, file names, listing and finding, locks, atomic file creation, descriptors.

Does not read the lines of a session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.home._atomic import new_file, replacement_file, sync_folder
    from rollout.home._descriptor import Descriptor, is_shortage
    from rollout.home._file_names import UUID_PATTERN, Key, RolloutName, id_time, parse_key
    from rollout.home._find import find_and_use, find_session, is_path, locate
    from rollout.home._flock import locked_file
    from rollout.home._folders import (
        folder_key,
        folder_name,
        folder_of_uri,
        folder_text,
        is_below,
        short_folder,
        typed_folder,
    )
    from rollout.home._layout import (
        StrPath,
        archive_folder,
        create_session_file,
        day_folder,
        folder_for,
        folders_up_to_home,
        home_folder,
        home_of,
        is_archived,
        is_session_folder,
        make_folder,
        missing_folders,
        new_session_id,
        new_session_path,
        real_day_folder,
        trash_folder,
    )
    from rollout.home._locks import LOCKS_FOLDER, SessionLock, lock_files, locked_sessions
    from rollout.home._name_file import NAMES_FILE, append_name, checked_name, locked_names
    from rollout.home._reverted import forget_reverted, newest_reverted, walk_sessions
    from rollout.home._unplaced import Unplaced, find_unplaced
    from rollout.home._walk import Problem, folders, rollouts_in, walk

__all__ = [
    "Descriptor",
    "Key",
    "LOCKS_FOLDER",
    "NAMES_FILE",
    "Problem",
    "RolloutName",
    "SessionLock",
    "StrPath",
    "UUID_PATTERN",
    "Unplaced",
    "append_name",
    "archive_folder",
    "checked_name",
    "create_session_file",
    "day_folder",
    "find_and_use",
    "find_session",
    "find_unplaced",
    "folder_for",
    "folder_key",
    "folder_name",
    "folder_of_uri",
    "folder_text",
    "folders",
    "folders_up_to_home",
    "forget_reverted",
    "home_folder",
    "home_of",
    "id_time",
    "is_archived",
    "is_below",
    "is_path",
    "is_session_folder",
    "is_shortage",
    "locate",
    "lock_files",
    "locked_file",
    "locked_names",
    "locked_sessions",
    "make_folder",
    "missing_folders",
    "new_file",
    "new_session_id",
    "new_session_path",
    "newest_reverted",
    "parse_key",
    "real_day_folder",
    "replacement_file",
    "rollouts_in",
    "short_folder",
    "sync_folder",
    "trash_folder",
    "typed_folder",
    "walk",
    "walk_sessions",
]

__getattr__ = lazy_getattr(
    globals(),
    {
        "_atomic": ["new_file", "replacement_file", "sync_folder"],
        "_descriptor": ["Descriptor", "is_shortage"],
        "_file_names": ["Key", "RolloutName", "UUID_PATTERN", "id_time", "parse_key"],
        "_find": ["find_and_use", "find_session", "is_path", "locate"],
        "_flock": ["locked_file"],
        "_folders": [
            "folder_key",
            "folder_name",
            "folder_of_uri",
            "folder_text",
            "is_below",
            "short_folder",
            "typed_folder",
        ],
        "_layout": [
            "StrPath",
            "archive_folder",
            "create_session_file",
            "day_folder",
            "folder_for",
            "folders_up_to_home",
            "home_folder",
            "home_of",
            "is_archived",
            "is_session_folder",
            "make_folder",
            "missing_folders",
            "new_session_id",
            "new_session_path",
            "real_day_folder",
            "trash_folder",
        ],
        "_locks": ["LOCKS_FOLDER", "SessionLock", "lock_files", "locked_sessions"],
        "_name_file": ["NAMES_FILE", "append_name", "checked_name", "locked_names"],
        "_unplaced": ["Unplaced", "find_unplaced"],
        "_reverted": ["forget_reverted", "newest_reverted", "walk_sessions"],
        "_walk": ["Problem", "folders", "rollouts_in", "walk"],
    },
)
