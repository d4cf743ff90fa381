"""Records: what is not ours stays byte for byte, and what is not JSON is explained."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.errors import DataError
from stepkit.io.jsonl import Record, decode, encode

KEYS = st.sampled_from(["id", "steps", "labels", "a b", 'q"uote', "é", "back\\slash", "x"])
NUMBERS = st.one_of(
    st.integers(-(10**30), 10**30).map(str),
    st.sampled_from(["1.10", "1E5", "-0", "0.1e-3", "18446744073709551617"]),
)
INTEGERS = st.integers(-(2**63), 2**64 - 1)
"""What is read back as it was written; larger ones are written exactly and read as floats."""
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.one_of(NUMBERS, st.sampled_from(["true", "false", "null"]), TEXTS.map(json.dumps)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + " , ".join(items) + "]"),
        st.dictionaries(TEXTS, inner, max_size=3).map(
            lambda items: "{" + ",".join(f"{json.dumps(k)}: {v}" for k, v in items.items()) + " }"
        ),
    ),
    max_leaves=6,
)
SPACES = st.sampled_from(["", " ", "  ", "\t"])


@st.composite
def raw_lines(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Entries of an object as (key as spelled, value as spelled), with spaces of every kind."""
    entries = []
    for key in draw(st.lists(KEYS, max_size=6, unique=True)):
        spelled = json.dumps(key, ensure_ascii=draw(st.booleans()))
        value = draw(SPACES) + draw(VALUES) + draw(SPACES)
        entries.append((draw(SPACES) + spelled + draw(SPACES), value))
    return entries


def spell(entries: list[tuple[str, str]]) -> bytes:
    return ("{" + ",".join(f"{key}:{value}" for key, value in entries) + "}").encode()


def record(raw: bytes) -> Record:
    return Record(raw, decode(raw), "f", 1)


@given(raw_lines())
def test_an_untouched_record_is_its_bytes(entries: list[tuple[str, str]]) -> None:
    raw = spell(entries)
    assert record(raw).line() == raw + b"\n"


@given(raw_lines(), KEYS, st.lists(st.one_of(st.none(), INTEGERS, TEXTS), max_size=3))
def test_set_changes_one_value_and_no_other_byte(
    entries: list[tuple[str, str]], key: str, value: Any
) -> None:
    changed = record(spell(entries))
    changed.set(key, value)
    written = encode(value).decode()
    at = [json.loads(spelled) for spelled, _ in entries]
    if key in at:
        index = at.index(key)
        spelled, old = entries[index]
        lead = old[: len(old) - len(old.lstrip())]
        tail = old[len(old.rstrip()) :]
        expected = spell(
            [*entries[:index], (spelled, lead + written + tail), *entries[index + 1 :]]
        )
        assert changed.line() == expected + b"\n"
    else:
        raw = spell(entries)
        head = raw[:-1].rstrip()
        comma = b"," if entries else b""
        assert changed.line() == head + comma + encode(key) + b":" + written.encode() + b"}\n"
    assert changed.data == decode(changed.line())


@given(raw_lines(), KEYS)
def test_drop_leaves_the_others_in_place(entries: list[tuple[str, str]], key: str) -> None:
    changed = record(spell(entries))
    changed.drop(key)
    kept = [(name, value) for name, value in entries if json.loads(name) != key]
    line = changed.line()
    assert b"".join(line.split()) == b"".join(spell(kept).split())
    assert changed.data == decode(line)
    # Big numbers and spellings inside the kept values are the very bytes that came.
    assert all(value.strip().encode() in line for _, value in kept)


@given(raw_lines(), st.lists(st.tuples(KEYS, st.booleans()), max_size=8))
def test_any_series_of_changes_keeps_line_and_data_equal(
    entries: list[tuple[str, str]], changes: list[tuple[str, bool]]
) -> None:
    changed = record(spell(entries))
    for number, (key, keep) in enumerate(changes):
        if keep:
            changed.set(key, number)
        else:
            changed.drop(key)
        assert decode(changed.line()) == changed.data


def test_the_last_of_duplicate_keys_is_the_one_replaced() -> None:
    twice = record(b'{"a":1,"b":2, "a":3}')
    assert twice.data["a"] == 3
    twice.set("a", 4)
    assert twice.line() == b'{"a":1,"b":2, "a":4}\n'
    twice.drop("a")
    assert twice.line() == b'{"b":2}\n'


