"""
A copy of the modules under test that uses the threads and the clock of a scheduler, and may contain a fault.

The package's own modules are not changed: other tests may run in the same process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType

from tests.races.scheduler import Scheduler

_COMMANDS = "rollout.recording._commands"
_ENCODER = "rollout.recording._encoder"
_WRITER = "rollout.recording._writer"
# In an order in which each module comes after those that it imports.
_NAMES = ("queue", "rollout.recording._waiting", _COMMANDS, _ENCODER, "rollout.recording._queue", _WRITER)
# These modules use neither threads nor the clock. They are copied as they import the copies of other modules.
_WITHOUT_THREADS = (_COMMANDS, _ENCODER)


class Protocol:
    """
    Copies of the modules of the protocol between callers and writer, to be run by a scheduler.

    Args:
        faulty: Name of the module to change.
        changes: Pairs of old text, which the module contains once, and new text.
    """

    def __init__(self, faulty: str = "", changes: Sequence[tuple[str, str]] = ()) -> None:
        self.codes: list[CodeType] = []
        self._faulty = faulty
        self._changes = changes
        modules: dict[str, ModuleType] = {}
        before = {name: sys.modules.get(name) for name in _NAMES}
        try:
            for name in _NAMES:
                modules[name] = self._load(name)
        finally:
            for name, real in before.items():
                del sys.modules[name]
                if real is not None:
                    sys.modules[name] = real
        self.commands, self.writer = modules[_COMMANDS], modules[_WRITER]
        self._modules = [module for name, module in modules.items() if name not in _WITHOUT_THREADS]
        self._real = [(module, module.threading, module.time) for module in self._modules]

    def _load(self, name: str) -> ModuleType:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).read_text()
        for old, new in self._changes if name == self._faulty else ():
            assert source.count(old) == 1, f"{name} contains {old!r} {source.count(old)} times"
            source = source.replace(old, new)
        module = ModuleType(name)
        module.__file__ = spec.origin
        module.__package__ = name.rpartition(".")[0]
        sys.modules[name] = module
        code = compile(source, spec.origin, "exec")
        exec(code, vars(module))  # noqa: S102 -- the package's own source
        if name == "queue":
            module.time = sys.modules["time"]  # type: ignore[attr-defined]
        elif name != _ENCODER:
            self.codes += _functions(code)
        return module

    def stand_in(self, scheduler: Scheduler) -> None:
        """
        Replace the threads and the clock of the modules by those of a scheduler.
        """
        threading, time = scheduler.threading(), scheduler.time()
        for module in self._modules:
            module.threading, module.time = threading, time  # type: ignore[attr-defined]

    def restore(self) -> None:
        """
        Use the threads and the clock of the system again.
        """
        for module, threading, time in self._real:
            module.threading, module.time = threading, time  # type: ignore[attr-defined]

    @contextmanager
    def restored(self, scheduler: Scheduler) -> Iterator[None]:
        """
        Use the threads and the clock of the system within the ``with`` block.
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
