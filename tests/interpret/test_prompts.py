from __future__ import annotations

from typing import Any

import pytest

from rollout.interpret import Context, Image, Interpreter, Prompt, TurnBegan, title_of
from rollout.interpret._prompts import UserMessage, context_kind, folder_in, read_user_message, request_in
from tests.builders import completed
from tests.interpret.facts import facts_of, of_kind
from tests.rollouts import Line, event, item, message, meta, prompt, surroundings

METADATA = "internal_chat_message_metadata_passthrough"
AGENTS = "# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>\nfoo\n</INSTRUCTIONS>"
CONTEXT = "<environment_context>\n<cwd>/x</cwd></environment_context>"


def user(*texts: Any, **fields: Any) -> Line:
    """
    Return a message of the user with parts, of which texts are given as strings.
    """
    content = [{"type": "input_text", "text": text} if isinstance(text, str) else text for text in texts]
    return item("message", role="user", content=content, **fields)


def stated(*authors: str | None, kinds: list[Any] | None = None) -> dict[str, Any]:
    """
    Return the field with which Codex states the author of each part of a message.
    """
    parts = [{} if author is None else {"provenance": {"type": author}} for author in authors]
    return {METADATA: {"content_item_metadata": parts, **({} if kinds is None else {"content_item_kinds": kinds})}}


def image(url: str = "u") -> dict[str, Any]:
    return {"type": "input_image", "image_url": url}


def read(*texts: Any, has_events: bool = False, **fields: Any) -> UserMessage:
    return read_user_message(user(*texts, **fields)[1], has_events=has_events)


def is_prompt(text: str, **options: Any) -> bool:
    return read(text, **options).is_prompt


class TestMarks:
    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            (CONTEXT, "environment context"),
            ("  <environment_context>\n</environment_context>\n", "environment context"),
            ("<ENVIRONMENT_CONTEXT>x</ENVIRONMENT_CONTEXT>", "environment context"),
            ('<environment_context version="2" x>y</environment_context>', "environment context"),
            (AGENTS, "AGENTS.md instructions"),
            ("<user_instructions>\nfoo\n</user_instructions>", "user instructions"),
            ("<skill>\n<name>x</name>\n</skill>", "skill"),
            ("<user_shell_command>\nls\n</user_shell_command>", "user shell command"),
            ("<turn_aborted>\nx\n</turn_aborted>", "turn aborted"),
            ("<subagent_notification>\nx\n</subagent_notification>", "subagent notification"),
            ("<goal_context>x</goal_context>", "goal context"),
            ("<recommended_plugins>x</recommended_plugins>", "recommended plugins"),
            ('<hook_prompt hook_run_id="1">x</hook_prompt>', "hook prompt"),
            ("<codex_internal_context>x</codex_internal_context>", "codex internal context"),
            ("<user_action>x</user_action>", "user action"),
            (
                "Warning: The maximum number of unified exec processes you can keep open is 60 and you have 61.",
                "warning",
            ),
            ("Warning: apply_patch was requested via shell. Use the apply_patch tool instead.", "warning"),
        ],
    )
    def test_of_codex_make_a_message_of_the_user_a_context(self, text: str, kind: str) -> None:
        assert read(text) == UserMessage(context=text, kind=kind, is_prompt=False)
        assert context_kind(text) == kind

    @pytest.mark.parametrize(
        "text",
        [
            "hello",
            "",
            "<environment_context>never closed",
            "<environment_context>x</environment_context> and more",
            "see <environment_context>x</environment_context>",
            "<environment_context></environment_context",
            "<skill></skill",
            "<custom>x</custom>",
            "<INSTRUCTIONS>x</INSTRUCTIONS>",
            "<skill>x</turn_aborted>",
            "# AGENTS.md instructions for /x",
            "Warning: it is hot",
            "Warning",
        ],
    )
    def test_that_are_missing_make_it_a_prompt(self, text: str) -> None:
        assert read(text) == UserMessage(words=text)

    @pytest.mark.parametrize("text", ["<my_own_tag>x</my_own_tag>", "Warning: it is hot"])
    def test_that_only_resemble_those_of_codex_count_if_each_prompt_has_an_event(self, text: str) -> None:
        assert is_prompt(text)
        assert not is_prompt(text, has_events=True)

    @pytest.mark.parametrize("text", ["<custom>x</custom>", "<my_own_tag>x", "Warning: it is hot\nIs it?", "<a_b>"])
    def test_that_do_not_even_resemble_those_of_codex_never_count(self, text: str) -> None:
        assert is_prompt(text, has_events=True)


