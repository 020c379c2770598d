"""A chat model behind an OpenAI-compatible HTTP endpoint: asked concurrently, patiently, once.

Replies can be kept in a file, so that neither an endpoint that goes down half-way nor a killed run
loses what was paid for, and a run that is repeated reads the replies it got before.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from cpi_theory.checks import InvalidInput, check_count, check_in_range, check_positive

# Time-outs, conflicts, overload and failures behind the endpoint: what may pass by itself. 529 is
# what some endpoints say for overload.
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_LONGEST_PAUSE = 60.0


class EndpointError(InvalidInput):
    """An endpoint that cannot be reached, refuses, or says what cannot be understood."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is served and how it is asked.

    Attributes:
        url: base address, to which "/chat/completions" is appended.
        model: the name that the endpoint knows it by.
        api_key: sent as a bearer token; see :func:`read_key`.
        timeout: seconds to wait for a reply.
        retries: further attempts after a failure that may pass (no connection, overload).
        backoff: seconds before the first of them, doubled each time; what the endpoint asks for in
            "Retry-After" counts if it is longer. Never more than a minute.
        concurrency: most requests in flight.
        proxy: address of an HTTP proxy; those of the environment are not used.
    """

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 120.0
    retries: int = 5
    backoff: float = 1.0
    concurrency: int = 8
    proxy: str | None = None

    def __post_init__(self) -> None:
        _check_address("url", self.url, "give one such as https://host/v1")
        if self.proxy is not None:
            _check_address("proxy", self.proxy, "give one such as http://host:3128")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            remedy = "see that it is the key alone that the file holds"
            raise InvalidInput("api_key", "...", "cannot be sent in a header", remedy)
        check_positive("timeout", self.timeout)
        check_count("retries", self.retries, minimum=0)
        check_in_range("backoff", self.backoff, 0, _LONGEST_PAUSE)
        check_count("concurrency", self.concurrency)

    @property
    def address(self) -> str:
        """Where requests go."""
        return self.url.rstrip("/") + "/chat/completions"


def _check_address(field: str, address: str, remedy: str) -> None:
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise InvalidInput(field, address, str(error), remedy) from error
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidInput(field, address, "not an HTTP address", remedy)


def read_key(path: Path) -> str:
    """Read the API key in a file.

    Raises:
        InvalidInput: if there is none.
    """
    if not path.is_file():
        raise InvalidInput("key file", path, "no such file", "write the API key into it")
    key = path.read_text(encoding="utf-8").strip()
    if not key:
        raise InvalidInput("key file", path, "empty", "write the API key into it")
    return key


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said.

    Attributes:
        text: its message, empty if there is none.
        cut: whether it was cut off at the limit on tokens.
        generated, prompt: tokens of reply and prompt by the endpoint's count; None if it says none.
    """

    text: str
    cut: bool
    generated: int | None
    prompt: int | None


