"""
A bug ends the writer's thread.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.programs import Program


@pytest.mark.promise("death", naive="fails")
@pytest.mark.parametrize("waiting", ["flush", "close", "record"])
def test_after_the_writer_s_death_no_call_waits_forever_and_every_later_call_raises(
    program: Program, waiting: str, figure: Callable[[str], None]
) -> None:
    seconds = program.run(
        """
waiting = sys.argv[1]
rec = rollout.Recorder()
rec.flush()
logging.getLogger("rollout").addHandler(logging.NullHandler())
gate = threading.Event()
def bug(*args, **rest):
    gate.wait()
    raise RuntimeError("bug")
if rollout.__name__ == "rollout":
    import rollout.recording._writer
    rollout.recording._writer.Writer._encode = bug
else:
    rollout.json.dumps = bug
    threading.excepthook = lambda args: None
rec.record(message("lost"))
ends = []
def wait():
    try:
        if waiting == "record":
            while True:
                rec.record(message("more"))
        getattr(rec, waiting)()
    except rollout.WriteError as error:
        ends.append(error)
threads = [threading.Thread(target=wait, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
time.sleep(0.3)
start = time.monotonic()
gate.set()
for thread in threads:
    thread.join(5)
seconds = time.monotonic() - start
assert len(ends) == 4, ends
for call in (lambda: rec.record(message("x")), rec.flush, rec.close):
    try:
        call()
        raise SystemExit("said nothing")
    except rollout.WriteError as error:
        assert error.lost >= 1 and "bug" in str(error), error
print(seconds)
""",
        waiting,
    )

    assert float(seconds) < 2
    figure(f"4 threads waiting in {waiting} ended {float(seconds) * 1000:.0f} ms after the bug")