class TestParts:
    def test_are_separated_by_author(self) -> None:
        found = read(AGENTS, CONTEXT, "do it", "now")

        assert found == UserMessage(
            words="do it\nnow", context=f"{AGENTS}\n{CONTEXT}", kind="AGENTS.md instructions", is_prompt=True
        )

    def test_that_are_images_belong_to_the_person_if_there_are_words(self) -> None:
        assert read(CONTEXT, "look", image()) == UserMessage(
            words="look", images=(Image("u"),), context=CONTEXT, kind="environment context"
        )
        assert read(image()) == UserMessage(images=(Image("u"),))

    def test_that_are_images_next_to_a_context_make_no_prompt(self) -> None:
        found = read(CONTEXT, image())

        assert (found.is_prompt, found.images) == (False, (Image("u"),))

    def test_that_mark_an_image_are_no_words(self) -> None:
        found = read("<image name=[Image #1]>", image(), "</image>", "<image> see <image name=[Image #1]>this</image>")

        assert found.words == " see this"

    def test_that_look_like_marks_of_an_image_are_words_if_there_is_no_image(self) -> None:
        assert read("what is <image>?").words == "what is <image>?"

    @pytest.mark.parametrize(
        ("content", "words", "others"),
        [
            ([{"text": "a"}, {"image_url": "x"}, {"text": "b"}], "a\nb", ()),
            ([{"text": 1}, "x", None], "x", ("[None]",)),
            ([{"type": "input_audio"}], "", ("[input_audio]",)),
            ("text", "text", ()),
            (None, "", ()),
            ({}, "", ()),
        ],
    )
    def test_of_any_form_have_their_texts_as_words(self, content: Any, words: str, others: tuple[str, ...]) -> None:
        found = read_user_message({"content": content}, has_events=False)

        assert (found.words, found.others, found.is_prompt) == (words, others, True)


class TestStatedAuthors:
    def test_count_more_than_marks(self) -> None:
        assert read(CONTEXT, **stated("user")) == UserMessage(words=CONTEXT, is_sure=True)
        assert read("hello", **stated("harness")) == UserMessage(
            context="hello", kind="harness", is_prompt=False, is_sure=True
        )

    def test_separate_the_parts_of_a_message(self) -> None:
        found = read("by Codex", "by me", **stated("harness", "user"))

        assert (found.words, found.context, found.is_prompt) == ("by me", "by Codex", True)

    def test_have_the_kinds_that_the_message_states(self) -> None:
        found = read("a", "b", **stated("harness", "harness", kinds=["codex.environment_context", "skill"]))

        assert (found.kind, found.context) == ("environment context", "a\nb")

    def test_that_are_codex_have_the_kind_of_their_marks_first(self) -> None:
        assert read(CONTEXT, **stated("harness", kinds=["other"])).kind == "environment context"

    @pytest.mark.parametrize("kinds", [None, [], [None], [7], [""]])
    def test_that_are_codex_make_a_context_even_without_a_kind(self, kinds: list[Any] | None) -> None:
        found = read("by Codex", **stated("harness", kinds=kinds))

        assert (found.is_prompt, found.context) == (False, "by Codex")
        assert found.kind

    def test_that_are_a_person_make_a_prompt_of_an_image(self) -> None:
        found = read("by Codex", image(), **stated("harness", "user"))

        assert (found.is_prompt, found.images, found.context) == (True, (Image("u"),), "by Codex")

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {METADATA: None},
            {METADATA: []},
            {METADATA: {}},
            {METADATA: {"content_item_metadata": "odd", "content_item_kinds": "odd"}},
            {METADATA: {"content_item_metadata": ["odd", {"provenance": "odd"}]}},
            {METADATA: {"content_item_metadata": [{"provenance": {"type": 7}}]}},
            stated(None, None),
        ],
    )
    def test_that_are_not_stated_are_told_by_marks(self, fields: dict[str, Any]) -> None:
        found = read(CONTEXT, "hello", **fields)

        assert (found.words, found.context) == ("hello", CONTEXT)

    def test_of_fewer_parts_than_there_are_leave_the_others_to_their_marks(self) -> None:
        found = read("by Codex", CONTEXT, "by me", **stated("harness"))

        assert (found.words, found.context) == ("by me", f"by Codex\n{CONTEXT}")


