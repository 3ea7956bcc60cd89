"""
A session that the methods for an agent's loop record: two turns with each kind of tool, and one that fails.
"""

from __future__ import annotations

from typing import Any, Literal

import pytest
from driver import Codex

from rollout import Recorder

_PATCH = """*** Begin Patch
*** Update File: note.txt
@@
-a note
+another note
*** Add File: new.txt
+new
*** End Patch
"""
Mode = Literal["legacy", "paginated"]
MODES = ["legacy", "paginated"]


def record(codex: Codex, mode: Mode) -> Recorder:
    """
    Record two turns with each kind of tool, and one that failed.
    """
    with Recorder(
        home=codex.home, cwd=codex.cwd, source="cli", model_provider="mock", originator="agent", history_mode=mode
    ) as rec:

        @rec.tool
        def lookup(city: str) -> dict[str, Any]:
            if not city:
                raise LookupError("no city")
            return {"weather": "sunny", "city": city}

        with rec.turn("what is the weather in Paris?", model="gpt-5-codex") as turn:
            rec.reasoning("I need the weather.")
            lookup("Paris")
            with pytest.raises(LookupError):
                lookup("")
            rec.agent_message("It is sunny in Paris.")
            turn.usage(input_tokens=100, output_tokens=20)
        with rec.turn("change the note", model="gpt-5-codex") as turn:
            with rec.tool_run("exec_command", {"cmd": "echo hi"}) as run:
                run.output = "hi\n"
            with rec.tool_run("apply_patch", _PATCH) as run:
                run.output = "Success. Updated the following files:\nM note.txt\nA new.txt\n"
            rec.agent_message("The note is changed.")
            turn.usage(input_tokens=200, output_tokens=30)
        with pytest.raises(RuntimeError), rec.turn("and now fail"):
            raise RuntimeError("the model is gone")
    return rec
