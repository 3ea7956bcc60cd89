from __future__ import annotations

import pytest

from rollout.dialects import dialect_for


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/responses", "responses"),
        ("/responses", "responses"),
        ("responses", "responses"),
        ("https://host.example/openai/responses?api-version=2025", "responses"),
        ("/v1/responses/resp_1", None),
        ("/v1/responses/compact", None),
        ("/v1/responses/input_tokens", None),
        ("/chat/completions", "chat"),
        ("/openai/deployments/gpt-x/chat/completions?api-version=1", "chat"),
        ("/api/v1/chat/completions/", "chat"),
        ("/v1/completions", None),
        ("/v1/messages", "messages"),
        ("/v1/messages?beta=true", "messages"),
        ("messages", "messages"),
        ("/v1/messages/count_tokens", None),
        ("/v1/messages/batches", None),
        ("/v1/threads/thread_1/messages", None),
        ("threads/thread_1/messages", None),
        ("/v1beta/models/gemini-x:generateContent", "gemini"),
        ("/v1beta/models/gemini-x:streamGenerateContent?alt=sse", "gemini"),
        ("/v1beta/models/gemini-x:countTokens", None),
        ("/v1beta/models/gemini-x:batchGenerateContent", None),
        ("/v1/embeddings", None),
        ("", None),
    ],
)
def test_the_dialect_is_known_by_the_end_of_the_path(path: str, name: str | None) -> None:
    dialect = dialect_for(path)

    assert (dialect and dialect.name) == name


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1beta/models/gemini-x:generateContent", "gemini-x"),
        ("https://host.example:443/v1/projects/p/publishers/google/models/gemini-y:streamGenerateContent", "gemini-y"),
        (":generateContent", None),
    ],
)
def test_the_model_of_google_is_in_the_path(path: str, model: str | None) -> None:
    dialect = dialect_for(path)

    assert dialect is not None
    assert dialect.read_request({"contents": "hi"}).model == model
    assert dialect.read_reply({"candidates": []}).model == model