class TestEvents:
    LOOKS_LIKE_CODEX = "<skill>mine</skill>"

    @pytest.mark.parametrize(
        "told",
        [
            event("user_message", message=f"\n{LOOKS_LIKE_CODEX} "),
            completed("UserMessage", content=[{"type": "text", "text": LOOKS_LIKE_CODEX}]),
        ],
    )
    def test_with_the_words_of_a_context_make_a_prompt_of_it(self, told: Line) -> None:
        [context, began, found] = facts_of(user(self.LOOKS_LIKE_CODEX), told)

        assert isinstance(context, Context)
        assert isinstance(began, TurnBegan)
        assert isinstance(found, Prompt)
        assert (found.words.strip(), found.confirms, found.echo_of) == (self.LOOKS_LIKE_CODEX, 1, None)

    def test_confirm_each_context_once(self) -> None:
        told = event("user_message", message=self.LOOKS_LIKE_CODEX)

        found = of_kind(Prompt, user("other"), user(self.LOOKS_LIKE_CODEX), surroundings(), told, told)

        assert [each.confirms for each in found] == [None, 2, None]

    def test_do_not_confirm_a_context_that_the_message_states_to_be_codex(self) -> None:
        lines = [user(self.LOOKS_LIKE_CODEX, **stated("harness")), event("user_message", message=self.LOOKS_LIKE_CODEX)]

        assert [each.confirms for each in of_kind(Prompt, *lines)] == [None]

    def test_confirm_only_the_last_contexts(self) -> None:
        contexts = [user(f"<skill>{number}</skill>") for number in range(9)]

        found = of_kind(
            Prompt, *contexts, *(event("user_message", message=f"<skill>{number}</skill>") for number in (0, 1))
        )

        assert [each.confirms for each in found] == [None, 2]

    def test_show_that_later_messages_without_one_may_be_codex(self) -> None:
        likely = user("<my_own_tag>x</my_own_tag>")

        assert [type(fact) for fact in facts_of(likely)] == [TurnBegan, Prompt]
        assert [type(fact) for fact in facts_of(*prompt("a"), likely)][-1] is Context

    @pytest.mark.parametrize("kind", ["user_instructions", "environment_context"])
    def test_of_codex_of_2025_with_a_context_are_contexts(self, kind: str) -> None:
        [found] = facts_of(event("user_message", message=CONTEXT, kind=kind))

        assert found == Context(1, None, -1, False, kind.replace("_", " "), CONTEXT)

    def test_have_their_images(self) -> None:
        [found] = of_kind(Prompt, event("user_message", message="", images=["u", 1], local_images=["/a.png"]))

        assert (found.text, found.images) == ("", (Image("u"), Image("/a.png")))


