"""
Recording of agents of smolagents. Needs smolagents.
"""

from __future__ import annotations

from rollout.adapters.smolagents._recorder import StepRecorder

__all__ = ["StepRecorder"]
