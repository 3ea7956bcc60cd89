"""
Agents on the real SDKs that `rollout.instrument()` records: threads, forks, kills, ends of the program, and bad disks.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rollout import Recorder, load_history
from tests.adapters.apis import APIS, Answer, ModelServer, events_in
from tests.faults.programs import Program, file_system, frozen, in_order, mounted

for package in ("openai", "anthropic"):
    pytest.importorskip(package, reason=f"the SDK {package} is not installed")

AGENT = """
import faulthandler, functools, random, shutil
from tests.adapters.apis import APIS
responses, chat, messages = APIS

class server:
    url = sys.argv[1]

def ask(client, api, context, prompt, **more):
    context.append({"role": "user", "content": prompt})
    result = api.resource(client).create(**api.arguments(context, **more))
    if more.get("stream"):
        for event in result:
            pass
    else:
        assert f"re: {prompt}" in result.to_json(), result
    context.append({"role": "assistant", "content": f"re: {prompt}"})
    return context

def talk(client, api, name, numbers, context=None, **more):
    context = [] if context is None else [*context]
    for n in numbers:
        ask(client, api, context, f"{name}:{n}", **more)
    return context

def longest(count, act):
    took = []
    for n in range(count):
        start = time.monotonic()
        act(n)
        took.append(time.monotonic() - start)
    return max(took)
"""
SLOW = "one word after another " * 10


def answer(path: str, body: dict[str, Any]) -> Answer:
    """
    Return an answer that repeats the prompt, or a stream that takes a second.
    """
    prompt = (body.get("input") or body["messages"])[-1]["content"]
    return Answer(text=SLOW, pause=0.02) if "slow" in prompt else Answer(text=f"re: {prompt}")


@pytest.fixture
def url() -> Iterator[str]:
    with ModelServer(answer) as server:
        yield server.url


def sessions(home: Path) -> list[Path]:
    return sorted(home.glob("sessions/*/*/*/*.jsonl"))


def exchanges(name: str, *numbers: object) -> list[str]:
    """
    Return the texts of a conversation.
    """
    return [text for n in numbers for text in (f"{name}:{n}", f"re: {name}:{n}")]


def conversations(home: Path) -> list[list[str]]:
    """
    Return the texts of each session, sorted, of which each line can be read and each turn began and ended once.
    """
    for path in sessions(home):
        assert load_history(path).skipped == ()
        begun = [event["turn_id"] for event in events_in(path, "task_started")]
        ended = [event["turn_id"] for kind in ("task_complete", "turn_aborted") for event in events_in(path, kind)]
        assert begun
        assert Counter(begun) == Counter(ended)
        assert len(set(begun)) == len(begun)
    return sorted(in_order(path) for path in sessions(home))


# Measured with 3.13.1: the same program crashes without the hook, too.
fails_at_exit = pytest.mark.skipif(
    sys.version_info[:2] == (3, 13), reason="CPython 3.13 crashes at the end of a program with an open stream of an SDK"
)


class TestThreads:
    @pytest.mark.promise("instrumented")
    def test_each_conversation_of_threads_that_share_clients_is_one_whole_session_in_order(
        self, program: Program, home: Path, url: str, figure: Callable[[str], None]
    ) -> None:
        program.run(
            AGENT
            + """
sys.setswitchinterval(1e-5)
clients = [api.client(server) for api in APIS]
sessions = rollout.instrument()
def work(thread):
    contexts = [[] for _ in range(10)]
    for n in range(4):
        for number, context in enumerate(contexts):
            kind = (thread + number) % 3
            more = {"stream": True} if number % 2 else {}
            ask(clients[kind], APIS[kind], context, f"{thread}.{number}:{n}", **more)
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sessions.undo()
assert sessions.problems == {}, sessions.problems
assert len(sessions.sessions) == 80
""",
            url,
        )

        expected = [exchanges(f"{thread}.{number}", 0, 1, 2, 3) for thread in range(8) for number in range(10)]
        assert conversations(home) == sorted(expected)
        figure(
            "8 threads x 10 conversations at once through 3 clients: 80 sessions, 320 exchanges, each once, in order"
        )

    @pytest.mark.promise("instrumented")
    def test_a_flush_after_an_answer_includes_it_while_other_threads_record(
        self, program: Program, home: Path, url: str
    ) -> None:
        program.run(
            AGENT
            + """
