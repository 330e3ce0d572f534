"""Lists are read item by item, and say the same as when they are read as a whole, however they are written."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from harness.cluster.kube.answers import read_list
from harness.common.errors import ApiError

# All that could be taken for the place between two items: an inner list of objects, a text, a list's own beginning.
TEMPLATES = {"metadata": {"name": "a"}, "spec": {"templates": [{"metadata": {"n": 1}}, {"metadata": {"n": 2}}]}}
TEXT = {"metadata": {"name": "b"}, "data": {"last": '"items":[{"metadata":{}},{"metadata":{"name":"x"}}]}'}}
NESTED = {"metadata": {"name": "c"}, "items": [{"metadata": {}}, {"metadata": {}}]}
PLAIN = {"metadata": {"name": "d", "labels": {"ü": "\\"}}}
META_LAST = {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "e"}}
ALL: list[dict[str, Any]] = [PLAIN, TEMPLATES, TEXT, NESTED, PLAIN, TEMPLATES]


def written(items: Any, **more: Any) -> dict[str, Any]:
    return {
        "kind": "List",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "5", "continue": "x"},
        "items": items,
        **more,
    }


@pytest.mark.parametrize(
    "items",
    [
        ALL,
        ALL[::-1],
        [TEMPLATES],
        [NESTED, TEXT],
        [PLAIN],
        [META_LAST, TEMPLATES, META_LAST],
        [PLAIN, META_LAST, TEMPLATES, META_LAST, PLAIN],
        [],
        None,
    ],
)
@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("sort_keys", [False, True])
def test_list_items_do_not_depend_on_the_formatting(
    items: list[dict[str, Any]] | None, end: str, separators: tuple[str, str], sort_keys: bool
) -> None:
    text = json.dumps(written(items), separators=separators, sort_keys=sort_keys, ensure_ascii=False) + end
    metadata, found = read_list(text.encode())
    assert (metadata, list(found)) == ({"resourceVersion": "5", "continue": "x"}, items or [])


def test_items_are_decoded_lazily(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    loads = orjson.loads

    def count(text: bytes) -> Any:
        decoded.append(len(text))
        return loads(text)

    body = orjson.dumps(written([PLAIN] * 50))
    monkeypatch.setattr("harness.cluster.kube.answers.orjson.loads", count)
    _, items = read_list(body)
    assert len(decoded) == 1
    next(items)
    assert len(decoded) == 2
    assert max(decoded) < len(body) / 5


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"items":[{"metadata":{}'])
def test_non_list_response_is_an_api_error(body: bytes) -> None:
    with pytest.raises(ApiError, match="BadAnswer"):
        read_list(body)


@pytest.mark.parametrize(
    "damage", [b'{"metadata":}', b'{"metadata":{"name"}}', b'{"metadata":{},"x":[}', b'{"metadata":{}}{"y":1}']
)
def test_a_damaged_item_is_an_api_error_and_none_that_is_missing(damage: bytes) -> None:
    whole = orjson.dumps(PLAIN)
    _, items = read_list(b'{"metadata":{},"items":[%b,%b,%b]}' % (whole, damage, whole))
    assert next(items) == PLAIN
    with pytest.raises(ApiError, match="BadAnswer"):
        list(items)


def test_malformed_list_is_an_error_and_yields_no_items() -> None:
    _, items = read_list(orjson.dumps(written([PLAIN, PLAIN], more=[{"metadata": {}}])))
    with pytest.raises(ApiError, match="BadAnswer"):
        list(items)
