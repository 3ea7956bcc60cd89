"""
A session as a document for readers: turns of items, calls with their outputs, made from its lines.

>>> from rollout import Recorder, load_history
>>> with Recorder() as rec:
...     rec.user_message("What is in this folder?")
...     rec.tool_output(rec.tool_call("shell", {"command": ["ls"]}), "README.md")
...     rec.agent_message("A README.")
>>> document = load_history(rec.path).document()
>>> [(item.kind, item.text or item.call.output) for item in document.turns[-1].items]
[('user', 'What is in this folder?'), ('call', 'README.md'), ('agent', 'A README.')]
"""

from rollout.document._builder import DocumentBuilder
from rollout.document._model import ITEM_KINDS, Call, Document, FileChange, Image, Item, PlanStep, Turn

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
