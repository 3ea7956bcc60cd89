"""
A copy of the modules under test, whose threads and clock are a scheduler's, and in whose source a fault may be put.

The package's own modules stay as they are: other tests may run beside.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType

from tests.races.scheduler import Scheduler

_NAMES = ("queue", "rollout._commands", "rollout._encoder", "rollout._queue", "rollout._writer")


class Protocol:
    """
    The modules `_commands`, `_queue` and `_writer`, under a scheduler.

    Args:
        faulty: The module to change.
        changes: Old text, which stands there once, and new.
    """

    def __init__(self, faulty: str = "", changes: Sequence[tuple[str, str]] = ()) -> None:
        self.codes: list[CodeType] = []
        self._faulty = faulty
        self._changes = changes
        self._modules: list[ModuleType] = []
        before = {name: sys.modules.get(name) for name in _NAMES}
        try:
            for name in _NAMES:
                self._load(name)
        finally:
            for name, real in before.items():
                del sys.modules[name]
                if real is not None:
                    sys.modules[name] = real
        self.commands, encoder, self.queue, self.writer = self._modules[1:]
        # It knows the copy's commands, and has neither threads nor a clock.
        self._modules.remove(encoder)
        self._real = [(module, module.threading, module.time) for module in self._modules]

    def _load(self, name: str) -> None:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).read_text()
        for old, new in self._changes if name == self._faulty else ():
            assert source.count(old) == 1, f"{old!r} stands in {name} {source.count(old)} times"
            source = source.replace(old, new)
        module = ModuleType(name)
        module.__file__ = spec.origin
        module.__package__ = name.rpartition(".")[0]
        sys.modules[name] = module
        code = compile(source, spec.origin, "exec")
        exec(code, vars(module))  # noqa: S102 -- the package's own source
        if name == "queue":
            module.time = sys.modules["time"]  # type: ignore[attr-defined]
        elif name != "rollout._encoder":
            self.codes += _functions(code)
        self._modules.append(module)

    def stand_in(self, scheduler: Scheduler) -> None:
        """
        Let the threads and the clock of the modules be the scheduler's.
        """
        threading, time = scheduler.threading(), scheduler.time()
        for module in self._modules:
            module.threading, module.time = threading, time  # type: ignore[attr-defined]

    def restore(self) -> None:
        """
        Let them be the system's.
        """
        for module, threading, time in self._real:
            module.threading, module.time = threading, time  # type: ignore[attr-defined]

    @contextmanager
    def restored(self, scheduler: Scheduler) -> Iterator[None]:
        """
        Let them be the system's for a while.
        """
        self.restore()
        yield
        self.stand_in(scheduler)


def _functions(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_flags & 2:  # CO_NEWLOCALS: a function, not a class body
                yield inner
            yield from _functions(inner)