own = threading.local()
client = chat.client(server)
def slow(value):
    time.sleep(0.002)
    return value
sessions = rollout.instrument(redact=slow, on_session=lambda recorder: setattr(own, "recorder", recorder))
missing = []
def work(thread):
    context = []
    for n in range(12):
        ask(client, chat, context, f"{thread}:{n}", **({"stream": True} if thread % 2 else {}))
        own.recorder.flush()
        if f"re: {thread}:{n}" not in own.recorder.path.read_text():
            missing.append((thread, n))
threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert missing == [], missing
assert sessions.problems == {}, sessions.problems
""",
            url,
        )

        assert conversations(home) == sorted(exchanges(str(thread), *range(12)) for thread in range(6))


class TestForks:
    @pytest.mark.promise("instrumented")
    @pytest.mark.parametrize(
        "ending", ["sys.exit()", "sessions.undo(); os._exit(0)", "sessions._log.flush(); os._exit(0)"]
    )
    @pytest.mark.parametrize("api", APIS, ids=repr)
    def test_after_a_fork_in_a_conversation_parent_and_child_have_a_whole_session_each(
        self, program: Program, home: Path, url: str, api: Any, ending: str
    ) -> None:
        program.run(
            AGENT
            + f"""
api = {api}
client = api.client(server)
sessions = rollout.instrument()
context = talk(client, api, "x", [0, 1])
client.close()
if not (pid := os.fork()):
    talk(api.client(server), api, "x", ["child 2", "child 3"], context)
    assert len(sessions.sessions) == 1
    {ending}
talk(api.client(server), api, "x", ["parent 2", "parent 3"], context)
wait(pid)
talk(api.client(server), api, "y", [0])
assert sessions.problems == {{}}, sessions.problems
""",
            url,
        )

        assert conversations(home) == [
            exchanges("x", 0, 1, "child 2", "child 3"),
            exchanges("x", 0, 1, "parent 2", "parent 3"),
            exchanges("y", 0),
        ]

    @fails_at_exit
    @pytest.mark.promise("instrumented")
    def test_a_child_neither_ends_the_turn_of_its_parent_nor_records_its_stream(
        self, program: Program, home: Path, url: str
    ) -> None:
        program.run(
            AGENT
            + """
sessions = rollout.instrument()
client = chat.client(server)
stream = client.chat.completions.create(**chat.arguments([{"role": "user", "content": "x"}], stream=True))
events = iter(stream)
next(events)
if not (pid := os.fork()):
    del events, stream
    gc.collect()
    assert sessions.problems == {}, sessions.problems
    sys.exit()
wait(pid)
if not (pid := os.fork()):
    sessions.undo()
    sys.exit()
wait(pid)
for event in events:
    pass
""",
            url,
        )

        assert conversations(home) == [["x", "re: x"]]

    @fails_at_exit
    @pytest.mark.promise("instrumented")
    # Only a forked child inherits something.
    @pytest.mark.parametrize(
        ("method", "is_own"), [("fork", False), ("fork", True), ("forkserver", True), ("spawn", True)]
    )
    def test_children_of_multiprocessing_record_each_conversation_once(
        self, program: Program, home: Path, url: str, method: str, is_own: bool, tmp_path: Path
    ) -> None:
        script = f"""
if {is_own}:
    import rollout
    rollout.instrument()
context = talk(client := chat.client(server), chat, name, [0, 1])
# The end of the process records what came of it.
kept = chat.resource(client).create(**chat.arguments([*context, {{"role": "user", "content": "slow"}}], stream=True))
iterator = iter(kept)
for _ in range(8):
    next(iterator)
