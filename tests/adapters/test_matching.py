"""
The rules by which a request finds its conversation, without an SDK.
"""

from __future__ import annotations

from typing import Any

import pytest

from rollout.adapters import _matching
from rollout.adapters._matching import ANSWERED, FAILED, WAITING, Conversation, Match, Matcher
from rollout.dialects import Dialect, dialect_for

Json = dict[str, Any]


def dialect_of(path: str) -> Dialect:
    dialect = dialect_for(path)
    assert dialect is not None
    return dialect


CHAT = dialect_of("/v1/chat/completions")
RESPONSES = dialect_of("/v1/responses")
GEMINI = dialect_of("/v1beta/models/m:generateContent")


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def model(text: str, **more: Any) -> Json:
    return {"role": "assistant", "content": text, **more}


def system(text: str) -> Json:
    return {"role": "system", "content": text}


def texts_of(items: list[Json] | None) -> list[str]:
    return [item["content"][0]["text"] for item in items or ()]


class Talk:
    """
    Requests of an agent to a matcher, in a dialect.
    """

    def __init__(self, dialect: Dialect = CHAT, key: str = "messages") -> None:
        self.matcher, self.dialect, self.key = Matcher(), dialect, key
        self.count = 0

    def send(self, *messages: Json, thread: int = 1, **more: Any) -> tuple[Match, Conversation]:
        body = {"model": "m", self.key: list(messages), **more}
        match = self.matcher.match(self.dialect, body, thread)
        self.count += match.conversation is None
        return match, self.matcher.keep(match, f"session {self.count}", thread, self.dialect, body)

    def exchange(self, *messages: Json, answer: Json, **more: Any) -> tuple[Match, Conversation]:
        """
        Send a request that is answered.
        """
        match, conversation = self.send(*messages, **more)
        items = CHAT.read_reply({"choices": [{"message": answer}]}).items
        conversation.answer(items, is_whole=True)
        return match, conversation


@pytest.fixture
def talk() -> Talk:
    return Talk()


class TestContinuing:
    def test_only_what_follows_the_answer_is_new(self, talk: Talk) -> None:
        _, first = talk.exchange(user("a"), answer=model("b"))

        match, second = talk.send(user("a"), model("b"), user("c"))

        assert second is first
        assert texts_of(match.new) == ["c"]
        assert match.replaced is None

    def test_it_reads_only_the_messages_after_the_known_ones(self, talk: Talk) -> None:
        talk.exchange(user("a"), answer=model("b"))

        match, _ = talk.send(user("a"), model("b"), user("c"))

        assert match.known_count == 1
        assert texts_of(match.request.items) == ["b", "c"]

    def test_a_client_may_reformat_the_context(self, talk: Talk) -> None:
        _, first = talk.exchange(user("a"), answer=model("b"))

        parts = [{"type": "text", "text": " a\n"}]
        match, second = talk.send({"role": "user", "content": parts}, model("b ", refusal=None), user("c"))

        assert second is first
        assert texts_of(match.new) == ["c"]

    def test_a_client_may_change_the_system_text(self, talk: Talk) -> None:
        _, first = talk.exchange(system("It is 9:00."), user("a"), answer=model("b"))

        match, second = talk.send(system("It is 9:01."), user("a"), model("b"), user("c"))

        assert second is first
        assert texts_of(match.new) == ["c"]

    def test_reasoning_is_not_compared(self, talk: Talk) -> None:
        _, first = talk.exchange(user("a"), answer=model("b", reasoning_content="hm"))

        match, second = talk.send(user("a"), model("b"), user("c"))

        assert second is first
        assert texts_of(match.new) == ["c"]

    def test_the_first_of_several_choices_is_the_answer(self, talk: Talk) -> None:
        _, first = talk.send(user("a"))
        choices = [{"index": number, "message": model(f"b{number}")} for number in range(2)]
        first.answer(CHAT.read_reply({"choices": choices}).items, is_whole=True)

        _, second = talk.send(user("a"), model("b0"), user("c"))

        assert second is first

    def test_an_empty_answer_can_be_followed(self, talk: Talk) -> None:
        _, first = talk.exchange(user("a"), answer=model(""))

        match, second = talk.send(user("a"), user("c"))

        assert second is first
        assert texts_of(match.new) == ["c"]

    def test_a_later_change_of_a_message_by_the_caller_does_not_change_what_is_known(self, talk: Talk) -> None:
        prompt = user("a")
        talk.exchange(prompt, answer=model("b"))
        prompt["content"] = "other"

        match, _ = talk.send(prompt)

        assert match.conversation is None

    def test_input_that_is_one_text_is_continued(self) -> None:
        talk = Talk(RESPONSES, "input")
        body = {"model": "m", "input": "a"}
        match = talk.matcher.match(RESPONSES, body, 1)
        first = talk.matcher.keep(match, "session", 1, RESPONSES, body)
        first.answer(CHAT.read_reply({"choices": [{"message": model("b")}]}).items, is_whole=True)

        match, second = talk.send(user("a"), model("b"), user("c"))

        assert second is first
        assert texts_of(match.new) == ["c"]

    def test_contexts_of_gemini_are_compared_by_their_items(self) -> None:
        talk = Talk(GEMINI, "contents")
        _, first = talk.send({"role": "user", "parts": [{"text": "a"}]})
        first.answer(GEMINI.read_reply({"candidates": [{"content": {"parts": [{"text": "b"}]}}]}).items, is_whole=True)

        contents = [{"role": role, "parts": [{"text": text}]} for role, text in (("user", "a"), ("model", "b"))]
        match, second = talk.send(*contents, {"role": "user", "parts": [{"text": "c"}]})

        assert second is first
        assert match.known_count == 0
        assert texts_of(match.new) == ["c"]


