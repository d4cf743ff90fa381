"""The completions protocol, the meaning of HTTP failures, and the balance: without a network."""

from __future__ import annotations

import math
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.errors import UsageError
from stepkit.model.engine import Branch, Engine, Read
from stepkit.model.servers.batch_files import BatchRequests
from stepkit.model.servers.byte_vocabulary import name_of
from stepkit.model.servers.completions import MalformedResponse, echoed_readout, finished_draw
from stepkit.model.servers.http import base_url, error_message, key_for, retry_after
from stepkit.model.servers.load_balancer import LONGEST_REST, LoadBalancer, Server
from stepkit.model.servers.server_engine import ServedModel, ServerEngine
from stepkit.schema import Json


def answer(text: str, logprobs: Any = None, finish: str = "stop", counted: Any = 9) -> Json:
    choice = {"text": text, "finish_reason": finish, "logprobs": logprobs}
    return {"choices": [choice], "usage": {"completion_tokens": counted}}


def legacy(*tokens: tuple[str, float | None]) -> Json:
    return {"tokens": [text for text, _ in tokens], "token_logprobs": [lp for _, lp in tokens]}


def content(*tokens: tuple[bytes, float]) -> Json:
    rows = [
        {"token": raw.decode("utf-8", "replace"), "bytes": list(raw), "logprob": lp, "id": 7}
        for raw, lp in tokens
    ]
    return {"content": rows}


# ---- what cannot be asked -------------------------------------------------------------------


class Head:
    """A head that is never asked."""

    outputs = 1

    def __call__(self, states: Any) -> Any:
        raise AssertionError


READ = Read("r", (65, 66), (0,))


def refusal(engine: Engine, read: Read) -> str:
    """The one line with which an engine refuses a Read."""
    engine.submit(read)
    (done,) = engine.step()
    engine.close()
    assert done.request is read and not engine.pending
    assert isinstance(done.result, UsageError)
    assert "\n" not in str(done.result)
    return str(done.result)


@pytest.mark.parametrize(
    ("read", "tokens", "named"),
    [
        (replace(READ, head=Head()), False, "no hidden states"),
        (replace(READ, candidates=(7,)), False, "no logits of chosen tokens"),
        (replace(READ, summary=True), False, "no whole distributions"),
        (replace(READ, branches=(Branch(1, (67,)),)), False, "no reads after parts of a text"),
        (replace(READ, ids=(65, 666)), True, "token ids"),
    ],
)
def test_servers_refuse_what_they_cannot_read(read: Read, tokens: bool, named: str) -> None:
    """Before anything is sent: nobody listens there. They answered with other numbers, or died."""
    service = ServedModel("other", tokens, True, concurrency=4, timeout=1.0, retries=1)
    server = Server("http://localhost:9/v1", "toy")
    assert named in refusal(ServerEngine(service, [server], pytest.fail), read)
    assert not server.picked


def test_batch_files_refuse_to_be_read() -> None:
    engine = BatchRequests(lambda line: pytest.fail(str(line)), "toy")
    assert "batch files hold draws only" in refusal(engine, READ)


# ---- answers --------------------------------------------------------------------------------


def test_the_token_that_ends_a_draw_does_not_count() -> None:
    one = finished_draw(
        answer("4 + 4", legacy(("4", -1.0), (" +", -0.5), (" 4", -0.25), ("</s>", -9.0)))
    )
    assert (one.text, one.finish, one.tokens, one.ids) == ("4 + 4", "stop", 3, None)
    assert (one.logprob, one.logprobs) == (-1.75, (-1.0, -0.5, -0.25))


def test_a_token_that_a_stop_string_ended_inside_counts() -> None:
    one = finished_draw(answer("is 4", legacy(("is", -1.0), (" 4.\n", -0.5), ("\n", -3.0))))
    assert (one.tokens, one.logprob) == (2, -1.5)


def test_characters_split_over_tokens() -> None:
    raw = "é€".encode()
    split = content((raw[:1], -1.0), (raw[1:3], -2.0), (raw[3:], -4.0), (b"", -8.0))
    one = finished_draw(answer("é€", split))
    assert (one.tokens, one.logprobs) == (3, (-1.0, -2.0, -4.0))
    # where only texts are given they do not join: nothing is made up
    lost = legacy(("\ufffd", -1.0), ("\ufffd", -2.0), ("</s>", -3.0))
    one = finished_draw(answer("é", lost))
    assert (one.tokens, one.logprob, one.logprobs) == (9, None, ())
    # but a draw that was cut off has no token that is not its own
    one = finished_draw(answer("é", legacy(("\ufffd", -1.0), ("\ufffd", -2.0)), "length"))
    assert (one.finish, one.tokens, one.logprob) == ("length", 2, -3.0)