import __main__
__main__.kept = kept, iterator
"""
        (tmp_path / "agent_child.py").write_text(
            "import sys\n"
            + "def work(name, url):\n    sys.argv[1:] = [url]\n    "
            + f"exec({AGENT + script!r}, {{'sys': sys, 'name': name}})\n"
        )
        program.run(
            AGENT
            + f"""
sys.path.insert(0, sys.argv[2])
import agent_child
sessions = rollout.instrument()
begun = talk(client := chat.client(server), chat, "parent", [0])
context = multiprocessing.get_context({method!r})
children = [context.Process(target=agent_child.work, args=(f"child {{n}}", sys.argv[1])) for n in range(3)]
for child in children:
    child.start()
for child in children:
    child.join()
    assert child.exitcode == 0, child
talk(client, chat, "parent", [1], begun)
assert sessions.problems == {{}}, sessions.problems
""",
            url,
            tmp_path,
        )

        *of_children, of_parent = conversations(home)
        assert of_parent == exchanges("parent", 0, 1)
        assert [texts[:5] for texts in of_children] == [[*exchanges(f"child {n}", 0, 1), "slow"] for n in range(3)]
        for *_, cut in of_children:
            assert cut
            assert SLOW.startswith(cut)

    @pytest.mark.promise("instrumented")
    def test_a_fork_while_another_thread_records_leaves_no_child_waiting(
        self, program: Program, home: Path, url: str, figure: Callable[[str], None]
    ) -> None:
        program.run(
            AGENT
            + """
def slow(value):
    time.sleep(0.001)
    return value
sessions = rollout.instrument(redact=slow)
busy, is_over, held = chat.client(server), threading.Event(), 0
# The SDK takes locks of its own at its first request, which a fork could leave held.
talk(busy, chat, "before", [0, 1])
def work(thread):
    number = 0
    while not is_over.is_set():
        talk(busy, chat, f"busy {thread}.{number}", [0, 1])
        number += 1
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
for thread in threads:
    thread.start()
# Otherwise the last collection of each child copies the memory of the parent: 20 s on a busy machine.
gc.collect()
gc.freeze()
for n in range(20):
    time.sleep(random.random() / 100)
    held += sessions._log.work._is_busy
    if not (pid := os.fork()):
        faulthandler.dump_traceback_later(90, exit=True)
        talk(chat.client(server), chat, f"child {n}", [0, 1])
        assert sessions.problems == {}, sessions.problems
        os.kill(os.getpid(), signal.SIGKILL) if n % 5 == 4 else sys.exit()
    status = os.waitpid(pid, 0)[1]
    assert os.waitstatus_to_exitcode(status) == (-signal.SIGKILL if n % 5 == 4 else 0), (n, status)
is_over.set()
for thread in threads:
    thread.join()
assert sessions.problems == {}, sessions.problems
assert held > 2, held
""",
            url,
        )

        killed = {f"child {n}" for n in range(4, 20, 5)}
        names = set()
        # A child that was killed at once has left an empty file.
        written = [path for path in sessions(home) if path.stat().st_size]
        for texts in filter(None, map(in_order, written)):
            name = texts[0].partition(":")[0]
            assert name not in names
            names.add(name)
            assert texts == exchanges(name, 0, 1)[: len(texts) if name in killed else 4]
        assert {f"child {n}" for n in range(20)} <= names | killed
        figure("20 forks while 3 threads recorded: no child waited, no session of the parent has a line of a child")

    @pytest.mark.promise("instrumented")
    def test_a_child_records_into_agents_of_the_recorder_of_its_parent(
        self, program: Program, home: Path, url: str
    ) -> None:
        program.run(
            AGENT
            + """
from rollout.adapters._log import Log
from rollout.adapters._funnel import hooked
own = chat.client(server)
with rollout.Recorder() as recorder:
    log = Log(recorder=recorder)
    def client():
        made = chat.client(server)
        made.request = hooked(made.request, log)
        return made
    context = talk(client(), chat, "x", [0])
    if not (pid := os.fork()):
        talk(client(), chat, "x", ["child"], context)
        log.close()
        assert log.work.problems == {}, log.work.problems
        os._exit(0)
    wait(pid)
    talk(client(), chat, "x", ["parent"], context)
    log.close()
    assert log.work.problems == {}, log.work.problems