class TestTies:
    def test_the_longest_conversation_counts(self, talk: Talk) -> None:
        talk.exchange(user("a"), answer=model("b"))
        talk.exchange(user("a"), answer=model("b"))
        _, longer = talk.exchange(user("a"), model("b"), user("c"), answer=model("d"))

        _, found = talk.send(user("a"), model("b"), user("c"), model("d"), user("e"))

        assert found is longer

    def test_of_equally_long_ones_that_of_the_same_thread_counts(self, talk: Talk) -> None:
        talk.exchange(user("a"), answer=model("b"), thread=1)
        _, second = talk.exchange(user("a"), answer=model("b"), thread=2)

        _, found = talk.send(user("a"), model("b"), user("c"), thread=2)

        assert found is second

    def test_of_one_thread_the_one_that_was_used_least_recently_counts(self, talk: Talk) -> None:
        _, first = talk.exchange(user("a"), answer=model("b"))
        talk.exchange(user("a"), answer=model("b"))

        _, found = talk.send(user("a"), model("b"), user("c"))

        assert found is first

    def test_each_of_two_that_began_alike_goes_on_by_itself(self, talk: Talk) -> None:
        _, first = talk.exchange(user("a"), answer=model("b"))
        _, second = talk.exchange(user("a"), answer=model("b"))

        _, third = talk.send(user("a"), model("b"), user("c"))
        _, fourth = talk.send(user("a"), model("b"), user("c"))

        assert [third, fourth] == [first, second]