def test_a_key_in_nested_objects_and_texts_is_not_mistaken() -> None:
    raw = b'{"t":{"labels":1},"s":"\\"labels\\":2","labels":3,"l":["labels"]}'
    changed = record(raw)
    changed.set("labels", 4)
    assert changed.line() == raw.replace(b'"labels":3', b'"labels":4') + b"\n"
    escaped = record(b'{"t":{"labels":1},"\\u006cabels":3}')
    escaped.set("labels", 4)
    assert escaped.line() == b'{"t":{"labels":1},"\\u006cabels":4}\n'


def test_merge_keeps_the_other_entries_byte_for_byte() -> None:
    changed = record(b'{"labels": {"gold" : {"x":[1.10,18446744073709551617]}, "hard":1},"z":1}')
    changed.merge("labels", {"hard": [1], "value": 0.5})
    assert changed.line() == (
        b'{"labels": {"gold" : {"x":[1.10,18446744073709551617]}, "hard":[1],"value":0.5},"z":1}\n'
    )
    assert changed.data["labels"]["value"] == 0.5
    fresh = record(b"{}")
    fresh.merge("labels", {"a": 1})
    fresh.merge("labels", {"b": 2})
    assert fresh.line() == b'{"labels":{"a":1,"b":2}}\n'
    with pytest.raises(DataError, match="expected an object"):
        record(b'{"labels":[]}').merge("labels", {"a": 1})


def test_a_copy_changes_apart() -> None:
    first = record(b'{"a":1.10}')
    first.set("b", 1)
    second = first.copy()
    second.set("a", 2)
    assert (first.line(), second.line()) == (b'{"a":1.10,"b":1}\n', b'{"a":2,"b":1}\n')


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (float("nan"), "x"),
        ([1, float("inf")], "x[1]"),
        ({"a": [None, {"b": float("nan")}]}, "x.a[1].b"),
        ([None, 2**70, float("-inf")], "x[2]"),
    ],
)
def test_nan_never_leaves(value: object, field: str) -> None:
    with pytest.raises(DataError) as caught:
        record(b"{}").set("x", value)
    assert caught.value.field == field


def test_what_orjson_cannot_write_is_written_exactly() -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    assert encode({"n": 2**70, "é": None}) == f'{{"n":{2**70},"é":null}}'.encode()
    assert encode(deep) == b"[" * 301 + b"]" * 301
    with pytest.raises(DataError, match="surrogate"):
        encode("\ud800", "text")


@pytest.mark.parametrize(
    ("line", "place", "what"),
    [
        (b"{bad", ":2", "not JSON"),
        (b'{"a":"x\xff"}', ":8", "not UTF-8: byte 0xff"),
        ('{"é":}'.encode(), ":7", "not JSON"),
        (b'{"a":NaN}', ":6", "write null"),
        (b'{"a":-Infinity}', ":7", "write null"),
        (b'{"a":"\\ud800"}', ":7", "surrogate"),
        (b'{"a":1', ":7", "ends too early"),
        (b"[1,2]", "", "jq -c"),
        (b"{", ":2", "jq -c"),
        (b"[", ":2", "jq -c"),
        (b"17", "", "expected an object, got a number"),
        (b"null", "", "expected an object, got null"),
        (b"{'a': 1}", ":2", "Python's repr"),
        (b"GGUF\x03\x00", ":1", "GGUF model"),
        (b"\xff\xfe{\x00", ":1", "UTF-16"),
        (b'{"a":' + b"[" * 1100 + b"]" * 1100 + b"}", ":1030", "depth limit"),
        (b"\x00", ":1", "not JSON"),
    ],
)
def test_what_is_not_a_record_is_explained(line: bytes, place: str, what: str) -> None:
    with pytest.raises(DataError) as caught:
        decode(line)
    assert caught.value.place == place
    assert what in caught.value.what


@given(st.binary(max_size=40))
def test_no_bytes_give_anything_but_a_record_or_a_complaint(line: bytes) -> None:
    try:
        decode(line)
    except DataError as error:
        assert "\n" not in str(error)


def test_replacing_in_a_long_line_is_linear() -> None:
    tree = {"text": ['He said "x"\n' * 6] * 10000, "parent": list(range(10000)), "labels": 1}
    raw = json.dumps({"tree": tree, "labels": {"a": 1}, "id": "a"}).encode()
    changed = record(raw)
    start = time.perf_counter()
    changed.set("labels", 2)
    # 10 ms on an idle core; a quadratic scan would take seconds.
    assert time.perf_counter() - start < 0.5
    assert changed.line() == raw.removesuffix(b'{"a": 1}, "id": "a"}') + b'2, "id": "a"}\n'