""",
            url,
        )

        assert sorted(map(in_order, sessions(home))) == [exchanges("x", 0, "child"), exchanges("x", 0, "parent")]

    @pytest.mark.promise("instrumented")
    def test_a_function_of_the_caller_may_fork(self, program: Program, home: Path, url: str) -> None:
        program.run(
            AGENT
            + """
logging.disable()
pids = []
def fork(recorder):
    if not pids:
        pids.append(os.fork())
sessions = rollout.instrument(on_session=fork)
talk(chat.client(server), chat, "x", [0])
if not pids[0]:
    ((problem, count),) = sessions.problems.items()
    assert "forked" in problem and count == 1, sessions.problems
    talk(chat.client(server), chat, "child", [0])
    sys.exit()
wait(pids[0])
""",
            url,
        )

        assert conversations(home) == [exchanges("child", 0), exchanges("x", 0)]


class TestKills:
    @pytest.mark.promise("instrumented")
    @pytest.mark.parametrize("kills", [6, pytest.param(300, marks=pytest.mark.slow)])
    def test_after_a_kill_every_exchange_that_was_flushed_is_in_its_session_once(
        self, program: Program, home: Path, url: str, kills: int, figure: Callable[[str], None]
    ) -> None:
        told = program.run(
            AGENT
            + """
kills = int(sys.argv[2])
# So that the children need not load the modules of the SDK.
talk(chat.client(server), chat, "before", [0])
moments = random.Random(kills)
def agent(number, told):
    own = threading.local()
    rollout.instrument(on_session=lambda recorder: setattr(own, "recorder", recorder))
    client = chat.client(server)
    def work(thread):
        for conversation in range(10_000):
            context = []
            for n in range(5):
                name = f"{number}.{thread}.{conversation}"
                ask(client, chat, context, f"{name}:{n}:" + "x" * random.choice([10, 1000, 200_000]))
                own.recorder.flush()
                os.write(told, f"{name}:{n}\\n".encode())
    for thread in range(3):
        threading.Thread(target=work, args=(thread,)).start()
    time.sleep(100)
for number in range(kills):
    read, write = os.pipe()
    if not (pid := os.fork()):
        os.close(read)
        agent(number, write)
    os.close(write)
    with open(read) as lines:
        said = [lines.readline()]
        time.sleep(moments.random() / 10)
        os.kill(pid, signal.SIGKILL)
        said += lines
    os.waitpid(pid, 0)
    print(*said, sep="", end="", flush=True)
""",
            url,
            kills,
        ).split()

        found: Counter[str] = Counter()
        torn = 0
        for path in sessions(home):
            if not path.read_bytes():
                # The kill came before the first line.
                continue
            with Recorder.resume(path) as recorder:
                recorder.agent_message("end::")
            torn += len(load_history(path).skipped)
            *messages, end = in_order(path)
            found.update(":".join(text.split(":")[:-1]) for text in messages)
            assert end == "end::"
        lost = [name for name in told if not found[name] or not found[f"re: {name}"]]
        twice = [name for name, count in found.items() if count > 1]
        assert (lost, twice) == ([], [])
        assert len(told) >= kills
        figure(
            f"{kills:,} kills of an agent with 3 threads: {len(told):,} exchanges acknowledged, {len(lost)} lost, "
            f"{len(twice)} twice, {torn} half lines"
        )


class TestEnds:
    @fails_at_exit
    @pytest.mark.promise("instrumented")
    @pytest.mark.parametrize("api", APIS, ids=repr)
    @pytest.mark.parametrize(
        ("ending", "code", "reason"),
        [("", 0, None), ("sys.exit(3)", 3, None), ("raise ValueError('boom')", 1, "ValueError: boom")],
        ids=["end", "sys.exit", "exception"],
    )
    def test_a_program_that_ends_without_undo_has_everything_in_the_file(
        self, program: Program, home: Path, url: str, api: Any, ending: str, code: int, reason: str | None
    ) -> None:
        done = program.end(
            AGENT
            + f"""
