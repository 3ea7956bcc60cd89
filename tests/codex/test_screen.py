"""
What the program of the real Codex for a terminal shows of recorded sessions when it resumes them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from agent_session import MODES, Mode, record
from driver import Codex
from screen import screen_of
from weather import OUTPUT, PROMPT, each_api, record_weather, weather_server

from rollout import load_history
from tests.adapters.apis import Api

_PROMPT = "\u203a"  # what Codex writes before a prompt; in this file it is ">"
_WEATHER = {
    "legacy": """\
• Called agent.lookup({"city":"Paris"})
  └ {"weather": "sunny", "city": "Paris"}
• Called agent.lookup({"city":""})
  └ LookupError: no city""",
    "paginated": """\
• Called lookup
  └ {"weather":"sunny","city":"Paris"}
• Failed lookup
  └ LookupError: no city""",
}
_COMMAND = {"legacy": '• Called agent.exec_command({"cmd":"echo hi"})', "paginated": "• Ran echo hi"}
_TURNS = """\
> what is the weather in Paris?
{weather}
• It is sunny in Paris.
> change the note
{command}
  └ hi
• Edited 2 files (+2 -1)
  └ new.txt (+1 -0)
    1 +new
  └ note.txt (+1 -1)
    1 -a note
    1 +another note
• The note is changed.
> and now fail
■ RuntimeError: the model is gone"""


def shown_of(screen: str) -> str:
    """
    Return the turns on a screen: without the head, the line to type in, and the times that turns and calls took.
    """
    turns = screen[screen.index(f"\n{_PROMPT} ") + 1 : screen.rindex(f"\n{_PROMPT} ")].replace(_PROMPT, ">")
    lines = [re.sub(r" · \d+ms$", "", line) for line in turns.splitlines()]
    return "\n".join(line for line in lines if not line.startswith("  Worked for"))


@pytest.mark.parametrize("mode", MODES)
def test_the_screen_has_prompts_calls_outputs_patches_answers_and_errors(current: Codex, mode: Mode) -> None:
    rec = record(current, mode)

    screen = screen_of(current, rec.session_id, until="the model is gone")

    assert shown_of(screen) == _TURNS.format(weather=_WEATHER[mode], command=_COMMAND[mode])


@each_api
def test_the_screen_has_prompts_calls_outputs_and_answers_of_a_recorded_sdk(
    api: Api, current: Codex, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)  # of another folder, Codex asks in which one to go on
    with weather_server() as server:
        path = record_weather(api, server)

    screen = screen_of(current, load_history(path).session_id, until="It is sunny in Paris.")

    assert shown_of(screen).splitlines() == [
        f"> {PROMPT}",
        '• Called rollout.instrument.get_weather({"city":"Paris"})',
        f"  └ {OUTPUT}",
        "• It is sunny in Paris.",
    ]
