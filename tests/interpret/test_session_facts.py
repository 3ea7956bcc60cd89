from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rollout import schema
from rollout.codec import RolloutLine
from rollout.interpret import (
    Compacted,
    Context,
    Filters,
    GoalSet,
    Interpreter,
    Prompt,
    Quiet,
    Renamed,
    SessionBegan,
    SessionFacts,
    Settings,
    meta_of_name,
    with_recovered_cwd,
)
from tests.builders import completed, decoded
from tests.interpret.facts import facts_of, of_kind
from tests.rollouts import GIT, ID, Line, event, message, meta, prompt, surroundings

PARENT = "00b1fbb5-7abd-7c53-8766-f128212a613b"


def session_of(*lines: Line) -> SessionFacts:
    facts = SessionFacts()
    reader = Interpreter(has_texts=False)
    for line in lines:
        facts.add(reader.feed(decoded(line)))
    return facts


def goal(text: Any) -> Line:
    return event("thread_goal_updated", goal={"objective": text})


def compacted(*items: Any, text: Any = "") -> Line:
    return "compacted", {"message": text, "replacement_history": list(items)}


class TestSessionFacts:
    def test_are_those_of_the_meta_the_settings_and_the_first_prompt(self) -> None:
        git = {**GIT, "repository_url": "https://example.org/demo"}
        lines = [
            meta(git=git, source="exec"),
            ("turn_context", {"model": "first", "cwd": "/other"}),
            *prompt("do it"),
            *prompt("again"),
            ("turn_context", {"model": "last"}),
        ]

        assert session_of(*lines) == SessionFacts(
            cwd="/home/dev/demo", branch="master", repository="https://example.org/demo", model="last",
            originator="codex", source="exec", preview="do it",
        )  # fmt: skip

    def test_that_are_missing_are_none(self) -> None:
        facts = session_of(("session_meta", {"id": 7, "source": {}, "git": "odd", "cwd": ""}), ("turn_context", {}))

        assert facts == SessionFacts()
        assert facts.title is None
        assert not facts.is_complete

    def test_are_complete_if_further_lines_can_change_only_the_model(self) -> None:
        lines = [meta(), ("turn_context", {"model": "m"}), *prompt("a")]

        assert [session_of(*lines[:count]).is_complete for count in range(4)] == [False, False, False, True]

    def test_have_the_name_of_a_source_that_is_an_object(self) -> None:
        assert session_of(meta(source={"subagent": "review"})).source == "subagent"

    @pytest.mark.parametrize(
        "settings",
        [
            ("turn_context", {"model": "m", "cwd": "/x", "effort": "high"}),
            event("thread_settings_applied", thread_settings={"model": "m", "cwd": "/x", "reasoning_effort": "high"}),
        ],
    )
    def test_have_the_model_and_otherwise_the_folder_of_the_settings(self, settings: Line) -> None:
        facts = session_of(meta(cwd=None), settings)

        assert (facts.model, facts.cwd) == ("m", "/x")
        assert of_kind(Settings, settings)[0].effort == "high"

    def test_have_the_folder_of_the_first_context_that_names_one(self) -> None:
        lines = [meta(cwd=None), message("user", "<cwd>/typed</cwd>"), message("developer", "<cwd>/orders</cwd>")]

        assert session_of(*lines, surroundings("/first"), surroundings("/second")).cwd == "/first"
        assert session_of(*lines).cwd is None


