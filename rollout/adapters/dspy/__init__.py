"""
Recording of DSPy's programs. Needs dspy.
"""

from __future__ import annotations

from rollout.adapters.dspy._hook import DSPyHook

__all__ = ["DSPyHook"]
