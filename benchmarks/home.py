"""
A home like that of a year with Codex, for lists and searches of many sessions; manifest.json lists its content.

The older third is as 0.36 writes it, the rest as 0.169. Texts are drawn from pools whose words follow Zipf's law; the
word `COMMON` is in about 30 % of the sessions, `RARE` in 12 of them. The same for the same seed, on the same day (UTC).
With ``--chinese``, the sentences are Chinese: 20,000 words of one to three of 3,000 characters, without spaces.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from itertools import accumulate, islice
from pathlib import Path
from random import Random
from string import ascii_letters, digits
from typing import Any

from rollout.codec import encode_item, encode_json, format_timestamp
from rollout.home._layout import RolloutName, archive_folder, day_folder
from rollout.reading._lines import zstd_module

COMMON, RARE = "parser", "xylotomous"
_YEAR = 365 * 86_400  # seconds
_DAMAGES = ("torn", "nul", "glued", "garbage")
_MODELS = ("gpt-5-codex", "gpt-5", "gpt-5.1-codex", "gpt-5.1-codex-mini", "gpt-5.2-codex", "o4-mini")
_WHENCE = (("codex_cli_rs", "cli"), ("codex_cli_rs", "cli"), ("codex_vscode", "vscode"), ("rollout", "exec"))
_REAL = """the of to a in is and that for it as with on this be by an are from or at not if we which has was can have
when there its so but will each no one only all new use then more two also first into than would must same out up they
does other used may what should you any like after still before set here just how see been some most because code test
value line name type file path return none error string list number class call data key order read write need make add
change fix run build check find keep move update handle create open close start stop send load save show print index
cache token stream buffer queue lock thread process socket server client request reply header body cookie session user
login page form button table column row query join select insert delete commit branch merge rebase patch diff review
issue ticket release tag deploy image node pod port host proxy network retry limit quota memory disk cpu latency trace
log metric alert config option flag default folder module package import export method result output input event hook
promise future task worker timer clock date zone locale byte bit float array object field schema model mock assert pass
fail skip warning stack frame pointer copy clone equal sort filter map reduce group count sum random seed hash sign
backup sync async await lint format style comment guide answer reason plan step next last empty large small fast slow"""
_SURROUNDINGS = "<environment_context>\n  <cwd>{}</cwd>\n  <shell>bash</shell>\n</environment_context>"
_SPECIAL = ("café", "naïve", "für", "Größe", "über", "déjà", "漢字", "設定", "日本語", "🎉", "✅", "→", "crème brûlée")
# A command, and what it prints: rows, and the last.
_RUNS = tuple({
    "ls -la src/{a}": ("-rw-r--r-- 1 dev dev {n:7d} Nov {m:2d} 11:{m:02d} {b}_{c}.py", "total {n}"),
    "pytest tests/test_{a}.py": ("tests/test_{a}.py::test_{b}_{c} PASSED [{m:3d}%]", "{n} passed in {m}.{n}s"),
    "make {a}": ("src/{a}/{b}.c:{n}:{m}: warning: unused variable '{c}' [-Wunused-variable]", "built /tmp/{h}"),
    "git diff {h}": ("+    {a} = self.{b}({c}, {n})\n-    {a} = {b}({c})", "index {h}..{n:07x} 100644"),
    "sed -n '1,{n}p' src/{a}.py": ("    if {a}.{b}({n}) is None:\n        # {s}\n        return {c}", ""),
    "rg -n {a}": ("src/{a}/{b}.py:{n}:    def {c}(self, {a}: str) -> None:", ""),
    "cat logs/{a}.log": ("{n} INFO {a}.{b}: {s}", "{h} ended after {m}.{n}s"),
}.items())  # fmt: skip
_Item = tuple[str, dict[str, Any]]


class _Pools:
    def __init__(self, seed: int, is_chinese: bool = False) -> None:
        random_ = Random(seed)
        choice, words = random_.choice, dict.fromkeys(_REAL.split())
        starts, ends = (*"bcdfghklmnprstvz", "br", "dr", "gl", "pl", "st", "tr"), ("", *"nlrsmx")
        while len(words) < 30_300:
            word = "".join(choice(starts) + choice("aeiou") for _ in range(choice((2, 2, 3, 3, 4)))) + choice(ends)
            words |= {} if word in (COMMON, RARE) else {word: None}
        spoken, joint = (self.chinese(random_), "") if is_chinese else (list(words), " ")
        weights = list(accumulate(1 / (rank + 3) for rank in range(len(spoken))))
        stream = iter(random_.choices(spoken, cum_weights=weights, k=1_000_000))
        some = random_.sample(list(words)[60:], 12_000)
        self.names = [*some[:4_000], *(f"{a}_{b}" for a, b in zip(some[4_000::2], some[4_001::2], strict=True))]
        self.sentences = [joint.join(islice(stream, random_.randint(6, 20))).capitalize() for _ in range(60_000)]
        for number in range(0, 60_000, 5):
            self.sentences[number] += choice((" `{}`", " `src/{}.py`", " `{}()`", ": {}")).format(choice(self.names))
        for number in range(2, 60_000, 20):
            self.sentences[number] += f" {choice(_SPECIAL)} {choice(_SPECIAL)}"
        self.rows = {command: [self.fill(row, random_) for _ in range(15_000)] for command, (row, _) in _RUNS}
        self.noise = "".join(random_.choices(ascii_letters + digits, k=200_000))
        self.instructions = ". ".join(self.sentences[:300])

    def chinese(self, random_: Random) -> list[str]:
        characters = random_.sample([chr(code) for code in range(0x4E00, 0x9FA6)], 3_000)
        weights = list(accumulate(1 / (rank + 30) for rank in range(3_000)))
        sizes = random_.choices((1, 2, 3), (1, 6, 1), k=20_000)
        return ["".join(random_.choices(characters, cum_weights=weights, k=size)) for size in sizes]

    def fill(self, text: str, random_: Random) -> str:
        n, (a, b, c) = random_.randrange(10_000), random_.choices(self.names, k=3)
        return text.format(a=a, b=b, c=c, n=n, m=n % 29, h=f"{n * 747_796_405:09x}", s=random_.choice(self.sentences))


_pools = cache(_Pools)


class _Session:
    """
    The topic of one session, and its progress: *size* is the size of its lines, *time_ms* is the current time.
    """

    def __init__(self, plan: dict[str, Any], number: int) -> None:
        self.random, self.pools = Random(f"{plan['seed']}/{number}"), _pools(plan["seed"], plan["chinese"])
        roll, choice, names = self.random.random, self.random.choice, self.pools.names
        self.time_ms = int((plan["end"] - _YEAR + (number + roll()) / plan["count"] * _YEAR) * 1000)
        self.begin, self.id, self.turn_id, self.size, self.line_count = self.time_ms / 1000, self.uuid(), "", 0, 0
        self.model, (self.originator, self.source), self.repository = choice(_MODELS), choice(_WHENCE), int(roll() * 40)
        self.cwd = f"/home/dev/{names[self.repository]}{choice(('', '/core', '/web', '/tools', '/docs'))}"
        branch = "main" if roll() < 0.4 else f"feature/{names[100 + int(roll() * 299)]}"
        self.git = {"commit_hash": f"{self.random.getrandbits(160):040x}", "branch": branch}
        self.git["repository_url"] = f"https://example.com/dev/{names[self.repository]}.git"
        # One of 500 is the work of hours.
        size = self.random.lognormvariate(10.33, 0.66) * (10 + 30 * roll() if roll() < 0.002 else 1)
        self.target = min(int(size), 5_000_000)
        start = 2_000 if number < plan["count"] // 3 else 24_000
        turns = choice((*(1,) * 8, *(2,) * 5, 3, 3, 3, 4, 4, 5, 6))
        self.turns, self.printed = min(turns, 1 + max(self.target - start, 0) // 8_000), 1_500
        if number == plan["big"]:
            self.target, self.turns, self.printed = plan["big_size"], 1 + plan["big_size"] // 200_000, 8_000
        # Every turn says at least three texts.
        words = [COMMON] * int(1 + roll() * 3 * self.turns) if roll() < 0.3 else [""]
        words[-1] = RARE if number in plan["rare"] else words[-1]
        self.due = self.random.sample([*words, *[""] * (3 * self.turns - len(words))], 3 * self.turns)

    def uuid(self) -> str:
        text = f"{self.time_ms:012x}7{self.random.getrandbits(74):019x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-8{text[17:20]}-{text[20:]}"

    def said(self, median: int) -> str:
        count = 1 + int(self.random.lognormvariate(0, 0.8) * median / 80)
        sentences = self.random.choices(self.pools.sentences, k=count)
        if self.due and (word := self.due.pop()):
            sentences.insert(count // 2, f"{sentences[0]} {word} {sentences[-1].lower()}")
        return f"{self.random.choice(('. ', '. ', chr(10), '.' + chr(10) * 2)).join(sentences)}."

    def ends(self) -> Iterator[int]:
        for left in range(self.turns, 0, -1):
            self.turn_id = self.uuid()
            self.time_ms += int(self.random.random() * 300_000)
            yield self.size + (self.target - self.size) // left

    def runs(self, end: int, needs: int, copies: int) -> Iterator[tuple[str, str, str, int]]:
        # Call id, command, what it prints and its exit code, as long as there is space before *end*.
        is_due = self.random.random() < 0.8
        while (space := (end - self.size - needs) // copies) > 0 or is_due:
            is_due = False
            command, (_, last) = self.random.choice(_RUNS)
            rows, code = self.pools.rows[command], self.random.choice((1, 1, 2, 101, 127))
            code *= self.random.random() < 0.08
            size = min(int(self.random.lognormvariate(0, 1.2) * self.printed), 100_000, max(space, 300))
            text = "\n".join(self.random.choices(rows, k=1 + size // len(rows[0])))
            last = self.pools.fill(f"Error: exit status {code}" if code else last, self.random)
            call_id = f"call_{self.random.getrandbits(96):024x}"
            yield call_id, self.pools.fill(command, self.random), f"{text}\n{last}\n", code

    def lines(self, items: Iterator[_Item], *, is_paginated: bool) -> Iterator[bytes]:
        for kind, payload in items:
            self.time_ms += int(self.random.random() ** 4 * 9_000)
            metadata = None
            if is_paginated and kind == "response_item":
                metadata = {"history_sequence": self.line_count, "client_authored": False}
                payload["internal_chat_message_metadata_passthrough"] = {"turn_id": self.turn_id}
            line = encode_item(kind, payload, self.time_ms, self.line_count if is_paginated else None, metadata)
            yield line
            self.size, self.line_count = self.size + len(line), self.line_count + 1

    # One shape after another, as in a file.
    # fmt: off
    def meta(self, version: str, **own: Any) -> _Item:
        return "session_meta", {"id": self.id, "timestamp": format_timestamp(self.time_ms), "cwd": self.cwd,
                                "originator": self.originator, "cli_version": version, **own, "git": self.git}

    def message(self, role: str, text: str, **own: str) -> _Item:
        content = [{"type": "output_text" if role == "assistant" else "input_text", "text": text}]
        return "response_item", {"type": "message", **own, "role": role, "content": content}

    def thought(self, *, is_completed: bool) -> Iterator[_Item]:
        text, own, at = self.said(100), {"id": f"rs_{self.line_count}"}, self.random.randrange(190_000)
        if is_completed:
            yield self.done("Reasoning", **own, summary_text=[text], raw_content=[])
        else:
            yield "event_msg", {"type": "agent_reasoning", "text": text}
            yield from self.usage(is_recorded=False)
        yield "response_item", {"type": "reasoning", **(own if is_completed else {}), "content": None,
                                "summary": [{"type": "summary_text", "text": text}],
                                "encrypted_content": f"gAAAA{self.pools.noise[at : at + 100 + at % 700]}"}

    def context(self, **own: str) -> _Item:
        return "turn_context", {**own, "cwd": self.cwd, "approval_policy": "never", "model": self.model,
                                "summary": "auto", "sandbox_policy": {"mode": "danger-full-access"}}

    def usage(self, *, is_recorded: bool) -> Iterator[_Item]:
        size, out = self.size // 4, 20 + self.line_count
        used = {"input_tokens": size, "cached_input_tokens": size // 2, "output_tokens": out,
                "reasoning_output_tokens": out // 4, "total_tokens": size + out}
        if is_recorded:
            yield "token_usage_record", {"thread_id": self.id, "turn_id": self.turn_id, "session_id": self.id,
                                         "usage": used, "turn_token_usage": used, "thread_token_usage": used}
        info = {"total_token_usage": used, "last_token_usage": used, "model_context_window": 258_400}
        yield "event_msg", {"type": "token_count", "info": info, "rate_limits": None}

    def legacy(self) -> Iterator[_Item]:
        at = self.repository * 300
        yield self.meta("0.36.0", instructions=self.pools.instructions[at : at + 1_000 + at // 6])
        yield self.message("user", _SURROUNDINGS.format(self.cwd))
        for end in self.ends():
            text, answer = self.said(120), self.said(500)
            yield self.message("user", text)
            yield "event_msg", {"type": "user_message", "message": text, "kind": "plain"}
            yield self.context()
            for call_id, command, printed, code in self.runs(end, 2_700 + 2 * len(answer), 1):
                yield from self.thought(is_completed=False)
                given = encode_json({"command": ["bash", "-lc", command]})
                output = encode_json({"output": printed, "metadata": {"exit_code": code, "duration_seconds": 0.1}})
                call = {"type": "function_call", "name": "shell", "arguments": given, "call_id": call_id}
                yield "response_item", call
                yield "response_item", {"type": "function_call_output", "call_id": call_id, "output": output}
                yield self.context()
            yield from self.thought(is_completed=False)
            yield "event_msg", {"type": "agent_message", "message": answer}
            yield self.message("assistant", answer)

    def done(self, kind: str, **item: Any) -> _Item:
        times = {"started_at_ms": self.time_ms, "completed_at_ms": self.time_ms}
        return "event_msg", {"type": "item_completed", "thread_id": self.id, "turn_id": self.turn_id,
                             "item": {"type": kind, **item}, **times}

    def paginated(self) -> Iterator[_Item]:
        base, orders = {"text": self.pools.instructions[:16_000]}, self.pools.instructions[:2_100]
        yield self.meta("0.169.0", session_id=self.id, runtime_workspace_roots=[self.cwd], source=self.source,
                        thread_source="user", model_provider="openai", base_instructions=base, history_mode="paginated")
        for end in self.ends():
            own, text, answer = {"turn_id": self.turn_id, "root_turn_id": self.turn_id}, self.said(120), self.said(500)
            yield "event_msg", {"type": "task_started", **own, "started_at": self.time_ms // 1000,
                                "model_context_window": 258_400, "collaboration_mode_kind": "default"}
            if self.line_count < 3:
                yield self.message("developer", f"<skills_instructions>\n{orders}\n</skills_instructions>")
                yield self.message("user", _SURROUNDINGS.format(self.cwd))
                places = {"local": {"cwd": self.cwd, "status": "available", "shell": "bash"}}
                skills = {"body": orders, "includeInstructions": True}
                yield "world_state", {"full": True, "state": {"environments": {"environments": places},
                                      "host_skills": skills, "model": self.model}}
            yield self.context(**own)
            yield self.message("user", text, id=f"msg_{self.uuid()}")
            content = [{"type": "text", "text": text, "text_elements": []}]
            yield self.done("UserMessage", id=self.uuid(), content=content)
            for call_id, command, printed, code in self.runs(end, 6_200 + 3 * len(answer), 2):
                yield from self.thought(is_completed=True)
                run = self._patch if command.startswith("git diff") else self._run
                yield from run(call_id, command, printed, code)
                yield from self.usage(is_recorded=True)
            yield from self.thought(is_completed=True)
            yield self.done("AgentMessage", id=f"msg_{self.line_count}", content=[{"type": "Text", "text": answer}])
            yield self.message("assistant", answer, id=f"msg_{self.line_count - 1}")
            yield from self.usage(is_recorded=True)
            yield "event_msg", {"type": "task_complete", **own, "last_agent_message": answer,
                                "completed_at": self.time_ms // 1000}

    def _run(self, call_id: str, command: str, printed: str, code: int) -> Iterator[_Item]:
        given = encode_json({"cmd": command})
        yield "response_item", {"type": "function_call", "name": "exec_command", "arguments": given,
                                "call_id": call_id}
        yield self.done("CommandExecution", id=call_id, command=["/bin/bash", "-lc", command], cwd=f"file://{self.cwd}",
                        parsed_cmd=[{"type": "unknown", "cmd": command}], status="failed" if code else "completed",
                        aggregated_output=printed, exit_code=code, duration={"secs": 0, "nanos": 100_000_000})
        ended = f"Wall time: 0.1000 seconds\nProcess exited with code {code}"
        output = f"Chunk ID: {call_id[-6:]}\n{ended}\nOutput:\n{printed}"
        yield "response_item", {"type": "function_call_output", "call_id": call_id, "output": output}

    def _patch(self, call_id: str, command: str, printed: str, code: int) -> Iterator[_Item]:
        path = f"src/{command[9:]}.py"
        patch = f"*** Begin Patch\n*** Update File: {path}\n@@\n{printed}*** End Patch"
        yield "response_item", {"type": "custom_tool_call", "status": "completed", "call_id": call_id,
                                "name": "apply_patch", "input": patch}
        yield self.done("FileChange", id=call_id, changes={path: {"type": "update", "unified_diff": printed}},
                        status="failed" if code else "completed")
        said = f"{path}: lines not found" if code else f"Success. Updated the following files:\nM {path}"
        output = f"Exit code: {code}\nWall time: 0.1 seconds\nOutput:\n{said}\n"
        yield "response_item", {"type": "custom_tool_call_output", "call_id": call_id, "output": output}
    # fmt: on


def _damage(lines: list[bytes], kind: str, random_: Random) -> None:
    at = -1 if kind == "torn" else random_.randrange(1, len(lines) - 1)
    half = lines[at][: len(lines[at]) // 2]
    lines[at] = {"nul": bytes(2_048), "garbage": b"Segmentation fault (core dumped)\n"}.get(kind, half)


def _write(plan: dict[str, Any], number: int) -> tuple[str, int, int, bool]:
    """
    Write the session with this number; return its id, its size on the disk, its turns, and whether it has `COMMON`.
    """
    session = _Session(plan, number)
    local, home, is_compressed = time.localtime(session.begin), Path(plan["folder"]), number in plan["compressed"]
    folder = archive_folder(home) if number in plan["archived"] else day_folder(home, local[:3])
    name = RolloutName(time.strftime("%Y-%m-%dT%H-%M-%S", local), session.id, is_compressed=is_compressed)
    path = folder / str(name)
    folder.mkdir(parents=True, exist_ok=True)
    is_paginated = number >= plan["count"] // 3
    lines = session.lines(session.paginated() if is_paginated else session.legacy(), is_paginated=is_paginated)
    with path.open("wb") as file:
        while block := list(islice(lines, 10_000)):
            if number in plan["damaged"]:
                _damage(block, plan["damaged"][number], session.random)
            content = b"".join(block)
            file.write(zstd_module(path).compress(content, 3) if is_compressed else content)
    os.utime(path, (session.time_ms / 1000,) * 2)
    return session.id, path.stat().st_size, session.turns, COMMON.encode() in content


def make_home(
    folder: Path, count: int = 100_000, *, seed: int = 1, big_size: int = 10**9, chinese: bool = False
) -> None:
    """
    Make a home of *count* sessions, in two processes.

    10 % are archived, 5 % compressed, 1 % damaged; one has *big_size* bytes, unless that is 0.
    """
    random_, big = Random(seed), count // 2 if big_size else -1
    numbers = random_.sample([number for number in range(count) if number != big], count - (big >= 0))
    first, last = count // 100, count // 100 + count // 20
    plan = {
        "folder": str(folder), "chinese": chinese, "count": count, "seed": seed, "big": big, "big_size": big_size,
        "end": (int(time.time()) - 21_600) // 86_400 * 86_400,
        "damaged": {number: _DAMAGES[place % 4] for place, number in enumerate(numbers[:first])},
        "compressed": frozenset(numbers[first:last]), "rare": frozenset(numbers[max(last - 2, 0) : last + 10]),
        "archived": frozenset(random_.sample(numbers, count // 10)),
    }  # fmt: skip
    _pools(seed, chinese)
    with ProcessPoolExecutor(2) as pool:
        later = pool.submit(_write, plan, big) if big >= 0 else None
        made = dict(zip(sorted(numbers), pool.map(partial(_write, plan), sorted(numbers), chunksize=250), strict=True))
    _, sizes, turns, commons = zip(*made.values(), strict=True)
    manifest = {
        "count": count, "seed": seed, "end": plan["end"], "legacy": count // 3, "archived": count // 10,
        "compressed": last - first, "turns": sum(turns), "size": sum(sizes), "median_size": statistics.median(sizes),
        "mean_size": statistics.fmean(sizes), "max_size": max(sizes), "big": later and later.result(),
        "damaged": {made[number][0]: kind for number, kind in plan["damaged"].items()},
        COMMON: sum(commons), RARE: [made[number][0] for number in sorted(plan["rare"])],
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=make_home.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--chinese", action="store_true")
    make_home(**vars(parser.parse_args()))
