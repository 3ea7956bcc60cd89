"""
The list of the viewer for sessions in other places, with other names and in other formats.
"""

from __future__ import annotations

from pathlib import Path

from flask.testing import FlaskClient

from tests.rollouts import encode, prompt, put

V4 = "4f0be0a1-50f5-480d-a99d-c68eada68a51"
OLD = '{"session": {"id": "8d6f", "timestamp": "2025-05-20T10:00:00Z"}, "items": [{"role": "user", "content": "old"}]}'


def test_a_session_of_the_typescript_cli_with_a_short_id_is_listed_and_shown(client: FlaskClient, home: Path) -> None:
    (home / "sessions").mkdir(parents=True)
    (home / "sessions" / "rollout-2025-05-20-8d6f.json").write_text(OLD)

    assert 'href="/s/8d6f"' in client.get("/").text
    assert "Tuesday 20 May 2025" in client.get("/").text
    assert "old" in client.get("/s/8d6f").text
    assert client.get("/s/8d6").status_code == client.get("/s/8d6f0").status_code == 404


def test_the_beginning_of_ids_names_no_session(client: FlaskClient, home: Path) -> None:
    for last in "12":
        put(home, encode(prompt("one")), session_id=f"{V4[:-1]}{last}", timestamp=f"2026-11-21T01-25-3{last}")

    assert client.get(f"/s/{V4[:8]}").status_code == 404


def test_a_session_whose_start_is_unknown_is_listed_without_a_day(client: FlaskClient, home: Path) -> None:
    (home / "sessions").mkdir(parents=True)
    (home / "sessions" / f"rollout-{V4}.jsonl").write_bytes(encode(prompt("no meta")))

    page = client.get("/").text

    assert "Unknown day" in page
    assert 'title="updated 2026-11-21 ' in page