class TestPreview:
    def test_is_the_first_request_without_what_an_editor_adds(self) -> None:
        words = "# Context from my IDE setup:\n\n## My request for Codex:\nfix it\n"

        assert session_of(surroundings(), *prompt(words)).preview == "fix it"

    def test_has_at_most_500_characters(self) -> None:
        facts = session_of(*prompt(f"  {'word ' * 200}"))

        assert facts.preview == "word " * 100
        assert facts.title is not None
        assert len(facts.title) <= 120

    def test_is_not_blank(self) -> None:
        image = {"type": "input_image", "image_url": "u"}
        lines = [("response_item", {"type": "message", "role": "user", "content": [image]}), message("user", " \n")]

        assert session_of(*lines, *prompt("then")).preview == "then"

    @pytest.mark.parametrize(
        ("lines", "preview"),
        [
            ([goal(" be done ")], "be done"),
            ([goal("be done"), *prompt("a")], "be done"),
            ([*prompt("a"), goal("be done")], "a"),
            ([goal(7), goal(""), goal(" "), goal("x" * 501)], "x" * 500),
        ],
    )
    def test_is_the_goal_if_there_is_no_request_before_it(self, lines: list[Line], preview: str) -> None:
        assert session_of(*lines).preview == preview

    def test_is_the_first_request_that_a_compaction_at_the_beginning_kept(self) -> None:
        kept = [None, message("developer", "orders")[1], surroundings()[1], *(message("user", t)[1] for t in "ab")]

        assert session_of(meta(), compacted(*kept, "odd"), *prompt("then")).preview == "a"

    def test_is_not_a_request_that_a_later_compaction_kept(self) -> None:
        lines = [event("task_started"), compacted(message("user", "old")[1]), *prompt("then")]

        assert session_of(*lines).preview == "then"

    @pytest.mark.parametrize(
        ("fields", "preview"),
        [
            ({"source": {"subagent": {"thread_spawn": {"parent_thread_id": PARENT}}}}, "own task"),
            ({"source": {"subagent": "review"}, "forked_from_id": PARENT}, "own task"),
            ({"forked_from_id": PARENT}, "of the parent"),
        ],
    )
    def test_of_a_sub_agent_is_its_own_task_and_of_a_fork_the_request_of_its_parent(
        self, fields: dict[str, Any], preview: str
    ) -> None:
        facts, reader = SessionFacts(), Interpreter(has_texts=False)
        lines = {
            "2026-11-21T01:25:38.000Z": meta(**fields),
            "2026-11-20T00:00:00.000Z": message("user", "of the parent"),
            "2026-11-21T01:26:00.000Z": message("user", "own task"),
        }

        for timestamp, (kind, payload) in lines.items():
            facts.add(reader.feed(RolloutLine(timestamp=timestamp, type=kind, payload=payload)))

        assert facts.preview == preview

    def test_on_one_line_is_the_title(self) -> None:
        assert session_of(*prompt("do\n\n this\tnow")).title == "do this now"


class TestSessionBegan:
    def test_has_what_the_meta_states(self) -> None:
        source = {"subagent": {"thread_spawn": {"parent_thread_id": PARENT, "agent_path": "/a", "agent_role": "r"}}}
        line = meta(source=source, model_provider="p", base_instructions={"text": "be good"}, forked_from_id="f")

        [found] = of_kind(SessionBegan, line)

        assert (found.id, found.started_at, found.cli_version) == (ID, "2026-11-21T01:25:37.094Z", "0.36.0")
        assert (found.role, found.agent_path, found.parent_id) == ("r", "/a", PARENT)
        assert (found.instructions, found.model_provider, found.forked_from) == ("be good", "p", "f")

    @pytest.mark.parametrize(
        ("fields", "role"),
        [
            ({}, "root"),
            ({"source": {"subagent": "review"}}, "review"),
            ({"source": {"subagent": ""}}, "agent"),
            ({"source": {"subagent": {"other": "x"}}}, "x"),
            ({"source": {"subagent": {"thread_spawn": {"agent_role": "r"}}}}, "r"),
            ({"parent_thread_id": PARENT, "agent_role": "s"}, "s"),
            ({"thread_source": "subagent"}, "agent"),
        ],
    )
    def test_has_the_role_of_a_sub_agent(self, fields: dict[str, Any], role: str) -> None:
        assert of_kind(SessionBegan, meta(**fields))[0].role == role

    def test_is_stated_once_and_further_metas_have_only_instructions(self) -> None:
        facts = facts_of(meta(), meta("other", instructions="be good"), meta("third"))

        assert [type(fact) for fact in facts] == [SessionBegan, Context, Quiet]
        assert isinstance(facts[1], Context)
        assert (facts[1].kind, facts[1].text, facts[1].is_of_user, facts[1].is_copied) == (
            "instructions",
            "be good",
            False,
            True,
        )

    def test_of_a_reader_has_the_time_of_the_start(self) -> None:
        reader = Interpreter()
        facts_of(meta(), reader=reader)

        assert reader.started_at == 1_795_224_337.094
        assert Interpreter().started_at == 0


class TestNames:
    def test_of_a_session_are_stated(self) -> None:
        assert [fact.name for fact in of_kind(Renamed, event("thread_name_updated", thread_name="n"))] == ["n"]
        assert of_kind(Renamed, event("thread_name_updated", thread_name=7)) == []

    def test_of_goals_are_stated(self) -> None:
        assert [fact.text for fact in of_kind(GoalSet, goal("g"), goal(""))] == ["g"]


