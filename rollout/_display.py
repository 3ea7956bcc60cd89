"""
Objects that a notebook shows by themselves. Knows the protocol of IPython, not what is shown: that is in `_notebook`.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

__all__ = ["Displayed"]


class Displayed:
    """
    Has what IPython asks an object for.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        def _shown(self) -> dict[str, str]: ...

    def _repr_mimebundle_(
        self, include: Container[str] | None = None, exclude: Container[str] | None = None
    ) -> dict[str, str]:
        return {
            kind: text
            for kind, text in self._shown().items()
            if (include is None or kind in include) and (exclude is None or kind not in exclude)
        }

    def _repr_html_(self) -> str:
        return self._shown()["text/html"]