class TestRepeating:
    @pytest.mark.parametrize("prompt", [user("a"), {"role": "user", "content": [{"type": "text", "text": "a"}]}])
    def test_a_request_whose_answer_failed_is_tried_again(self, talk: Talk, prompt: Json) -> None:
        _, first = talk.send(user("a"))
        first.answer((), is_whole=False)

        match, again = talk.send(prompt)

        assert again is first
        assert match.new == []

    def test_an_answer_that_was_not_read_to_its_end_may_be_asked_again(self, talk: Talk) -> None:
        _, first = talk.send(user("a"))
        first.answer(CHAT.read_reply({"choices": [{"message": model("b")}]}).items, is_whole=False)

        match, again = talk.send(user("a"))

        assert first.state == WAITING
        assert again is first
        assert match.new == []

    def test_a_partial_answer_may_be_followed(self, talk: Talk) -> None:
        _, first = talk.send(user("a"))
        first.answer(CHAT.read_reply({"choices": [{"message": model("b")}]}).items, is_whole=False)

        match, again = talk.send(user("a"), model("b"), user("c"))

        assert again is first
        assert texts_of(match.new) == ["c"]

    def test_after_a_failure_the_request_may_be_longer(self, talk: Talk) -> None:
        _, first = talk.send(user("a"))
        first.answer((), is_whole=False)
        assert first.state == FAILED

        match, again = talk.send(user("a"), user("quick!"))

        assert again is first
        assert texts_of(match.new) == ["quick!"]

    def test_after_a_partial_answer_another_prompt_is_new_and_the_old_one_known(self, talk: Talk) -> None:
        _, first = talk.send(user("a"))
        first.answer(CHAT.read_reply({"choices": [{"message": model("b")}]}).items, is_whole=False)

        match, again = talk.send(user("a"), user("c"))

        assert again is first
        assert texts_of(match.new) == ["c"]

    def test_a_request_that_was_answered_begins_another_conversation(self, talk: Talk) -> None:
        _, first = talk.exchange(user("a"), answer=model("b"))
        assert first.state == ANSWERED

        match, second = talk.send(user("a"))

        assert match.conversation is None
        assert second is not first

    def test_a_request_that_equals_one_in_the_middle_of_an_answered_one_is_a_new_one(self, talk: Talk) -> None:
        talk.exchange(user("a"), answer=model("b"))
        talk.exchange(user("a"), model("b"), user("c"), answer=model("d"))

        match, _ = talk.send(user("a"))

        assert match.conversation is None

    @pytest.mark.parametrize("more", [[], [model("b"), user("c")]])
    def test_a_request_that_waits_is_not_continued(self, talk: Talk, more: list[Json]) -> None:
        talk.send(user("a"))

        match, _ = talk.send(user("a"), *more)

        assert match.conversation is None


class TestEditing:
    def test_an_edited_prompt_after_an_answer_replaces_the_context(self, talk: Talk) -> None:
        talk.exchange(user("a"), answer=model("b"))
        _, first = talk.exchange(user("a"), model("b"), user("c"), answer=model("d"))

        match, second = talk.send(user("a"), model("b"), user("other"))

        assert second is first
        assert texts_of(match.replaced) == ["a", "b"]
        assert texts_of(match.new) == ["other"]

    def test_a_compacted_context_ends_with_the_last_two_items(self, talk: Talk) -> None:
        talk.exchange(user("a"), answer=model("b"))
        _, first = talk.exchange(user("a"), model("b"), user("c"), answer=model("d"))

        match, second = talk.send(user("summary of a and b"), user("c"), model("d"), user("e"))

        assert second is first
        assert texts_of(match.replaced) == ["summary of a and b", "c", "d"]
        assert texts_of(match.new) == ["e"]

    def test_the_last_two_items_count_only_side_by_side(self, talk: Talk) -> None:
        talk.exchange(user("a"), answer=model("b"))

        match, _ = talk.send(user("summary"), model("b"), user("a"))

        assert match.conversation is None

    def test_another_answer_than_the_models_replaces_the_context(self, talk: Talk) -> None:
        _, first = talk.exchange(user("a"), answer=model("b"))

        match, second = talk.send(user("a"), model("better"), user("c"))

        assert second is first
        assert texts_of(match.replaced) == ["a"]
        assert texts_of(match.new) == ["better", "c"]

    def test_another_prompt_after_the_same_beginning_is_another_conversation(self, talk: Talk) -> None:
        talk.exchange(user("few shot"), answer=model("b"))

        match, _ = talk.send(user("few shot"), user("c"))

        assert match.conversation is None

    def test_a_single_known_item_is_no_context(self, talk: Talk) -> None:
        talk.exchange(user("a"), answer=model(""))

        match, _ = talk.send(user("x"), user("a"))

        assert match.conversation is None

    def test_a_conversation_goes_on_after_it_was_edited(self, talk: Talk) -> None:
        talk.exchange(user("a"), answer=model("b"))
        talk.exchange(user("a"), model("b"), user("c"), answer=model("d"))
        _, first = talk.exchange(user("a"), model("b"), user("other"), answer=model("e"))

        match, second = talk.send(user("a"), model("b"), user("other"), model("e"), user("f"))

        assert second is first
        assert match.replaced is None
        assert texts_of(match.new) == ["f"]

    def test_other_prompts_are_other_conversations(self, talk: Talk) -> None:
        talk.exchange(system("s"), user("a"), answer=model("b"))

        match, _ = talk.send(system("s"), user("x"))

        assert match.conversation is None

    @pytest.mark.parametrize("messages", [[], [system("s")]])
    def test_a_request_without_a_compared_item_is_a_conversation_of_its_own(
        self, talk: Talk, messages: list[Json]
    ) -> None:
        talk.exchange(*messages, answer=model(""))

        match, _ = talk.send(*messages)

        assert match.conversation is None


