"""
The command ``rollout``: the only room that prints, asks and exits. Needs the extra ``cli``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

_EXTRA = ("click", "platformdirs", "rich")


def main(args: Sequence[str] | None = None) -> None:
    """
    Run the command, and exit: 0 done or found, 1 nothing found, 2 error; ``rollout --help`` lists the others.
    """
    try:
        from rollout.cli._app import run  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        sys.stderr.write("rollout: the command needs: pip install 'rollout-recorder[cli]'\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run(args))