class TestCompactions:
    MARKS = (event("context_compacted"), completed("ContextCompaction"))

    def test_told_by_several_lines_are_one(self) -> None:
        found = of_kind(Compacted, compacted({}, {}, text="what was"), *self.MARKS)

        assert [(fact.text, fact.kept, fact.echo_of) for fact in found] == [
            ("what was", 2, None),
            ("", None, 1),
            ("", None, 1),
        ]

    def test_told_in_the_same_form_are_others(self) -> None:
        found = of_kind(Compacted, ("compacted", {"message": "a"}), *self.MARKS, ("compacted", {"message": 7}))

        assert [(fact.text, fact.kept, fact.echo_of) for fact in (found[0], found[-1])] == [
            ("a", None, None),
            ("", None, None),
        ]

    def test_told_much_later_are_others(self) -> None:
        between = [message("assistant", str(number)) for number in range(40)]

        found = of_kind(Compacted, compacted(), *between, self.MARKS[0])

        assert [fact.echo_of for fact in found] == [None, None]

    def test_at_the_beginning_state_the_prompts_that_they_kept(self) -> None:
        items = [message("user", "a")[1], surroundings()[1], message("user", "")[1], {"type": "message"}, 7]

        found = of_kind(Prompt, compacted(*items))

        assert [(fact.text, fact.source, fact.turn) for fact in found] == [("a", "history", -1)]

    @pytest.mark.parametrize("replaced", [None, 7, "odd", {}])
    def test_with_a_history_of_another_form_keep_an_unknown_number(self, replaced: Any) -> None:
        [found] = of_kind(Compacted, ("compacted", {"replacement_history": replaced}))

        assert found.kept is None


class TestRecoveredFolder:
    def test_is_that_of_the_first_context_that_names_one(self) -> None:
        own = schema.SessionMeta(id="i", timestamp="t")
        lines = [
            ("turn_context", {"cwd": "/settings"}),
            message("user", "<cwd>/typed</cwd>"),
            message("user", "<environment_context>x</environment_context>"),
            surroundings("/first"),
            surroundings("/second"),
        ]

        assert with_recovered_cwd(own, map(decoded, lines)).cwd == "/first"
        assert with_recovered_cwd(own, map(decoded, lines[:3])).cwd is None

    def test_is_not_needed_if_the_folder_is_known(self) -> None:
        own = schema.SessionMeta(id="i", timestamp="t", cwd="/known")

        assert with_recovered_cwd(own, [decoded(surroundings("/other"))]) is own


class TestMetaOfName:
    @pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.zst"])
    def test_has_the_id_and_the_time_in_the_name(self, suffix: str) -> None:
        found = meta_of_name(Path(f"/x/rollout-2026-11-21T01-25-37-{ID.upper()}{suffix}"))

        assert found == schema.SessionMeta(id=ID, timestamp="2026-11-21T01:25:37")

    @pytest.mark.parametrize("name", ["x.jsonl", "", f"other-{ID}.jsonl", "rollout-2026-11-21T01-25-37.jsonl"])
    def test_of_another_name_is_none(self, name: str) -> None:
        assert meta_of_name(Path(name)) is None


class TestFilters:
    FACTS = SessionFacts(
        cwd="/home/dev/demo/", branch="main", repository="https://example.org/demo", model="m", originator="codex",
        source="cli",
    )  # fmt: skip

    @pytest.mark.parametrize(
        ("filters", "matches"),
        [
            (Filters(), True),
            (Filters(branch="main", model="m", originator="codex", source="cli"), True),
            (Filters(branch="mai"), False),
            (Filters(model="n"), False),
            (Filters(originator="x"), False),
            (Filters(source="exec"), False),
            (Filters(repository="example.org"), True),
            (Filters(repository="example.com"), False),
            (Filters(cwd="/home/dev/demo"), True),
            (Filters(cwd="/home/dev/"), True),
            (Filters(cwd="/"), True),
            (Filters(cwd="/home/dev/dem"), False),
            (Filters(cwd="/home/dev/demo/deeper"), False),
        ],
    )
    def test_match_the_facts_of_a_session(self, filters: Filters, matches: bool) -> None:
        assert filters.matches(self.FACTS) == matches

    @pytest.mark.parametrize("name", ["cwd", "branch", "repository", "model", "originator", "source"])
    def test_do_not_match_a_session_without_the_fact(self, name: str) -> None:
        filters = Filters(**{name: "/"})

        assert not filters.matches(SessionFacts())
        assert filters.needs_facts
        assert not filters.needs_texts

    @pytest.mark.parametrize("filters", [Filters(failed=True), Filters(kind="user"), Filters(tool="shell")])
    def test_of_single_texts_need_the_texts_but_no_facts(self, filters: Filters) -> None:
        assert filters.needs_texts
        assert not filters.needs_facts