rollout.instrument()
client = {api}.client(server)
context = talk(client, {api}, "x", [0, 1])
arguments = {api}.arguments([*context, {{"role": "user", "content": "slow"}}], stream=True)
stream = {api}.resource(client).create(**arguments)
events = iter(stream)
for _ in range(12):
    next(events)
{ending}
""",
            url,
        )

        assert done.returncode == code
        assert ("boom" in done.stderr) == (reason is not None)
        ((*texts, cut),) = conversations(home)
        assert texts == [*exchanges("x", 0, 1), "slow"]
        assert cut
        assert SLOW.startswith(cut)
        (path,) = sessions(home)
        assert [event.get("error", {}).get("message") for event in events_in(path, "task_complete")][2:] == [reason]

    @pytest.mark.promise("instrumented")
    @pytest.mark.parametrize("api", APIS, ids=repr)
    @pytest.mark.parametrize("is_caught", [False, True], ids=["ends", "goes on"])
    def test_ctrl_c_in_the_middle_of_a_stream_keeps_what_came_and_the_turn_is_interrupted(
        self, program: Program, home: Path, url: str, api: Any, is_caught: bool
    ) -> None:
        script = (
            AGENT
            + f"""
signal.signal(signal.SIGINT, signal.default_int_handler)
rollout.instrument()
client = {api}.client(server)
context = talk(client, {api}, "x", [0])
try:
    stream = {api}.resource(client).create(
        **{api}.arguments([*context, {{"role": "user", "content": "slow"}}], stream=True)
    )
    for number, event in enumerate(stream):
        if number == 12:
            print("reading", flush=True)
except KeyboardInterrupt:
    if not {is_caught}:
        raise
    talk(client, {api}, "x", [1], context)
"""
        )
        with program.start(script, url) as child:
            assert child.stdout is not None and child.stderr is not None
            assert child.stdout.readline() == "reading\n"
            time.sleep(random.random() / 10)
            child.send_signal(signal.SIGINT)
            child.stderr.read()

        assert child.returncode == (0 if is_caught else -signal.SIGINT)
        ((*texts, cut),) = [texts[:4] for texts in conversations(home)]
        assert texts == [*exchanges("x", 0), "slow"]
        assert cut
        assert SLOW.startswith(cut)
        (path,) = sessions(home)
        assert [event["reason"] for event in events_in(path, "turn_aborted")] == ["interrupted"]
        assert in_order(path)[4:] == (exchanges("x", 1) if is_caught else [])

    @pytest.mark.promise("instrumented")
    def test_a_call_that_waits_for_its_output_at_the_end_is_in_the_file(
        self, program: Program, home: Path, url: str
    ) -> None:
        with ModelServer() as server:
            program.run(
                AGENT
                + """
rollout.instrument()
client = chat.client(server)
client.chat.completions.create(**chat.arguments([{"role": "user", "content": "Weather?"}], tools=[chat.tool]))
""",
                server.url,
            )

        assert conversations(home) == [["Weather?"]]
        (path,) = sessions(home)
        assert len(events_in(path, "function_call")) == 1

    @pytest.mark.promise("instrumented")
    def test_exit_handlers_and_threads_that_outlive_the_main_thread_are_recorded(
        self, program: Program, home: Path, url: str
    ) -> None:
        program.run(
            AGENT
            + """
import atexit
client = chat.client(server)
atexit.register(lambda: talk(client, chat, "handler", [0, 1]))
rollout.instrument()
main = threading.main_thread()
threading.Thread(target=lambda: (main.join(), talk(client, chat, "thread", [0, 1]))).start()
""",
            url,
        )

        found = sorted(map(in_order, sessions(home)))
        assert exchanges("thread", 0, 1) in found

    @pytest.mark.promise("instrumented")
    def test_interrupts_at_any_moment_lose_no_exchange_without_a_count_and_record_none_twice(
        self, program: Program, home: Path, url: str, figure: Callable[[str], None]
    ) -> None:
        printed = program.run(
            AGENT
            + """
