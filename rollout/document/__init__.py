"""
A session as a document for readers: turns with items, and calls with their outputs, built from the session's lines.

>>> from rollout import Recorder, load_history
>>> with Recorder() as rec:
...     rec.user_message("What is in this folder?")
...     rec.tool_output(rec.tool_call("shell", {"command": ["ls"]}), "README.md")
...     rec.agent_message("A README.")
>>> document = load_history(rec.path).document()
>>> [(item.kind, item.text or item.call.output) for item in document.turns[-1].items]
[('user', 'What is in this folder?'), ('call', 'README.md'), ('agent', 'A README.')]
"""

from typing import TYPE_CHECKING

from rollout._lazy import lazy_getattr
from rollout.document._builder import DocumentBuilder
from rollout.document._facts import call_facts as call_facts
from rollout.document._facts import session_facts as session_facts
from rollout.document._facts import turn_facts as turn_facts
from rollout.document._facts import usage_facts as usage_facts
from rollout.document._model import ITEM_KINDS, Call, Document, FileChange, Image, Item, PlanStep, Turn
from rollout.interpret import text_around as text_around

if TYPE_CHECKING:
    from rollout.document._frame import document_frame as document_frame
    from rollout.document._frame import frame_of as frame_of

__all__ = [
    "ITEM_KINDS",
    "Call",
    "Document",
    "DocumentBuilder",
    "FileChange",
    "Image",
    "Item",
    "PlanStep",
    "Turn",
]

# pandas tables, which few programs need.
__getattr__ = lazy_getattr(globals(), {"_frame": ["document_frame", "frame_of"]})
