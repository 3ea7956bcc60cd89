"""
The lines of one file: read, follow, verify, repair, and the lines that a fork inherits.

Does not decide what a line means; that is in `rollout.interpret`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr

if TYPE_CHECKING:
    from rollout.reading._blocks import Bounds, is_blank
    from rollout.reading._follow import Follower, follow
    from rollout.reading._lineage import base_of, inherited_lines, parent_source
    from rollout.reading._lines import (
        LineReader,
        RawLine,
        SkippedLine,
        decode_backwards,
        raw_backwards,
        raw_lines,
        read_envelopes,
        read_lines,
    )
    from rollout.reading._opening import format_of, is_plain, open_bytes, open_rollout
    from rollout.reading._repair import Repair, repair
    from rollout.reading._verify import FAULT_KINDS, Fault, Verification, verify
    from rollout.reading._zstd import zstd_module

__all__ = [
    "Bounds",
    "FAULT_KINDS",
    "Fault",
    "Follower",
    "LineReader",
    "RawLine",
    "Repair",
    "SkippedLine",
    "Verification",
    "base_of",
    "decode_backwards",
    "follow",
    "format_of",
    "inherited_lines",
    "is_blank",
    "is_plain",
    "open_bytes",
    "open_rollout",
    "parent_source",
    "raw_backwards",
    "raw_lines",
    "read_envelopes",
    "read_lines",
    "repair",
    "verify",
    "zstd_module",
]

__getattr__ = lazy_getattr(
    globals(),
    {
        "_blocks": ["Bounds", "is_blank"],
        "_follow": ["Follower", "follow"],
        "_lineage": ["base_of", "inherited_lines", "parent_source"],
        "_lines": [
            "LineReader",
            "RawLine",
            "SkippedLine",
            "decode_backwards",
            "raw_backwards",
            "raw_lines",
            "read_envelopes",
            "read_lines",
        ],
        "_opening": ["format_of", "is_plain", "open_bytes", "open_rollout"],
        "_repair": ["Repair", "repair"],
        "_verify": ["FAULT_KINDS", "Fault", "Verification", "verify"],
        "_zstd": ["zstd_module"],
    },
)