logging.disable()
def interrupt(*args):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
# Python ignores an interrupt in the callback of a weak reference, as when a thread is forgotten, and reports it here.
sys.unraisablehook = lambda _: None
sessions = rollout.instrument()
client, told, answered = chat.client(server), 0, []
# Modules are loaded before: an interrupt in the middle of an import breaks them.
talk(client, chat, "before", [0])
for turn in range(300):
    context = []
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.000_3 * (turn % 60 + 1))
        for _ in range(60):
            ask(client, chat, context, f"{turn}:{len(context)}")
            answered.append(f"{turn}:{len(context) - 2}")
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        told += 1
signal.setitimer(signal.ITIMER_REAL, 0)
done = threading.Thread(target=talk, args=(chat.client(server), chat, "after", [0]))
done.start()
done.join()
sessions.undo()
print(told, sum(sessions.problems.values()), *answered)
""",
            url,
        ).split()

        interrupts, problems, answered = int(printed[0]), int(printed[1]), printed[2:]
        found = Counter(text for path in sessions(home) for text in in_order(path))
        lost = [name for name in answered if not found[f"re: {name}"]]
        twice = [text for text, count in found.items() if count > 1]
        assert twice == []
        assert len(lost) <= problems
        assert found["re: after:0"] == 1
        counts = f"{len(answered):,} answers, {len(lost)} lost and counted, {len(twice)} twice"
        figure(f"{interrupts} interrupts at any moment: {counts}")


class TestDisks:
    @pytest.mark.promise("hook and disk")
    def test_at_a_file_size_limit_the_agent_goes_on_and_everything_is_written_when_it_is_lifted(
        self, program: Program, home: Path, url: str
    ) -> None:
        slowest = program.run(
            AGENT
            + """
own = []
sessions = rollout.instrument(on_session=own.append)
client, context = chat.client(server), []
ask(client, chat, context, "x:0")
own[0].flush()
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (own[0].path.stat().st_size + 100, hard))
slowest = longest(100, lambda n: ask(client, chat, context, f"x:{n + 1}"))
slowest = max(slowest, longest(100, lambda n: talk(client, chat, f"y{n}", [0])))
assert own[0].stats.pending
assert sessions.problems == {}, sessions.problems
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
sessions.undo()
assert sessions.problems == {}, sessions.problems
print(slowest)
""",
            url,
        )

        assert float(slowest) < 3
        found = sorted(in_order(path) for path in sessions(home))
        assert found == sorted([exchanges("x", *range(101)), *(exchanges(f"y{n}", 0) for n in range(100))])

    @pytest.mark.promise("hook and disk")
    def test_on_a_full_file_system_the_agent_goes_on_and_everything_is_written_when_there_is_space(
        self, program: Program, url: str, tmp_path: Path
    ) -> None:
        disk = tmp_path / "disk"
        with mounted(disk, "-t", "tmpfs", "-o", "size=1m", "none"):
            program.run(
                AGENT
                + """
home = sys.argv[2]
sessions = rollout.instrument(home=home)
client, context = chat.client(server), []
ask(client, chat, context, "x:0")
with open(home + "/filler", "wb", buffering=0) as file:
    try:
        for _ in range(1000):
            file.write(b"x" * 4096)
    except OSError:
        pass
for n in range(50):
    ask(client, chat, context, f"x:{n + 1}")
talk(client, chat, "y", [0, 1])
os.unlink(home + "/filler")
talk(client, chat, "z", [0])
sessions.undo()
assert sessions.problems == {}, sessions.problems
""",
                url,
                disk / "home",
            )

            assert conversations(disk / "home") == sorted(
                [exchanges("x", *range(51)), exchanges("y", 0, 1), exchanges("z", 0)]
            )

    @pytest.mark.promise("hook and disk")
    def test_what_a_full_disk_leaves_no_memory_for_is_counted_and_the_agent_does_not_wait(
        self, program: Program, home: Path, url: str, figure: Callable[[str], None]
    ) -> None:
        printed = program.run(
            AGENT
            + """