class ChatClient:
    """Asks an endpoint and remembers its replies.

    Attributes:
        endpoint: who is asked.
        asked: requests sent so far, further attempts included.
    """

    def __init__(self, endpoint: Endpoint, replies: Path | None = None) -> None:
        """Set up the client; nothing is sent yet.

        Args:
            endpoint: who is asked.
            replies: JSON lines file with replies, read now and appended to; None: replies are
                remembered as long as the client lives.
        """
        self.endpoint, self.asked = endpoint, 0
        self._lock = threading.Lock()
        self._memory = ReplyMemory(replies)

    def ask(self, bodies: Sequence[dict[str, Any]]) -> list[Reply]:
        """Ask for one reply per request body (without the model's name), some at a time.

        Raises:
            EndpointError: naming address, failure and remedy, once the requests in flight are
                done; the replies that came are remembered and not asked for again.
        """
        named = [{"model": self.endpoint.model, **body} for body in bodies]
        marks = [_mark(self.endpoint.address, body) for body in named]
        # Equal bodies have one mark and are asked once.
        new = {m: b for m, b in zip(marks, named, strict=True) if m not in self._memory.replies}
        if new:
            self._fetch(new)
        return [self._memory.replies[mark] for mark in marks]

    def _fetch(self, bodies: dict[str, dict[str, Any]]) -> None:
        failure: EndpointError | None = None
        size = min(self.endpoint.concurrency, len(bodies))
        with self._connections() as client, ThreadPoolExecutor(size) as pool:
            futures: dict[Future[Reply], str] = {
                pool.submit(self._patiently, client, body): mark for mark, body in bodies.items()
            }
            try:
                # Kept as they come: a later failure loses none that was paid for.
                for future in as_completed(futures):
                    if future.cancelled():
                        continue
                    error = future.exception()
                    if error is None:
                        self._memory.keep(futures[future], future.result())
                    elif not isinstance(error, EndpointError):
                        raise error
                    elif failure is None:
                        failure = error
                        _cancel(futures)
            finally:
                _cancel(futures)
        if failure is not None:
            raise failure

    def _connections(self) -> httpx.Client:
        """Connections to the endpoint; a key is sent to no address but the one it is for."""
        endpoint = self.endpoint
        key = {"Authorization": f"Bearer {endpoint.api_key}"}
        return httpx.Client(
            headers={} if endpoint.api_key is None else key,
            timeout=endpoint.timeout,
            limits=httpx.Limits(max_connections=endpoint.concurrency),
            proxy=endpoint.proxy,
            trust_env=False,  # neither its proxies nor the passwords of a .netrc
            follow_redirects=False,
            verify=ssl.create_default_context(),  # what the system trusts
        )

    def _patiently(self, client: httpx.Client, body: dict[str, Any]) -> Reply:
        attempts = self.endpoint.retries + 1
        try:
            return Retrying(
                stop=stop_after_attempt(attempts),
                wait=self._pause,
                retry=retry_if_exception_type(_Passing),
                # The last failure itself, not tenacity's error about it.
                reraise=True,
            )(self._once, client, body)
        except _Passing as error:
            remedy = "see that the endpoint is up and run again: replies that came are kept"
            raise self._error(f"{error}, {attempts} times", remedy) from error

    def _pause(self, state: RetryCallState) -> float:
        """Seconds to wait: longer each time, and not less than the endpoint asks for."""
        doubled = wait_exponential(self.endpoint.backoff, max=_LONGEST_PAUSE)(state)
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.wait if isinstance(failure, _Passing) else 0.0
        return min(max(doubled, asked), _LONGEST_PAUSE)

    def _once(self, client: httpx.Client, body: dict[str, Any]) -> Reply:
        # Requests run in threads, and += is not one step.
        with self._lock:
            self.asked += 1
        try:
            response = client.post(self.endpoint.address, json=body)
        # Time-outs are among them.
        except httpx.TransportError as error:
            raise _Passing(f"no connection ({error})") from error
        if response.is_success:
            return self._read(response.content)
        said = response.text[:500].strip() or response.reason_phrase
        what = f"refused with status {response.status_code}: {said}"
        if response.status_code not in _RETRIED:
            raise self._error(what, "check address, key and model")
        # It may also be a date; then the doubled pause alone counts.
        wait = response.headers.get("Retry-After", "")
        raise _Passing(what, float(wait) if wait.isdecimal() else 0.0)

    def _read(self, payload: bytes) -> Reply:
        try:
            content = json.loads(payload)
            choice = content["choices"][0]
            text = choice["message"]["content"]
            # It may be left out, or null.
            usage = content.get("usage") or {}
            if not isinstance(text, str | None):
                raise TypeError("the message is no text")
            return Reply(
                text or "",
                choice.get("finish_reason") == "length",
                usage.get("completion_tokens"),
                usage.get("prompt_tokens"),
            )
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            said = payload[:200].decode(errors="replace")
            raise self._error(
                f"replied with {said!r}", "give the address of an OpenAI-compatible endpoint"
            ) from error

    def _error(self, problem: str, remedy: str) -> EndpointError:
        return EndpointError("endpoint", self.endpoint.address, problem, remedy)


class _Passing(Exception):
    """A failure that may pass, and how many seconds the endpoint asks to wait."""

    def __init__(self, what: str, wait: float = 0.0) -> None:
        super().__init__(what)
        self.wait = wait


def _cancel(futures: dict[Future[Reply], str]) -> None:
    for future in futures:
        future.cancel()


def _mark(address: str, body: dict[str, Any]) -> str:
    # Everything that a reply depends on, and neither key nor time-out.
    text = json.dumps([address, body], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class ReplyMemory:
    """Replies by the mark of their request, kept in a file if there is one.

    Attributes:
        replies: by mark.
    """

    def __init__(self, path: Path | None) -> None:
        """Read what the file holds; a line that a killed run left unfinished is dropped."""
        self.path, self.replies = path, dict[str, Reply]()
        if path is None or not path.exists():
            return
        whole, _, rest = path.read_bytes().rpartition(b"\n")
        for position, line in enumerate(whole.splitlines(), 1):
            try:
                mark, reply = json.loads(line)
                self.replies[mark] = Reply(**reply)
            except (ValueError, TypeError) as error:
                raise InvalidInput(
                    f"{path}, line {position}", line, "not a stored reply", "delete the line"
                ) from error
        if rest:  # or the next reply would be appended to half a line
            path.write_bytes(whole + b"\n" * bool(whole))

    def keep(self, mark: str, reply: Reply) -> None:
        """Remember a reply."""
        self.replies[mark] = reply
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([mark, asdict(reply)]) + "\n")
