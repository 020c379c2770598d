"""Task sets as users of verifiers define them: one of a single turn, and some to be refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import ClassVar

import verifiers.v1 as vf


class SumData(vf.TaskData):
    answer: str


class SumTask(vf.Task[SumData]):
    """Three quarters for the right number, one for a short reply to the task's own prompts."""

    @vf.reward(weight=0.75)
    async def right(self, trace: vf.Trace) -> float:
        return float(trace.last_reply.split()[-1:] == [self.data.answer])

    @vf.reward(weight=0.25)
    async def short(self, task: SumData, trace: vf.Trace) -> float:
        roles = [message.role for message in trace.messages]
        assert roles == ["system", "user", "assistant"], roles
        assert trace.messages[1].content == task.prompt
        return float(len(trace.last_reply) < 20)


class SumConfig(vf.TasksetConfig):
    count: int = 10


class Sums(vf.Taskset[SumTask, SumConfig]):
    """Sums of two equal numbers."""

    def load(self) -> Iterator[SumTask]:
        for i in range(self.config.count):
            data = SumData(prompt=f"{i} + {i}?", system_prompt="Add.", answer=str(2 * i))
            yield SumTask(data, self.config.task)


class Any_(vf.Task[vf.TaskData]):
    @vf.reward
    async def full(self) -> float:
        return 1.0


def _of(task: type[vf.Task], **data: object) -> type[vf.Taskset]:
    """A task set of one task."""

    class One(vf.Taskset[task]):  # type: ignore[valid-type]
        def load(self) -> Iterator[vf.Task]:
            yield task(vf.TaskData(**data))

    return One


class Contained(Any_):
    NEEDS_CONTAINER: ClassVar[bool] = True


class InRuntime(vf.Task[vf.TaskData]):
    @vf.reward
    async def runs(self, runtime: vf.Runtime) -> float:
        return float(runtime is not None)


class WithTools(Any_):
    @classmethod
    def toolsets(cls, config: vf.TaskConfig) -> list[vf.Toolset]:
        return [object()]  # type: ignore[list-item]


class Unrewarded(vf.Task[vf.TaskData]):
    pass


class Raising(vf.Task[vf.TaskData]):
    @vf.reward
    async def bad(self) -> float:
        raise KeyError("lost")


class Twice(vf.Task[vf.TaskData]):
    @vf.reward
    async def one(self) -> float:
        return 1.0

    @vf.reward
    async def other(self) -> float:
        return 1.0


class Slow(vf.Task[vf.TaskData]):
    @vf.reward
    async def late(self) -> float:
        await asyncio.sleep(30)
        return 1.0


class Endless(vf.Taskset[Any_]):
    INFINITE = True

    def load(self) -> Iterator[Any_]:
        while True:
            yield Any_(vf.TaskData(prompt="again"))


class Empty(vf.Taskset[Any_]):
    def load(self) -> Iterator[Any_]:
        yield from ()


TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]

OneTask = _of(Any_, prompt="What?")
OneMessage = _of(Any_, prompt=[{"role": "user", "content": "What?"}])
SeveralTurns = _of(Any_, prompt=TURNS)
Pictures = _of(Any_, prompt=PICTURE)
NoPrompt = _of(Any_)
Containers = _of(Contained, prompt="x")
Runtimes = _of(InRuntime, prompt="x")
Tools = _of(WithTools, prompt="x")
NoReward = _of(Unrewarded, prompt="x")
RaisingReward = _of(Raising, prompt="x")
TooMuch = _of(Twice, prompt="x")
SlowReward = _of(Slow, prompt="x")