logging.disable()
import rollout.adapters._sessions as sessions_module
def full(fd, data):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
sessions_module.Recorder = disk.Recorder
sessions = rollout.instrument()
client, texts = responses.client(server), ["x" * 1_000_000] * 30
disk.write = full
last = [None]
def go_on(text):
    more = {"previous_response_id": last[0]} if last[0] else {}
    result = client.responses.create(model="m", input=[{"role": "user", "content": text}], **more)
    last[0] = result.id
    assert "re: " in result.output_text
slowest = longest(30, lambda n: go_on(f"{n}:" + texts[n]))
counted = sum(sessions.problems.values())
(text,) = {text.partition(": ")[2].partition(":")[0] for text in sessions.problems}
del disk.write
time.sleep(2)
go_on("after")
sessions.undo()
assert counted == sum(sessions.problems.values())
print(slowest, counted, text)
""",
            url,
        ).split()

        slowest, counted, kind = printed
        assert float(slowest) < 5
        assert int(counted) > 0
        assert kind == "RecorderFullError"
        (path,) = sessions(home)
        texts = in_order(path)
        assert texts[-2:] == ["after", "re: after"]
        assert load_history(path).skipped == ()
        assert Counter(text.partition("x")[0] for text in texts[:-2]).most_common(1)[0][1] == 1
        assert 62 - len(texts) <= int(counted)
        figure(f"64 MiB waited for a full disk: {62 - len(texts)} of 62 messages not kept, counted; no answer was late")

    @pytest.mark.promise("hook and disk")
    def test_on_a_disk_that_hangs_the_agent_goes_on_and_its_program_ends_in_time(
        self, program: Program, home: Path, url: str, figure: Callable[[str], None]
    ) -> None:
        done = program.end(
            AGENT
            + """
import rollout.adapters._sessions as sessions_module, rollout.recording._lifecycle as lifecycle
lifecycle.EXIT_TIMEOUT = 1.0
sessions_module.Recorder = disk.Recorder
never = threading.Event()
sessions = rollout.instrument()
client = chat.client(server)
talk(client, chat, "x", [0])
disk.write = lambda fd, data: never.wait()
context = []
slowest = longest(300, lambda n: ask(client, chat, context, f"y:{n}"))
assert sessions.problems == {}, sessions.problems
slowest = max(slowest, longest(100, lambda n: talk(client, chat, f"z{n}", [0])))
assert all("already wait for the disk" in text for text in sessions.problems), sessions.problems
print(slowest)
""",
            url,
        )

        assert done.returncode == 0
        assert float(done.stdout) < 3
        assert "at exit: " in done.stderr

    @pytest.mark.promise("hook and disk")
    def test_a_session_that_a_hanging_disk_does_not_open_delays_one_request_and_is_counted(
        self, program: Program, home: Path, url: str
    ) -> None:
        program.run(
            AGENT
            + """
logging.disable()
import rollout.adapters._opening as opening, rollout.recording._recorder as recorders
opening.OPEN_TIMEOUT = 0.5
sessions = rollout.instrument()
client, hang, create = chat.client(server), threading.Event(), recorders.create_session_file
talk(client, chat, "before", [0])
def hanging(*args):
    assert hang.wait(30)
    return create(*args)
recorders.create_session_file = hanging
assert 0.5 <= longest(1, lambda n: talk(client, chat, "x", [n])) < 3
assert longest(20, lambda n: talk(client, chat, "y", [n])) < 0.4
assert sorted(sessions.problems.values()) == [1, 20], sessions.problems
assert all("the disk" in text for text in sessions.problems)
hang.set()
while threading.active_count() > 2:
    time.sleep(0.01)
