"""
Recording of agents of Pydantic AI. Needs pydantic-ai-slim.
"""

from __future__ import annotations

from rollout.adapters.pydantic_ai._hook import PydanticAIHook

__all__ = ["PydanticAIHook"]
