"""
A session as a document for readers: turns of items, calls with their outputs, made from its lines.

>>> from rollout import load_history
>>> document = load_history(session_id).document()
>>> [item.kind for turn in document.turns for item in turn.items]
['user', 'reasoning', 'call', 'agent']
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
