"""A process that computes with what models wrote, and that can be killed.

Computer algebra on foreign text can run for ever or fill the memory. So the text
goes to another process, in which every request has a limit of time and memory;
past it the request gets no result, and this process goes on. Only JSON crosses.

The process in between (`_serve`) has the library loaded and evaluates nothing: it
forks a child for the requests, kills it when its time is up, and forks another,
which takes milliseconds. It ends when this process does, however that ends, and
takes its child with it. Needs `fork`: Linux and macOS.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Final

from langchain_qstar.errors import CheckError

SECONDS: Final = 0.7
"""Longest a request computes, in seconds of the processor: what a text gets as its verdict must
not depend on what else the machine is doing."""

_WAITS: Final = 6.0
"""How many times that long it may take by the clock, be it that the machine is busy."""

BYTES: Final = 1 << 30
"""Most memory of the child, in bytes of address space."""

MESSAGE: Final = 1 << 20
"""Longest message, in bytes."""

_START_SECONDS: Final = 60.0
"""Longest start of the process; a busy machine loads the library slowly."""

_GRACE_SECONDS: Final = 5.0
"""How much longer than a request this process waits for the one in between."""

_READY: Final = b"ready"
_BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    "from langchain_qstar.checks.worker import serve; serve(int(sys.argv[2]), sys.argv[3])"
)


class NoResult(Exception):  # noqa: N818  # not an error: data about a text
    """A request came to nothing; says why."""


class Worker:
    """One such process, started when it is first asked, and shared by all threads.

    Requests wait for each other. Use it as it is from threads; from an event loop
    through `asyncio.to_thread`, since it blocks.

    Args:
        module: What the child computes with: a module with functions of strings
            that return JSON types. It is loaded in the other process only.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._registered = False
        self._forget()

    def _forget(self) -> None:
        """Start anew, as a forked process must: the other process belongs to its parent."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[bytes, bytes] | None = None

    def ask(self, function: str, *texts: str, seconds: float = SECONDS) -> Any:
        """The result of a function of the module.

        Args:
            function: Its name.
            texts: Its arguments.
            seconds: The limit of time, in seconds of the processor.

        Raises:
            NoResult: It took too long or too much memory, or failed.
            CheckError: The process cannot be started.
        """
        request = json.dumps([function, texts, seconds]).encode()
        if len(request) > MESSAGE:
            raise NoResult("too long")
        with self._lock:
            try:
                reply = self._exchange(request, seconds)
            except BaseException:
                self._stop()
                raise
        problem, result = json.loads(reply)
        if problem:
            raise NoResult(problem)
        return result

    def close(self) -> None:
        """End the process; the next request starts another."""
        with self._lock:
            self._stop()

    def _exchange(self, request: bytes, seconds: float) -> bytes:
        for attempt in (1, 2):  # the process may have been killed since the last request
            connection = self._connection or self._start()
            try:
                connection.send_bytes(request)
                if not connection.poll(_WAITS * seconds + _GRACE_SECONDS):
                    raise NoResult("no reply")
                return connection.recv_bytes(MESSAGE)
            except (EOFError, OSError):
                self._stop()
                if attempt == 2:
                    raise NoResult("the process ended") from None
        raise AssertionError

    def _register(self) -> None:
        """End with this process, and stay with it when it forks."""
        if not self._registered:
            atexit.register(self.close)
            os.register_at_fork(after_in_child=self._forget)
            self._registered = True

    def _start(self) -> Connection[bytes, bytes]:
        self._register()
        ours, theirs = Pipe()
        root = str(Path(__file__).parents[2])
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and code
                [sys.executable, "-I", "-c", _BOOT, root, str(theirs.fileno()), self._module],
                pass_fds=[theirs.fileno()],
                env={},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # an interrupt from the keyboard is not for it
            )
        self._connection = ours
        try:
            ready = ours.poll(_START_SECONDS) and ours.recv_bytes(MESSAGE) == _READY
        except (EOFError, OSError):
            ready = False
        if not ready:
            self._stop()
            raise CheckError(f"the process for {self._module} did not start")
        return ours

    def _stop(self) -> None:
        connection, process = self._connection, self._process
        self._connection = self._process = None
        if connection is not None:
            connection.close()  # which ends the other side
        if process is not None:
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def serve(descriptor: int, module: str) -> None:
    """The process in between: pass requests to a child, and kill it when its time is up."""
    from importlib import import_module

    loaded = import_module(module)
    loaded.warm_up()
    host: Connection[bytes, bytes] = Connection(descriptor)
    child = _Child(host, loaded)
    host.send_bytes(_READY)
    while True:
        try:
            request = host.recv_bytes(MESSAGE)
        except (EOFError, OSError):
            return  # and the child, which waits for a request, sees the same
        reply = child.ask(request, json.loads(request)[2])
        if isinstance(reply, str):
            child.kill()
            child = _Child(host, loaded)
            reply = json.dumps([reply, None]).encode()
        host.send_bytes(reply)


class _Child:
    """A forked process that computes, seen from the one in between."""

    def __init__(self, host: Connection[bytes, bytes], module: Any) -> None:
        self._connection, theirs = Pipe()
        self._process = os.fork()
        if self._process:
            theirs.close()
            return
        try:
            host.close()
            self._connection.close()
            _compute(theirs, module)
        finally:
            os._exit(0)

    def ask(self, request: bytes, seconds: float) -> bytes | str:
        """The reply, or why there is none."""
        try:
            self._connection.send_bytes(request)
            if not self._connection.poll(_WAITS * seconds):
                return f"stopped after {_WAITS * seconds:g} s"
            return self._connection.recv_bytes(MESSAGE)
        except (EOFError, OSError):
            return self._ended(seconds)

    def _ended(self, seconds: float) -> str:
        """Why the child has ended by itself; it stays to be waited for."""
        end = os.waitid(os.P_PID, self._process, os.WEXITED | os.WNOWAIT)
        if end is not None and end.si_status == signal.SIGPROF:
            return f"stopped after {seconds:g} s"
        return "the process ended"  # in C code that found no memory, for one

    def kill(self) -> None:
        self._connection.close()
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)


def _compute(connection: Connection[bytes, bytes], module: Any) -> None:
    """The child: answer requests until the pipe closes."""
    import resource

    _limit(resource.RLIMIT_AS, BYTES)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    while True:
        try:
            function, texts, seconds = json.loads(connection.recv_bytes(MESSAGE))
        except (EOFError, OSError):
            return
        # Should the process in between be killed, this one must still end by itself.
        _limit(resource.RLIMIT_CPU, int(time.process_time() + seconds) + 2, soft=True)
        signal.setitimer(signal.ITIMER_PROF, seconds)  # its signal ends the process, in C code too
        reply = _reply(getattr(module, function), texts)
        signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send_bytes(reply)


def _limit(kind: int, amount: int, *, soft: bool = False) -> None:
    import resource
    from contextlib import suppress

    with suppress(ValueError, OSError):  # macOS has no limit of address space
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (amount, hard if soft else amount))


def _reply(function: Callable[..., Any], texts: Sequence[str]) -> bytes:
    try:
        reply = json.dumps(["", function(*texts)]).encode()
    except MemoryError:
        return json.dumps(["out of memory", None]).encode()
    except RecursionError:
        return json.dumps(["nested too deeply", None]).encode()
    except Exception as error:  # noqa: BLE001  # whatever a library does with foreign text
        return json.dumps([f"not read ({type(error).__name__})", None]).encode()
    return reply if len(reply) <= MESSAGE else json.dumps(["too long", None]).encode()
