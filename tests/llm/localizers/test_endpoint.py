"""Localisation over HTTP, against a server on this machine that misbehaves on request."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import FailedLocalization, Localization, Reason
from llm.localizers.base import Located
from llm.localizers.chat_client import ChatClient, Endpoint, EndpointError, read_key
from llm.localizers.endpoint_localizer import EndpointLocalizer
from tests.llm.canned import byte_vocabulary, rollout_of

BYTES = byte_vocabulary()
KEYS = Key.of(9).integers(100)


class Stub:
    """An OpenAI-compatible server.

    Attributes:
        behave: body of a request -> (status, headers, payload); by default it names step 2.
        bodies, headers: of the requests so far.
        most: most requests it has seen in flight.
    """

    def __init__(self):
        self.behave = lambda body: said(r"So \boxed{2}")
        self.bodies, self.headers, self.most, self._flying = [], [], 0, 0
        self._lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with stub.flight(body, self.headers):
                    answer = stub.behave(body)
                if answer is None:
                    return  # hangs up
                status, headers, payload = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(payload)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def flight(self, body, headers):
        stub = self

        class Flight:
            def __enter__(self):
                with stub._lock:
                    stub.bodies.append(body)
                    stub.headers.append(dict(headers))
                    stub._flying += 1
                    stub.most = max(stub.most, stub._flying)

            def __exit__(self, *error):
                with stub._lock:
                    stub._flying -= 1

        return Flight()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def said(text, reason="stop", usage=(5, 70), **more):
    content = {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": reason}]
    }
    if usage:
        content["usage"] = {"completion_tokens": usage[0], "prompt_tokens": usage[1]}
    return 200, {}, json.dumps({**content, **more}).encode()


@pytest.fixture
def stub():
    server = Stub()
    yield server
    server.close()


def client(stub, replies=None, **options):
    settings = {"retries": 2, "backoff": 0.01, "timeout": 20.0, **options}
    return ChatClient(Endpoint(stub.url, "judge", **settings), replies)


def solution(*thoughts, **options):
    return rollout_of(BYTES, thoughts, **options)


def test_what_is_sent_and_what_is_read(stub):
    localizer = EndpointLocalizer(client(stub, api_key="secret"), BYTES, max_tokens=77)
    rollout = solution("a1", "b2", kept=["k0"])
    located = localizer.locate([rollout], KEYS[:1])
    assert located == [
        Located(Localization(0), 5, 70, r"So \boxed{2}", "box")
    ]  # its own first thought
    [body], [headers] = stub.bodies, stub.headers
    assert body["model"] == "judge"
    assert (body["max_tokens"], body["temperature"], body["top_p"]) == (77, 0.0, 1.0)
    assert 0 <= body["seed"] < 2**31
    [message] = body["messages"]
    assert "Step 1: k0\nStep 2: a1\nStep 3: b2\n" in message["content"]
    assert "somebody else's attempt" in message["content"]
    assert headers["Authorization"] == "Bearer secret"
    assert "secret" not in repr(localizer.client.endpoint)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (said(r"\boxed{1} or rather \boxed{2}"), Localization(1)),
        (said(r"\boxed{3}"), FailedLocalization(Reason.OUT_OF_RANGE)),
        (said(r"\boxed{0}"), FailedLocalization(Reason.NO_ERROR)),
        (said("step 2"), FailedLocalization(Reason.UNPARSABLE)),
        (said("step 2 is", "length"), FailedLocalization(Reason.TRUNCATED)),
        (said(None), FailedLocalization(Reason.EMPTY)),
        (said(""), FailedLocalization(Reason.EMPTY)),
    ],
)
def test_replies_become_steps_or_typed_refusals(stub, answer, expected):
    stub.behave = lambda body: answer
    [located] = EndpointLocalizer(client(stub), BYTES).locate([solution("a", "b")], KEYS[:1])
    assert located.answer == expected


def test_tokens_are_counted_here_where_the_endpoint_does_not(stub):
    stub.behave = lambda body: said(r"\boxed{2}", usage=None)
    [located] = EndpointLocalizer(client(stub), BYTES).locate([solution("a", "b")], KEYS[:1])
    assert located.generated == len(r"\boxed{2}")
    assert located.prompt > 100


def test_requests_run_together_up_to_the_cap_and_answers_keep_their_order(stub):
    def behave(body):
        time.sleep(0.05)
        return said(rf"\boxed{{{body['messages'][0]['content'].count('Step ')}}}")

    stub.behave = behave
    localizer = EndpointLocalizer(client(stub, concurrency=4), BYTES)
    rollouts = [solution(*["x"] * (1 + i % 5), failed=i != 3) for i in range(12)]
    located = localizer.locate(rollouts, KEYS[:12])
    assert len(stub.bodies) == 11
    assert located[3] == Located(FailedLocalization(Reason.NOT_FAILED))
    assert [one.answer.step for i, one in enumerate(located) if i != 3] == [
        i % 5 for i in range(12) if i != 3
    ]
    assert 2 <= stub.most <= 4


def test_passing_failures_are_tried_again(stub):
    failures = iter([(503, {}, b"busy"), (429, {"Retry-After": "0"}, b""), None])
    stub.behave = lambda body: next(failures, said(r"\boxed{1}"))
    asks = client(stub, retries=3)
    assert asks.ask([{"messages": []}])[0].text == r"\boxed{1}"
    assert asks.asked == len(stub.bodies) == 4


def test_a_reply_that_breaks_off_is_a_passing_failure(stub):
    """Its head has come, and with it the status of a success."""
    whole = said("whole")
    broken = iter([(200, {"Content-Length": "999"}, whole[2])])
    stub.behave = lambda body: next(broken, whole)
    assert client(stub).ask([{}])[0].text == "whole"
    assert len(stub.bodies) == 2


def test_what_the_environment_says_of_proxies_and_passwords_does_not_count(
    stub, monkeypatch, tmp_path
):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    client(stub).ask([{}])
    client(stub, api_key="secret").ask([{"seed": 1}])
    assert [headers.get("Authorization") for headers in stub.headers] == [None, "Bearer secret"]


def test_the_proxy_that_is_named_is_used(stub):
    """The stub as a proxy: it is asked for a host that there is none of."""
    asks = ChatClient(Endpoint("http://host.invalid/v1", "judge", proxy=stub.url, retries=0))
    assert asks.ask([{}])[0].text == r"So \boxed{2}"


def test_pauses_double_and_heed_the_endpoint(stub, monkeypatch):
    pauses = []
    monkeypatch.setattr("time.sleep", pauses.append)
    headers = iter([{}, {"Retry-After": "7"}, {"Retry-After": "soon"}, {"Retry-After": "999"}])
    stub.behave = lambda body: (503, next(headers, {}), b"")
    with pytest.raises(EndpointError, match="503"):
        client(stub, retries=5, backoff=1.0).ask([{}])
    assert pauses == [1.0, 7.0, 4.0, 60.0, 16.0]


def test_a_reply_that_takes_too_long_is_a_passing_failure(stub):
    slow = iter([True])

    def behave(body):
        if next(slow, False):
            time.sleep(1.0)
        return said("late")

    stub.behave = behave
    assert client(stub, timeout=0.3).ask([{}])[0].text == "late"
    assert len(stub.bodies) == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, {}, b"bad key"), "refused with status 401: bad key; check address, key and model"),
        ((404, {}, b""), "status 404: Not Found"),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), "status 302"),  # the key stays here
        ((200, {}, b"<html>"), "replied with '<html>'; give the address of an OpenAI-compatible"),
        ((200, {}, b"[]"), "replied with"),
        ((200, {}, b'{"choices": []}'), "replied with"),
        ((200, {}, b'{"choices": [{"message": {"content": [1]}}]}'), "replied with"),
    ],
)
def test_lasting_failures_are_told_at_once(stub, answer, message):
    stub.behave = lambda body: answer
    with pytest.raises(EndpointError, match=message) as error:
        client(stub).ask([{}])
    assert stub.url in str(error.value)
    assert len(stub.bodies) == 1


def test_an_endpoint_that_is_down_is_named_with_the_remedy(stub):
    stub.close()
    asks = client(stub)
    with pytest.raises(
        InvalidInput, match=r"no connection .*, 3 times; see that the endpoint is up"
    ):
        asks.ask([{}])
    assert asks.asked == 3


def test_nothing_that_came_is_lost_when_the_endpoint_goes_down(stub, tmp_path):
    path = tmp_path / "kept" / "replies.jsonl"
    bodies = [{"seed": i} for i in range(40)]

    def behave(body):
        if body["seed"] == 4:
            return 503, {}, b"down"
        return said(f"reply {body['seed']}")

    stub.behave = behave
    with pytest.raises(EndpointError, match="down"):
        client(stub, path, concurrency=1).ask(bodies)
    came = Counter(body["seed"] for body in stub.bodies)
    assert came.pop(4) == 3
    assert set(came.values()) == {1}
    assert set(range(4)) <= set(came) <= set(range(10))  # those in flight were waited for
    stub.behave = lambda body: said(f"reply {body['seed']}")
    stub.bodies.clear()
    replies = client(stub, path).ask(bodies)
    assert [reply.text for reply in replies] == [f"reply {i}" for i in range(40)]
    assert {body["seed"] for body in stub.bodies} == set(range(40)) - set(came)
    stub.bodies.clear()
    assert client(stub, path).ask(bodies) == replies
    assert not stub.bodies


def test_a_reply_is_for_its_model_and_words(stub, tmp_path):
    path = tmp_path / "replies.jsonl"
    client(stub, path).ask([{"seed": 1}, {"seed": 1}])
    assert len(stub.bodies) == 1  # equal requests are one
    client(stub, path).ask([{"seed": 2}])
    ChatClient(Endpoint(stub.url, "another"), path).ask([{"seed": 1}])
    assert len(stub.bodies) == 3


def test_a_line_cut_off_by_a_kill_is_dropped_and_a_strange_one_is_named(stub, tmp_path):
    path = tmp_path / "replies.jsonl"
    bodies = [{"seed": i} for i in range(3)]
    replies = client(stub, path, concurrency=1).ask(bodies)
    path.write_bytes(path.read_bytes()[:-9])
    stub.bodies.clear()
    assert client(stub, path).ask(bodies) == replies
    assert [body["seed"] for body in stub.bodies] == [2]
    assert client(stub, path).ask(bodies) == replies
    assert len(stub.bodies) == 1
    path.write_text("{}\n")
    with pytest.raises(InvalidInput, match=r"line 1 .*not a stored reply"):
        client(stub, path)


def test_settings_are_checked(tmp_path):
    for bad in (
        {"url": "host/v1"},
        {"url": "ftp://host/v1"},
        {"url": "http:///v1"},
        {"url": "http://host:port/v1"},
        {"url": "http://host\n/v1"},
        {"proxy": "host"},
        {"timeout": 0},
        {"retries": -1},
        {"concurrency": 0},
    ):
        with pytest.raises(InvalidInput, match=next(iter(bad))):
            Endpoint(**{"url": "https://host/v1", "model": "m", **bad})
    for key in ("secret\nsecond line", "sécret"):
        with pytest.raises(InvalidInput, match="cannot be sent in a header") as error:
            Endpoint("https://host/v1", "m", api_key=key)
        assert "cret" not in str(error.value)
    with pytest.raises(InvalidInput, match="no such file"):
        read_key(tmp_path / "key")
    (tmp_path / "key").write_text(" \n")
    with pytest.raises(InvalidInput, match="empty"):
        read_key(tmp_path / "key")
    (tmp_path / "key").write_text("abc\n")
    assert read_key(tmp_path / "key") == "abc"
