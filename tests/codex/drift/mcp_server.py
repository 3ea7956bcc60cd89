"""
A small MCP server for the scenario: a tool that answers, one that returns a picture, and one that fails.
"""

from __future__ import annotations

import json
import sys
from typing import Any

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_EMPTY = {"type": "object", "properties": {}}
_TEXT = {"type": "object", "properties": {"text": {"type": "string"}}}
_TOOLS = [
    {"name": "echo", "description": "echo", "inputSchema": _TEXT, "annotations": {"readOnlyHint": True}},
    {"name": "picture", "description": "a picture", "inputSchema": _EMPTY},
    {"name": "failing", "description": "fails", "inputSchema": _EMPTY},
]


def result_of(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """
    Return the result of a request.
    """
    if method == "initialize":
        capabilities = {"tools": {}, "resources": {}}
        info = {"name": "demo", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": capabilities, "serverInfo": info}
    if method == "tools/call":
        return _call(params["name"], params.get("arguments") or {})
    return {
        "tools/list": {"tools": _TOOLS},
        "resources/list": {"resources": [{"uri": "demo://r", "name": "r"}]},
        "resources/templates/list": {"resourceTemplates": []},
        "resources/read": {"contents": [{"uri": "demo://r", "text": "text of the resource"}]},
    }.get(method, {})


def _call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if name == "echo":
        text = f"{arguments.get('text')} café"
        return {"content": [{"type": "text", "text": text}], "structuredContent": {"a": 1.5}, "_meta": {"k": "v"}}
    if name == "picture":
        return {"content": [{"type": "image", "data": PIXEL, "mimeType": "image/png"}]}
    return {"content": [{"type": "text", "text": "it failed"}], "isError": True}


def main() -> None:
    """
    Answer requests on standard input until it ends.
    """
    for line in sys.stdin:
        request = json.loads(line)
        if "id" in request:
            result = result_of(request["method"], request.get("params") or {})
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