def test_nothing_drawn() -> None:
    one = finished_draw(answer("", legacy(("</s>", -0.5))))
    assert (one.tokens, one.logprob, one.logprobs) == (0, 0.0, ())


def test_logprobs_that_are_no_numbers() -> None:
    for value in (None, -math.inf, math.nan):
        one = finished_draw(answer("ab", legacy(("a", -1.0), ("b", value))))
        assert (one.tokens, one.logprob) == (9, None)


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"choices": []},
        {"choices": [{"text": None, "finish_reason": "stop"}], "usage": {"completion_tokens": 1}},
        {"choices": [{"text": "a", "finish_reason": "stop"}]},
        answer("a", finish="content_filter"),
        answer("a", finish=None),  # type: ignore[arg-type]
        answer("a", counted=None),
        answer("a", {"tokens": ["a"], "token_logprobs": []}),
        answer("a", {"tokens": [5], "token_logprobs": [0.0]}),
        answer("a", {"content": [{"token": "a"}]}),
        answer("a", {"strange": 1}),
    ],
)
def test_bad_answers(bad: Json) -> None:
    with pytest.raises(MalformedResponse):
        finished_draw(bad)


@given(st.lists(st.text(min_size=1), min_size=1), st.integers(0, 3), st.booleans())
def test_tokens_are_matched_with_the_text(tokens: list[str], extra: int, in_bytes: bool) -> None:
    """Whatever comes after, the tokens that hold the text are those that were drawn."""
    text = "".join(tokens).encode("utf-8", "replace").decode()
    tokens = [token.encode("utf-8", "replace").decode() for token in tokens]
    values = [-float(number) for number in range(1, len(tokens) + extra + 1)]
    shown = [*tokens, *["<end>"] * extra]
    pairs = list(zip(shown, values, strict=True))
    given = content(*((t.encode(), v) for t, v in pairs)) if in_bytes else legacy(*pairs)
    one = finished_draw(answer(text, given))
    assert one.logprobs == tuple(values[: len(tokens)])
    assert one.logprob == sum(values[: len(tokens)])


def test_readings_are_placed_by_bytes() -> None:
    text = "é1 22"
    echoed = answer(text + "3", legacy(("<s>", None), ("é1", -1.0), (" 2", -2.0), ("23", -4.0)))
    raw = text.encode()  # é é 1 _ 2 2
    read = echoed_readout(echoed, raw, range(-1, len(raw) - 1))
    assert read.values == ((-1.0,), (), (), (-2.0,), (), (-4.0,))
    with pytest.raises(MalformedResponse):
        echoed_readout(answer("abc", legacy(("a", 0.0), ("c", 0.0))), b"abc", range(2))
    with pytest.raises(MalformedResponse):
        echoed_readout(answer("abc"), b"abc", range(2))


# ---- HTTP -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "no\\n such model", "type": "x"}}', "no such model"),
        (b'{"error": "busy"}', "busy"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"message": "too long"}', "too long"),
        (b'{"detail": [{"loc": ["n"]}]}', '[{"loc": ["n"]}]'),
        (b"<html><title>502\nBad</title><body>x</body></html>", "502 Bad"),
        (b"<p>Bad</p>\n<p>gateway</p>", "Bad gateway"),
        (b"", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"x" * 999, "x" * 297 + "..."),
    ],
)
def test_the_servers_own_words(body: bytes, message: str) -> None:
    assert error_message(body) == message


def test_retry_after_is_seconds_or_a_date() -> None:
    now = 1_800_000_000.0
    assert retry_after(None, now) == retry_after("soon", now) == retry_after("-3", now) == 0
    assert retry_after(" 7 ", now) == 7
    assert retry_after(formatdate(now + 30, usegmt=True), now) == 30
    assert retry_after(formatdate(now - 30, usegmt=True), now) == 0


def test_openais_key_is_for_openai_only() -> None:
    both = {"STEPKIT_API_KEY": "a", "OPENAI_API_KEY": "b"}
    only = {"OPENAI_API_KEY": "b"}
    assert key_for("https://api.openai.com/v1", both) == key_for("http://box/v1", both) == "a"
    assert key_for("https://api.openai.com/v1", only) == "b"
    for url in ("http://api.openai.com/v1", "https://api.openai.com.evil.org", "http://box:8000"):
        assert key_for(url, only) is None