class TestContexts:
    def test_of_the_user_are_stated_and_those_of_the_developer_only_to_a_reader_of_texts(self) -> None:
        lines = [surroundings("/x"), message("developer", "orders"), message("developer", "<skill>x</skill>")]

        facts = facts_of(*lines)
        of_user = facts_of(*lines, reader=Interpreter(has_texts=False))

        assert [(fact.kind, fact.is_of_user) for fact in facts if isinstance(fact, Context)] == [
            ("environment context", True),
            ("developer", False),
            ("skill", False),
        ]
        assert of_user == facts[:1]

    def test_have_the_images_of_a_message_without_a_prompt(self) -> None:
        [found] = of_kind(Context, user(CONTEXT, image()))

        assert found.images == (Image("u"),)

    def test_next_to_a_prompt_are_stated_before_it(self) -> None:
        context, began, found = facts_of(user(CONTEXT, "do it", image(), {"type": "input_audio"}))

        assert isinstance(context, Context)
        assert isinstance(began, TurnBegan)
        assert isinstance(found, Prompt)
        assert (context.text, context.images) == (CONTEXT, ())
        assert (found.text, found.words, found.images) == ("do it", "do it\n[input_audio]", (Image("u"),))


class TestSource:
    @pytest.mark.parametrize(
        ("fields", "source"),
        [
            ({}, "person"),
            ({"source": "cli"}, "person"),
            ({"source": {"subagent": "review"}}, "harness"),
            ({"source": {"subagent": {"thread_spawn": {}}}}, "agent"),
            ({"source": {"subagent": {"thread_spawn": {"agent_role": "review"}}}}, "harness"),
            ({"source": {"subagent": "compact"}}, "agent"),
            ({"parent_thread_id": "x"}, "agent"),
            ({"thread_source": "subagent"}, "agent"),
            ({"thread_source": "user"}, "person"),
        ],
    )
    def test_of_a_prompt_is_told_by_the_meta_of_the_session(self, fields: dict[str, Any], source: str) -> None:
        assert [fact.source for fact in of_kind(Prompt, meta(**fields), message("user", "a"))] == [source]

    def test_of_a_prompt_without_a_meta_is_a_person(self) -> None:
        assert of_kind(Prompt, message("user", "a"))[0].source == "person"


class TestRequests:
    @pytest.mark.parametrize(
        ("words", "request_"),
        [
            ("# Context from my IDE setup:\n\n## Active file: a\n\n## My request for Codex:\nfix it\n", "fix it"),
            ("# Files:\n## My request for Codex: \t\n\n a\n## My request for Codex:\n", "a\n## My request for Codex:"),
            ("# Files:\n## My request for Codex:", ""),
            ("## My request for Codex:\nfix it", "## My request for Codex:\nfix it"),
            ("# Files:\n## My request for Codex: fix it", "# Files:\n## My request for Codex: fix it"),
            ("fix\n## My request for Codex:\nit", "fix\n## My request for Codex:\nit"),
            ("", ""),
        ],
    )  # fmt: skip
    def test_begin_after_what_an_editor_puts_before_them(self, words: str, request_: str) -> None:
        assert request_in(words) == request_

    def test_are_the_text_of_a_prompt_whose_words_are_the_whole_message(self) -> None:
        words = "# Context from my IDE setup:\n\n## My request for Codex:\nfix it"

        for found in of_kind(Prompt, *prompt(words)):
            assert (found.text, found.words) == ("fix it", words)


class TestTitle:
    @pytest.mark.parametrize(
        ("text", "title"),
        [
            ("fix it", "fix it"),
            ("  fix\n\n\tit  now ", "fix it now"),
            ("x" * 120, "x" * 120),
            ("x" * 121, "x" * 119 + "…"),
            ("x" * 118 + " " + "y" * 9, "x" * 118 + "…"),
            ("x " * 100_000, "x " * 59 + "x…"),
            ("", ""),
        ],
    )
    def test_is_the_text_on_one_line_of_at_most_120_characters(self, text: str, title: str) -> None:
        assert title_of(text) == title


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        (CONTEXT, "/x"),
        ("<cwd>/x</cwd><cwd>/y</cwd>", "/x"),
        ("<cwd></cwd>", ""),
        ("<cwd>/x", None),
        ("/x</cwd>", None),
        ("", None),
    ],
)
def test_the_folder_in_a_context_is_between_its_tags(text: str, folder: str | None) -> None:
    assert folder_in(text) == folder
