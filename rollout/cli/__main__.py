"""
``python -m rollout.cli`` runs the command where its script is not on the path.
"""

from __future__ import annotations

from rollout.cli import main

main()
