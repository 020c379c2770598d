"""A language model that replays a reasoning tree: the same decisions, spelt out in tokens.

Only the sampler is scripted: it asks the tree's own simulator, with the key of the request, what to
do next, and writes the actions down as thoughts. Everything that happens to these tokens (cutting,
judging, resetting, localising) is the language-model code.
"""

from __future__ import annotations

import math

import numpy as np

from llm.localizers.oracle import OracleLocalizer
from llm.sampling.base import Completion, Work, check_requests
from llm.simulator import LanguageModelSimulator
from llm.task import Problem, Verdict
from llm.text.rollouts import TextState
from llm.text.thoughts import ThoughtFormat
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.trees import ReasoningTree
from tests.llm.words import END, vocabulary

DONE = "\\boxed{done}"


class ReplayTask:
    """Problems of a tree: the words of a solution are actions, right if all of them are."""

    revision = "{{question}}"

    def __init__(self, tree: ReasoningTree) -> None:
        self.tree = tree

    def problems(self, split, count, seed):
        return [Problem(str(i), f"p{i}", DONE) for i in range(count)]

    def prompt(self, problem):
        return problem.question

    def demonstration(self, problem, key):
        right = self.tree.right_actions[int(problem.id)]
        ends = [END] * (len(right) - 1) + [DONE]
        return " ".join(f"a{action} {end}" for action, end in zip(right, ends, strict=True))

    def verify(self, problem, text):
        actions = [word for word in text.split() if word.startswith("a")]
        wrong = self.first_error(problem, actions)
        return Verdict(float(wrong is None), DONE)

    def first_error(self, problem, thoughts):
        actions = [int(thought.split()[0][1:]) for thought in thoughts]
        return self.tree.first_error(int(problem.id), actions)


class ReplaySampler:
    """Continues a prompt and its thoughts by what the tree's simulator does from there."""

    def __init__(self, world: TabularSimulator, tree: ReasoningTree, words) -> None:
        self.world, self.tree, self.words = world, tree, words
        self.eos, self.context, self.work = words.eos, 1 << 20, Work()

    def generate(self, requests, sampling):
        check_requests(requests, self.context)
        self.work.calls += 1
        states = [self._state(request.tokens) for request in requests]
        keys = np.array([request.key for request in requests], np.uint64)
        return [self._spell(r) for r in self.world.rollout(states, keys)]

    def _state(self, tokens):
        words = [self.words.piece(t) for t in tokens]
        # In a second attempt the problem stands behind the first one again.
        last = max(i for i, word in enumerate(words) if word.startswith("p"))
        words = words[last:]
        problem = int(words[0][1:])
        actions = [int(w[1:]) for w in words[1:] if w.startswith("a")]
        off = self.tree.first_error(problem, actions) is not None
        return len(actions), 2 * problem + off

    def _spell(self, rollout):
        tokens, logprobs = [], []
        for (h, s), action in zip(rollout.states, rollout.actions, strict=True):
            word = DONE if h == self.tree.horizon - 1 else END
            tokens += self.words.encode(f"a{action} {word}")
            logprobs += [math.log(self.world.layered_policy[h, s, action]), 0.0]
        return Completion(tuple(tokens), np.array(logprobs, np.float32), "stop")


def replayed(world: TabularSimulator, tree: ReasoningTree) -> LanguageModelSimulator:
    """The tree as a language model."""
    actions = [f"a{i}" for i in range(tree.mdp.actions)]
    words = vocabulary(*(f"p{i}" for i in range(len(tree.right))), *actions, END, DONE)
    task = ReplayTask(tree)
    return LanguageModelSimulator(
        ReplaySampler(world, tree, words),
        words,
        task,
        ThoughtFormat(max_thoughts=tree.horizon),
        localizer=OracleLocalizer(task, words),
    )


def start(simulator: LanguageModelSimulator, problem: int) -> TextState:
    """The first state of a problem of the tree."""
    task = simulator.task
    return simulator.start_states(task.problems("train", problem + 1, 0))[problem]
