"""Rollouts as traces of the package verifiers, in the file that it saves and reads: traces.jsonl.

A trace is a graph of messages. Here each thought is one, with its ids and log-probabilities, and
what a correction kept is not stored twice: a reset is a branch of the graph, and the messages from
its root to one of its leaves hold the very ids that the model read and wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cpi_theory.checks import InvalidInput
from experiments.export.stored import Chain, Problem, Written, text_of
from experiments.runs.files import Row, atomic_write

FILE = "traces.jsonl"
"""The name that the package reads in a folder of results."""


def write_traces(written: Sequence[Written], folder: Path) -> list[Path]:
    """Write a folder of traces per model and benchmark, with an episode per problem.

    Args:
        written: see :func:`experiments.export.stored.read_written`.
        folder: for those folders; a file of traces that is there is replaced.

    Raises:
        InvalidInput: the package is not installed.
    """
    try:
        import verifiers.v1.episode  # noqa: F401
    except ModuleNotFoundError as error:
        remedy = "pip install 'cpi-resets[verifiers]'"
        problem = "the package verifiers is not installed"
        raise InvalidInput("format", "verifiers", problem, remedy) from error
    paths = []
    for one in written:
        path = folder / one.file / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, b"".join(_line(as_episode(p, one)) for p in one.problems.values()))
        paths.append(path)
    return paths


def _line(episode: Any) -> bytes:
    # As the package writes it.
    data: bytes = episode.__pydantic_serializer__.to_json(episode, exclude_none=True)
    return data + b"\n"


def as_episode(problem: Problem, written: Written) -> Any:
    """Return all that a model wrote about a problem: an episode with a trace per chain."""
    from verifiers.v1.episode import EnvInfo, WireEpisode

    name = f"{written.file}/{problem.id}"
    return WireEpisode(
        id=name,
        env=EnvInfo(id=written.benchmark),
        task=_task(problem),
        traces=[_trace(problem, chain, written, name) for chain in problem.chains],
        ok=True,
    )


def _task(problem: Problem) -> Any:
    from verifiers.v1.task import WireTaskData
    from verifiers.v1.trace import TraceTask

    # What else a task has stands beside the package's own fields.
    data = {"id": problem.id, "prompt": problem.question, "answer": problem.reference}
    return TraceTask(type="Task", data=WireTaskData.model_validate(data))


def _trace(problem: Problem, chain: Chain, written: Written, name: str) -> Any:
    from verifiers.v1.configs.agent import WireAgentConfig
    from verifiers.v1.episode import Trace
    from verifiers.v1.state import State
    from verifiers.v1.task import WireTaskData
    from verifiers.v1.trace import AgentInfo, Reward, Timing

    tree = _Tree(problem, written.method)
    attempts = [tree.add(chain, number) for number in range(len(chain.rounds))]
    last, asked = chain.last, [row["said"] for row in chain.rounds if row.get("said")]
    return Trace[WireTaskData, State, WireAgentConfig](
        id=f"{name}/{chain.name}",
        task=_task(problem),
        agent=AgentInfo(config=WireAgentConfig(model=written.method)),
        nodes=tree.nodes,
        calls=tree.calls,
        rewards={"reward": Reward(score=last["reward"])},
        metrics={
            "right": float(last["right"]),
            "rounds": len(chain.rounds) - 1,
            "tokens": sum(row["tokens"] for row in chain.rounds),
            "tokens_of_asking": sum(said["generated"] for said in asked),
        },
        info={
            "chain": chain.name,
            "seed": written.seed,
            # A reward that the reference helped to choose is an upper bound.
            "upper_bound": chain.upper_bound,
            "attempts": attempts,
        },
        root_reply=text_of(chain.thoughts(len(chain.rounds) - 1)),
        is_completed=True,
        ok=True,
        stop_condition=last["ending"],
        timing=Timing(start=0.0),
    )


class _Tree:
    """The message graph of one chain in the making.

    Attributes:
        nodes, calls: so far.
        path: nodes of the thoughts of the newest attempt.
    """

    def __init__(self, problem: Problem, model: str) -> None:
        from verifiers.v1.graph import MessageNode
        from verifiers.v1.types import UserMessage

        self.problem, self.model = problem, model
        ids = list(problem.prompt_tokens)
        root = MessageNode(
            message=UserMessage(content=problem.prompt),
            timestamp=0.0,
            token_ids=ids,
            mask=[False] * len(ids),
        )
        self.nodes: list[Any] = [root]
        self.calls: list[Any] = []
        self.path: list[int] = []

    def add(self, chain: Chain, number: int) -> Row:
        """Add the attempt of a round; returns what became of it, and where it ends."""
        row = chain.rounds[number]
        self.path = self.path[: row["step"]] if chain.parent(number) else []
        kept = sum(len(self.nodes[node].token_ids) for node in self.path)
        for thought in row["thoughts"]:
            self.nodes.append(self._node(thought))
            self.path.append(len(self.nodes) - 1)
        leaf = self.path[-1] if row["thoughts"] else None
        self._call(row, leaf, kept)
        names = ("round", "step", "reward", "right", "answer", "ending", "said")
        return {"leaf": leaf, **{name: row[name] for name in names if name in row}}

    def _node(self, thought: Row) -> Any:
        from verifiers.v1.graph import MessageNode
        from verifiers.v1.types import AssistantMessage

        return MessageNode(
            parent=self.path[-1] if self.path else 0,
            message=AssistantMessage(content=thought["text"]),
            sampled=True,
            timestamp=0.0,
            token_ids=thought["tokens"],
            mask=[True] * len(thought["tokens"]),
            logprobs=thought["logprobs"] or [],
        )

    def _call(self, row: Row, leaf: int | None, kept: int) -> None:
        from verifiers.v1.trace import ModelCall
        from verifiers.v1.types import Usage

        read = len(self.problem.prompt_tokens) + kept
        usage = Usage(prompt_tokens=read, completion_tokens=row["tokens"])
        self.calls.append(ModelCall(node=leaf, model=self.model, usage=usage))
