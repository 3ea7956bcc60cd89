from __future__ import annotations

from typing import Any

import pytest

from rollout.interpret import Image
from rollout.interpret._parts import (
    Parts,
    dict_of,
    image,
    list_of,
    picture,
    read_parts,
    seconds_in,
    strings_in,
    text_of,
)

PNG = "iVBORw0KGgoAAAANSUhEUg=="
URL = f"data:image/png;base64,{PNG}"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("a", Parts(("a",))),
        ([{"text": "a"}, "b", {"text": 1, "type": "odd"}, None, 1], Parts(("a", "b"), ("[odd]",))),
        ([{"type": "input_image", "image_url": URL}], Parts(images=(Image(URL, "image/png"),))),
        ([{"type": "input_image", "image_url": {"url": URL}}], Parts(images=(Image(URL, "image/png"),))),
        ([{"type": "inputImage", "imageUrl": "u"}], Parts(images=(Image("u"),))),
        ([{"type": "local_image", "path": "/a.png"}], Parts(images=(Image("/a.png"),))),
        ([{"type": "input_image", "file_id": "f"}], Parts(images=(Image("f"),))),
        ([{"image_url": "u"}], Parts(images=(Image("u"),))),
        ([{"type": "image", "data": PNG, "mimeType": "image/png"}], Parts(images=(Image(URL, "image/png"),))),
        ([{"type": "input_image", "image_url": 1}], Parts(others=("[input_image]",))),
        ([{"type": "input_file", "url": "u"}], Parts(others=("[input_file]",))),
        (
            [{"text": "<image name=[a]>"}, {"image_url": "u"}, {"text": "</image>"}, {"text": "<image> too"}],
            Parts(("<image> too",), images=(Image("u"),)),
        ),
        ([{"text": "<image>"}], Parts(("<image>",))),
        (None, Parts()),
        ({"text": "a"}, Parts()),
    ],
)
def test_the_parts_of_a_content_are_its_texts_its_images_and_the_types_of_the_others(
    content: Any, parts: Parts
) -> None:
    assert read_parts(content) == parts


def test_the_text_of_parts_has_one_line_for_each_part_and_the_words_only_those_of_texts() -> None:
    parts = Parts(("a", "", "b"), ("[c]",))

    assert parts.text == "a\nb\n[c]"
    assert parts.words == "a\nb"


@pytest.mark.parametrize(
    ("source", "media_type"),
    [
        (URL, "image/png"),
        ("data:image/jpeg;base64,AA==", "image/jpeg"),
        ("data:image/svg+xml;base64,AA==", None),
        ("data:image/png;base64,<script>", None),
        ("https://example.org/a.png", None),
    ],
)
def test_only_an_image_that_can_contain_no_code_has_a_media_type(source: str, media_type: str | None) -> None:
    assert image(source) == Image(source, media_type)


@pytest.mark.parametrize("start", ["iVBOR", "/9j/", "R0lG", "UklG"])
def test_a_picture_of_a_tool_has_the_type_in_its_first_bytes(start: str) -> None:
    [found] = picture(f"{start}AAAA")

    assert found.media_type is not None
    assert found.source == f"data:{found.media_type};base64,{start}AAAA"


@pytest.mark.parametrize("odd", [None, 1, "", "AAAA", "iVBOR<script>", ["iVBOR"]])
def test_any_other_value_is_no_picture(odd: Any) -> None:
    assert picture(odd) == ()


@pytest.mark.parametrize(
    ("payload", "seconds"),
    [
        ({"duration": {"secs": 1, "nanos": 500_000_000}}, 1.5),
        ({"duration": {"secs": 1}}, None),
        ({"duration": {"secs": 1, "nanos": "5"}}, None),
        ({"duration_ms": 20}, 0.02),
        ({"durationMs": 20.0}, 0.02),
        ({"duration": 1.5}, 1.5),
        ({"duration": 1.5, "duration_ms": 20}, 0.02),
        ({"duration": -1}, None),
        ({"duration_ms": 2e9}, None),
        ({"duration_ms": float("nan")}, None),
        ({"duration_ms": True}, None),
        ({"duration": "1"}, None),
        ({}, None),
    ],
)
def test_a_duration_is_read_in_each_form_and_an_impossible_one_is_none(
    payload: dict[str, Any], seconds: float | None
) -> None:
    assert seconds_in(payload) == seconds


def test_the_strings_in_a_value_keep_their_order() -> None:
    value = {"a": "1", "b": [{"c": "2"}, 0, ["3", "4"], None], "d": {"e": "5", "f": []}}

    assert list(strings_in(value)) == ["1", "2", "3 4", "5"]


def test_a_value_of_another_type_is_empty() -> None:
    assert (text_of(1), list_of("a"), dict_of([])) == ("", [], {})
    assert (text_of("a"), list_of([1]), dict_of({1: 1})) == ("a", [1], {1: 1})