class TestLinks:
    @pytest.fixture
    def talk(self) -> Talk:
        return Talk(RESPONSES, "input")

    def test_a_previous_response_is_continued_and_all_items_are_new(self, talk: Talk) -> None:
        _, first = talk.exchange(user("a"), answer=model("b"))
        talk.matcher.link("resp_1", first)

        match, second = talk.send(user("a"), previous_response_id="resp_1")

        assert second is first
        assert texts_of(match.new) == ["a"]

    def test_a_request_with_the_full_context_goes_on_after_it(self, talk: Talk) -> None:
        _, first = talk.exchange(user("a"), answer=model("b"))
        talk.matcher.link("resp_1", first)
        talk.exchange(user("c"), answer=model("d"), previous_response_id="resp_1")

        match, second = talk.send(user("a"), model("b"), user("c"), model("d"), user("e"))

        assert second is first
        assert texts_of(match.new) == ["e"]

    def test_a_link_counts_more_than_equal_messages(self, talk: Talk) -> None:
        _, linked = talk.exchange(user("x"), answer=model("y"))
        talk.matcher.link("resp_1", linked)
        talk.exchange(user("a"), answer=model("b"))

        _, found = talk.send(user("a"), model("b"), user("c"), previous_response_id="resp_1")

        assert found is linked

    def test_an_unknown_response_begins_a_conversation(self, talk: Talk) -> None:
        match, _ = talk.send(user("a"), previous_response_id="resp_of_another_program")

        assert match.conversation is None
        assert texts_of(match.new) == ["a"]

    def test_a_conversation_of_the_api_is_one_conversation(self, talk: Talk) -> None:
        _, first = talk.exchange(user("a"), answer=model("b"), conversation="conv_1")

        match, second = talk.send(user("c"), conversation={"id": "conv_1"})

        assert second is first
        assert texts_of(match.new) == ["c"]


class TestLimits:
    def test_the_conversation_that_was_used_least_recently_is_forgotten(
        self, talk: Talk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_matching, "CONVERSATIONS_MAX", 2)
        _, first = talk.exchange(user("a"), answer=model("a!"))
        talk.matcher.link("resp_a", first)
        _, second = talk.exchange(user("b"), answer=model("b!"))
        talk.matcher.link("resp_b", second)
        talk.exchange(user("c"), answer=model("c!"))

        assert talk.send(user("a"), model("a!"), user("more"))[0].conversation is None
        assert "resp_a" not in talk.matcher._by_id
        assert len(talk.matcher.conversations) == 2

    def test_the_oldest_links_are_forgotten(self, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_matching, "CONVERSATIONS_MAX", 2)
        _, first = talk.exchange(user("a"), answer=model("b"))

        for number in range(9):
            talk.matcher.link(f"resp_{number}", first)

        assert list(talk.matcher._by_id) == [f"resp_{number}" for number in range(1, 9)]

    def test_a_body_is_not_changed(self, talk: Talk) -> None:
        talk.exchange(user("a"), answer=model("b"))
        body = {"model": "m", "messages": [user("a"), model("b"), user("c")]}

        match = talk.matcher.match(CHAT, body, 1)
        talk.matcher.keep(match, "session", 1, CHAT, body)

        assert body == {"model": "m", "messages": [user("a"), model("b"), user("c")]}
