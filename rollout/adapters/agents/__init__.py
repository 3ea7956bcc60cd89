"""
Recording of agents of the OpenAI Agents SDK, and sessions of it that are rollouts. Needs openai-agents.
"""

from __future__ import annotations

from rollout.adapters.agents._processor import Processor
from rollout.adapters.agents._session import Session

__all__ = ["Processor", "Session"]
