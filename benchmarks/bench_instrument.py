"""
The cost of `rollout.instrument()`: the time of a call of the SDK, the memory of a conversation, the size of a file.

    python benchmarks/bench_instrument.py [--count 300] [--output FILE]

The model server of examples/loopback.py runs in its own process and, where there is one, on its own CPU. Two clients in
this process, one alone and one recorded, call it in turn. Needs openai and anthropic. Writes results/instrument.md.
"""

from __future__ import annotations

import argparse
import base64
import gc
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anthropic
import openai
from bench_record import quantiles
from data import text

import rollout

Json = dict[str, Any]

RESULTS = Path(__file__).parent / "results"
_LOOPBACK = Path(__file__).parent.parent / "examples" / "loopback.py"
_APIS = ("responses", "chat", "messages")
_SIZES = (10, 1_000)
_MESSAGE_SIZE = 300
# Calls of a conversation: the first one begins a session, the others continue it.
_CALLS = 6
_SAID = {"role": "assistant", "content": "It is sunny in Paris, 21 °C."}


@contextmanager
def model_server() -> Iterator[str]:
    """
    Run the model server in its own process and yield its URL.
    """
    with subprocess.Popen([sys.executable, _LOOPBACK], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(process.pid, {cpus[-1]})
        os.sched_setaffinity(0, {cpus[0]})
        yield process.stdout.readline().strip()
        process.terminate()


def make_client(api: str, url: str) -> Any:
    if api == "messages":
        return anthropic.Anthropic(base_url=url, api_key="none")
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none")


def send(client: Any, api: str, context: list[Json], **more: Any) -> None:
    """
    Send a request and read the answer to its end.
    """
    if api == "messages":
        result = client.messages.create(model="m", max_tokens=100, messages=context, **more)
    elif api == "chat":
        result = client.chat.completions.create(model="m", messages=context, **more)
    else:
        result = client.responses.create(model="m", input=context, **more)
    if more.get("stream"):
        for _ in result:
            pass


def make_context(size: int, random_: random.Random) -> list[Json]:
    """
    Return a context of *size* messages; the last one is of the user.
    """
    roles = ("assistant", "user")
    return [{"role": roles[(size - n) % 2], "content": text(random_, _MESSAGE_SIZE)} for n in range(size)]


def conversation(client: Any, api: str, context: list[Json], **more: Any) -> list[float]:
    """
    Hold a conversation and return the seconds of each call.
    """
    took = []
    for number in range(_CALLS):
        before = time.perf_counter()
        send(client, api, context, **more)
        took.append(time.perf_counter() - before)
        context += [_SAID, {"role": "user", "content": f"And number {number}?"}]
    return took


def calls(api: str, url: str, size: int, count: int, **more: Any) -> dict[str, Any]:
    """
    Measure the calls of both clients, conversation after conversation in turn; *count* calls each.
    """
    random_ = random.Random(size)
    clients = {"alone": make_client(api, url), "recorded": make_client(api, url)}
    first: dict[str, list[float]] = {name: [] for name in clients}
    later: dict[str, list[float]] = {name: [] for name in clients}
    with tempfile.TemporaryDirectory() as home, rollout.instrument(clients["recorded"], home=home) as sessions:
        for number in range(max(count // (_CALLS - 1), 1) + 1):
            gc.collect()
            # Now one is the first, now the other.
            for name in sorted(clients, reverse=bool(number % 2)):
                begin, *rest = conversation(clients[name], api, make_context(size, random_), **more)
                if number:
                    first[name].append(begin)
                    later[name] += rest
        assert not sessions.problems, sessions.problems
    for client in clients.values():
        client.close()
    found = {name: quantiles(took) for name, took in later.items()}
    return {**found, "first": {name: quantiles(took) for name, took in first.items()}}


def memory(url: str, size: int, count: int = 8) -> int:
    """
    Return the bytes that an open conversation keeps, without the messages, which the caller holds.
    """
    random_ = random.Random(size)
    client = make_client("chat", url)
    contexts = [make_context(size, random_) for _ in range(count + 1)]
    with tempfile.TemporaryDirectory() as home, rollout.instrument(client, home=home) as sessions:
        send(client, "chat", contexts.pop())
        sessions._log.flush()
        gc.collect()
        tracemalloc.start()
        for context in contexts:
            send(client, "chat", context)
        sessions._log.flush()
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    client.close()
    return kept // count


def disk(url: str, count: int = 50) -> dict[str, int]:
    """
    Return the sizes of a conversation of *count* requests with 20 tools and an image: what was sent, and its file.
    """
    random_ = random.Random(20)
    schema = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(8)}}
    tools = [
        {"type": "function", "name": f"tool_{n}", "description": text(random_, 300), "parameters": schema}
        for n in range(20)
    ]
    image = "data:image/png;base64," + base64.b64encode(random_.randbytes(100_000)).decode()
    content = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": image}]
    context: list[Json] = [{"role": "user", "content": content}]
    client, sent = make_client("responses", url), 0
    more = {"tools": tools, "tool_choice": "none"}
    with tempfile.TemporaryDirectory() as home:
        with rollout.instrument(client, home=home) as sessions:
            for number in range(count):
                send(client, "responses", context, **more)
                sent += len(json.dumps({"model": "m", "input": context, **more}))
                context += [_SAID, {"role": "user", "content": f"And number {number}?"}]
        (path,) = sessions.sessions.values()
        recorded = path.read_text()
    client.close()
    return {
        "sent": sent,
        "file": len(recorded),
        "tools": len(json.dumps(tools)),
        "tools_count": recorded.count('"name":"tool_7"'),
        "image": len(image),
        "image_count": recorded.count(image[-1000:]),
    }


def measure(url: str, count: int) -> dict[str, Any]:
    cases: dict[str, Callable[[], dict[str, Any]]] = {}
    for size in _SIZES:
        for api in _APIS:
            for more in ({}, {"stream": True}):
                way = "streamed" if more else "plain"
                cases[f"{api}, {way}, {size:,}"] = partial(calls, api, url, size, count, **more)
    found = {}
    for name, run in cases.items():
        found[name] = run()
        print(name, found[name]["recorded"]["p50"] - found[name]["alone"]["p50"], "us", flush=True)
    return {"calls": found, "memory": {size: memory(url, size) for size in _SIZES}, "disk": disk(url)}


def page(results: dict[str, Any], count: int) -> str:
    """
    Return the results as a page.
    """
    lines = [
        "# The cost of recording an SDK",
        "",
        f"`rollout.instrument()` on openai {openai.__version__} and anthropic {anthropic.__version__}, Python "
        f"{platform.python_version()}: about {count} calls of a client that is recorded and of one that is not, in "
        f"turn in one process. The model is a server on the loopback interface, in its own process. Messages have "
        f"{_MESSAGE_SIZE} characters. Milliseconds of a whole call; *more* is the difference of the medians. Made by "
        "[bench_instrument.py](../bench_instrument.py).",
        "",
        "| API, way, messages | alone p50 | p99 | recorded p50 | p99 | more | first call: alone p50 | recorded p50 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, case in results["calls"].items():
        alone, recorded, first = case["alone"], case["recorded"], case["first"]
        values = [alone["p50"], alone["p99"], recorded["p50"], recorded["p99"], recorded["p50"] - alone["p50"]]
        values += [first["alone"]["p50"], first["recorded"]["p50"]]
        lines.append(f"| {name} | " + " | ".join(f"{value / 1000:.2f}" for value in values) + " |")
    lines += ["", "The first call of a conversation begins a session, and records all its messages.", ""]
    lines += ["| an open conversation keeps, without the texts of its messages | |", "|---|---|"]
    lines += [f"| {size:,} messages | {kept / 1000:,.0f} kB |" for size, kept in results["memory"].items()]
    sizes = results["disk"]
    lines += [
        "",
        "| 50 requests of one conversation, with 20 tools and an image | |",
        "|---|---|",
        f"| bodies of the requests | {sizes['sent'] / 1e6:,.2f} MB |",
        f"| the session's file | {sizes['file'] / 1e6:,.2f} MB |",
        f"| the tools, {sizes['tools'] / 1e3:,.1f} kB, are in the file | {sizes['tools_count']} times |",
        f"| the image, {sizes['image'] / 1e3:,.0f} kB, is in the file | {sizes['image_count']} times |",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="calls of each case")
    parser.add_argument("--output", type=Path, default=RESULTS / "instrument.md")
    arguments = parser.parse_args()
    with model_server() as url:
        results = measure(url, arguments.count)
    arguments.output.write_text(page(results, arguments.count))
    print(arguments.output.read_text())


if __name__ == "__main__":
    main()
