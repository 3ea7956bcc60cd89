"""
Recording of agents of LangChain and LangGraph. Needs langchain-core.
"""

from __future__ import annotations

from rollout.adapters.langchain._handler import Handler

__all__ = ["Handler"]
