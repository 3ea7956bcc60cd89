from __future__ import annotations

from typing import Any

import pytest

from rollout import schema
from rollout.interpret._prompts import is_context, is_prompt, message_text, with_recovered_cwd
from tests.rollouts import message, surroundings


def user(text: str) -> dict[str, Any]:
    return message("user", text)[1]


@pytest.mark.parametrize(
    "text",
    [
        "<environment_context>\n<cwd>/x</cwd></environment_context>",
        "  <environment_context>\n</environment_context>\n",
        "<ENVIRONMENT_CONTEXT>x</ENVIRONMENT_CONTEXT>",
        "# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>\nfoo\n</INSTRUCTIONS>",
        "<user_instructions>\nfoo\n</user_instructions>",
        "<skill>\n<name>x</name>\n</skill>",
        "<user_shell_command>\nls\n</user_shell_command>",
        "<turn_aborted>\nx\n</turn_aborted>",
        "<subagent_notification>\nx\n</subagent_notification>",
        "<goal_context>x</goal_context>",
    ],
)
def test_a_user_message_that_codex_wrote_is_context(text: str) -> None:
    assert is_context(user(text))
    assert not is_prompt(user(text))


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "",
        "<environment_context>never closed",
        "<environment_context>x</environment_context> and more",
        "<custom>x</custom>",
        "<INSTRUCTIONS>x</INSTRUCTIONS>",
        "<skill>x</turn_aborted>",
    ],
)
def test_every_other_user_message_is_a_prompt(text: str) -> None:
    assert is_prompt(user(text))
    assert not is_context(user(text))


@pytest.mark.parametrize("payload", [message("assistant", "x")[1], {"type": "reasoning", "role": "user"}, {}])
def test_an_item_that_is_no_user_message_is_neither_prompt_nor_context(payload: dict[str, Any]) -> None:
    assert not is_prompt(payload)
    assert not is_context(payload)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"text": "a"}, {"image_url": "x"}, {"text": "b"}], "a\nb"),
        ([{"text": 1}, "x", None], ""),
        ("text", ""),
        (None, ""),
    ],
)
def test_the_text_of_a_message_is_the_text_of_its_parts(content: Any, text: str) -> None:
    assert message_text({"content": content}) == text


def test_the_folder_is_recovered_from_the_first_context_that_names_one() -> None:
    meta = schema.SessionMeta(id="i", timestamp="t")
    payloads = [user("<cwd>/typed</cwd>"), user("<environment_context>x</environment_context>")]
    payloads += [surroundings("/first")[1], surroundings("/second")[1]]

    assert with_recovered_cwd(meta, payloads).cwd == "/first"
    assert with_recovered_cwd(meta, payloads[:2]).cwd is None


def test_a_known_folder_is_kept() -> None:
    meta = schema.SessionMeta(id="i", timestamp="t", cwd="/known")

    assert with_recovered_cwd(meta, [surroundings("/other")[1]]) is meta