def test_a_key_that_cannot_be_sent_is_not_shown() -> None:
    assert key_for("http://box", {"STEPKIT_API_KEY": " sk-1\n"}) == "sk-1"
    for key in ("sk\n1", "schlüssel", "a\x7fb"):
        with pytest.raises(UsageError) as raised:
            key_for("http://box", {"STEPKIT_API_KEY": key})
        assert key not in str(raised.value)


def test_urls() -> None:
    assert base_url("http://box:8000") == base_url("http://box:8000/") == "http://box:8000/v1"
    assert base_url("https://box/v1/") == "https://box/v1"
    assert base_url("http://[::1]:80/openai/v2") == "http://[::1]:80/openai/v2"
    for bad in ("box:8000", "http://", "http://box:x", "http://u@box", "http://box/?a=1", ""):
        with pytest.raises(UsageError):
            base_url(bad)


def test_names_do_not_tell_folders() -> None:
    assert name_of("/data/me/x.gguf") == name_of("models/x.gguf") == "x.gguf"
    assert name_of("/data/me/llama") == "llama"
    assert name_of("Qwen/Qwen2.5-7B") == "Qwen/Qwen2.5-7B"


# ---- the balance ----------------------------------------------------------------------------


def balance(count: int, limit: int = 3) -> tuple[LoadBalancer, list[Server]]:
    servers = [Server(f"http://{number}", "m") for number in range(count)]
    return LoadBalancer(servers, limit, lambda: 1.0), servers


def test_the_least_busy_server_is_next() -> None:
    over, (one, two, three) = balance(3)
    assert [over.pick(0.0) for _ in range(4)] == [one, two, three, one]
    over.answered(two)
    assert over.pick(0.0) is two
    over.answered(one)
    over.answered(one)
    assert over.pick(0.0) is one  # idle; the others have one in flight each
    assert over.pick(0.0) is three  # all alike: it is the longest since this one was picked


def test_rests_double_and_end_in_a_drop() -> None:
    over, (one,) = balance(1, 4)
    now, rests = 100.0, []
    for _ in range(4):
        assert over.pick(now) is one and over.pick(now) is (None if one.failures else one)
        if not one.failures:
            over.answered(one)
            one.in_flight = 1
        over.failed(one, "why", started=now, now=now, wait=0.0)
        rests.append(one.rests_until - now)
        assert over.pick(now) is None
        assert over.wait(now) == (None if one.dropped else rests[-1])
        now = one.rests_until
    assert rests == [0.5, 1.0, 2.0, 4.0]
    assert one.dropped and over.alive == [] and over.pick(1e9) is None


def test_a_wait_that_the_server_asks_for_is_kept() -> None:
    over, (one,) = balance(1)
    over.pick(0.0)
    over.pick(0.0)
    over.failed(one, "429", started=0.0, now=1.0, wait=30.0)
    over.answered(one)  # another one comes in meanwhile
    assert over.pick(30.9) is None
    assert over.pick(31.0) is one


@given(
    st.lists(st.tuples(st.sampled_from("paf"), st.floats(0, 20), st.integers(0, 5)), max_size=80)
)
def test_what_always_holds(events: list[tuple[str, float, int]]) -> None:
    """Counts never go wrong, nobody is asked while it rests, and one on probation is asked once."""
    over, servers = balance(3, 4)
    now = 0.0
    flying: list[tuple[Server, float]] = []
    for kind, passed, which in events:
        now += passed
        if kind == "p":
            server = over.pick(now)
            ready = [s for s in servers if not s.dropped and s.rests_until <= now]
            if server is None:
                assert all(s.failures and s.in_flight for s in ready)
                continue
            assert server in ready and (not server.failures or server.in_flight == 1)
            flying.append((server, now))
        elif flying:
            server, started = flying.pop(which % len(flying))
            if kind == "a":
                over.answered(server)
            else:
                before = server.failures
                over.failed(server, "w", started=started, now=now, wait=0.0)
                assert server.failures in (before, before + 1)
                assert server.rests_until <= now + LONGEST_REST or before == server.failures
        for server in servers:
            assert server.in_flight == sum(other is server for other, _ in flying)
            assert server.dropped or server.failures < 4
