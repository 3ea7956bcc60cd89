from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def payloads_of(path: Path) -> list[dict[str, Any]]:
    """
    Return the payloads of the lines after the meta.
    """
    return [line["payload"] for line in lines_of(path)[1:]]


def kinds_of(path: Path) -> list[str]:
    """
    Return what each line after the meta is: the type of a completed item, of the payload, or of the line.
    """
    kinds = []
    for line in lines_of(path)[1:]:
        payload = line["payload"]
        kinds.append(payload["item"]["type"] if "item" in payload else payload.get("type") or line["type"])
    return kinds


def events_of(path: Path, kind: str) -> list[dict[str, Any]]:
    return [payload for payload in payloads_of(path) if payload.get("type") == kind]