recorders.create_session_file = create
talk(client, chat, "after", [0, 1])
sessions.undo()
""",
            url,
        )

        assert sorted(filter(None, map(in_order, sessions(home)))) == [
            exchanges("after", 0, 1),
            exchanges("before", 0),
        ]

    @pytest.mark.promise("hook and disk")
    def test_on_a_frozen_file_system_the_agent_gets_its_answers(
        self, program: Program, url: str, tmp_path: Path, figure: Callable[[str], None]
    ) -> None:
        disk = tmp_path / "disk"
        script = (
            AGENT
            + """
logging.disable()
sessions = rollout.instrument(home=sys.argv[2])
client, context = chat.client(server), []
ask(client, chat, context, "x:0")
sessions._log.flush()
print("begun", flush=True)
input()
print(longest(100, lambda n: ask(client, chat, context, f"x:{n + 1}")), flush=True)
print(longest(20, lambda n: talk(client, chat, "new", [n])), sum(sessions.problems.values()), flush=True)
input()
talk(client, chat, "after", [0])
sessions.undo()
"""
        )
        with mounted(disk, "-o", "loop", str(file_system(tmp_path / "image"))):
            with program.start(script, url, disk / "home") as child:
                assert child.stdout is not None
                assert child.stdout.readline() == "begun\n"
                with frozen(disk, child):
                    known = float(child.stdout.readline())
                    new, counted = child.stdout.readline().split()
                assert child.wait(60) == 0
            found = sorted(filter(None, map(in_order, sessions(disk / "home"))))
        assert known < 3
        assert float(new) < 9
        assert int(counted) == 20
        assert exchanges("x", *range(101)) in found
        figure(
            f"frozen file system: an answer of a known conversation took at most {known:.2f} s; of 20 new ones the "
            f"first waited {float(new):.1f} s, all 20 counted"
        )


class TestHomes:
    @pytest.mark.promise("hook and disk")
    def test_after_its_home_is_deleted_the_agent_goes_on_and_problems_state_it(
        self, program: Program, home: Path, url: str
    ) -> None:
        program.run(
            AGENT
            + """
logging.disable()
sessions = rollout.instrument()
client = chat.client(server)
context = talk(client, chat, "x", [0])
shutil.rmtree(os.environ["CODEX_HOME"])
talk(client, chat, "x", [1], context)
talk(client, chat, "new", [0, 1])
sessions.undo()
assert sessions.problems, "no word of the deleted file"
print(list(sessions.problems))
""",
            url,
        )

        assert conversations(home) == [exchanges("new", 0, 1)]

    @pytest.mark.promise("hook and disk")
    @pytest.mark.parametrize("api", APIS, ids=repr)
    def test_a_closed_session_whose_file_is_gone_goes_on_in_a_new_one_with_the_whole_context(
        self, program: Program, home: Path, url: str, api: Any
    ) -> None:
        program.run(
            AGENT
            + f"""
logging.disable()
own = []
sessions = rollout.instrument(on_session=own.append)
client = {api}.client(server)
context = talk(client, {api}, "x", [0, 1])
own[0].close()
own[0].path.unlink()
talk(client, {api}, "x", [2, 3], context)
sessions.undo()
((problem, count),) = sessions.problems.items()
assert count == 1 and own[0].session_id in problem, sessions.problems
""",
            url,
        )

        assert conversations(home) == [exchanges("x", 0, 1, 2, 3)]

    @pytest.mark.promise("hook and disk")
    def test_in_a_read_only_home_the_agent_goes_on_and_problems_name_the_path(
        self, program: Program, home: Path, url: str
    ) -> None:
        script = (
            AGENT
            + """
logging.disable()
sessions = rollout.instrument()
client = chat.client(server)
talk(client, chat, "x", range(5))
assert sum(sessions.problems.values()) == 5, sessions.problems
print(*sessions.problems)
"""
        )
        if os.getuid():
            home.mkdir(mode=0o500)
            printed = program.run(script, url)
            home.chmod(0o700)
        else:
            with mounted(home, "-t", "tmpfs", "-o", "ro", "none"):
                printed = program.run(script, url)

        assert str(home) in printed
        assert re.search("PermissionError|Read-only file system", printed)
