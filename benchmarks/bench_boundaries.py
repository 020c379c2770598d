"""How many thoughts each boundary finds in what a pretrained model writes: the table of the docs.

The same rollouts are cut by every boundary, asked for one step per line or for a delimiter, so that
rows differ in nothing but the cut. A rollout of a single thought cannot be reset.

Run as ``python -m benchmarks.bench_boundaries [--model DIR] [--problems N] [--rollouts N]``; the
default model is what ``cpi-resets model smollm2`` writes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cpi_theory.randomness import Key
from experiments.worlds.writing import Writing
from llm.models.load import load_model
from llm.models.settings import SMOLLM2_NAME, ModelSettings
from llm.sampling.base import Completion, Request, Sampling
from llm.sampling.transformers.sampler import TransformersSampler
from llm.tasks.sums.task import SumsTask
from llm.text.answers import WholeText
from llm.text.boundaries import (
    BlankLine,
    Boundary,
    CutPoints,
    Delimiter,
    EveryTokens,
    Line,
    Pattern,
    Sentence,
)
from llm.text.thoughts import Segmenter, ThoughtFormat, segment
from llm.text.vocabulary import Vocabulary

BOUNDARIES: Sequence[Boundary] = (
    Delimiter(),
    Pattern(),
    BlankLine(),
    Line(),
    Sentence(),
    EveryTokens(16),
    CutPoints(0.9, 5),
    CutPoints(0.3, 2),
)
TOKENS = 64
"""Of a rollout, at most."""


def thoughts(boundary: Boundary, rollout: Completion, vocabulary: Vocabulary) -> int:
    """How many thoughts a boundary cuts a rollout into."""
    # Without limits and answers of its own: each boundary sees the same text to its end.
    form = ThoughtFormat(max_thoughts=TOKENS, boundary=boundary, answer=WholeText())
    cut = segment(
        Segmenter(form, vocabulary.eos), rollout.tokens, vocabulary.piece, rollout.logprobs.tolist()
    )
    # What was written since the last boundary is a thought, too.
    ends = cut.spans[-1][1] if cut.spans else 0
    return len(cut.spans) + (ends < len(rollout.tokens))


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=SMOLLM2_NAME)
    parser.add_argument("--problems", type=int, default=8)
    parser.add_argument("--rollouts", type=int, default=2)
    given = parser.parse_args()
    model, vocabulary = load_model(ModelSettings(given.model))
    sampler = TransformersSampler(model, vocabulary)
    problems = SumsTask().problems("test", given.problems, 0)
    print(f"{given.model}, {given.problems} sums x {given.rollouts} rollouts of at most {TOKENS}")
    print(
        "\n| asked for | boundary | thoughts, mean | a single thought |\n| --- | --- | --- | --- |"
    )
    for asked in (Line(), Delimiter()):
        template = Writing(boundary=asked).template()
        values = {"delimiter": asked.text} if isinstance(asked, Delimiter) else {}
        requests = []
        keys = Key.of(0).child(asked.kind).integers(given.problems * given.rollouts)
        for number, key in enumerate(keys):
            problem = problems[number // given.rollouts]
            text = template.fill(question=problem.question, **values)
            prompt = vocabulary.chat([{"role": "user", "content": text}])
            requests.append(Request(prompt, TOKENS, int(key)))
        done = sampler.generate(requests, Sampling())
        for boundary in BOUNDARIES:
            counts = [thoughts(boundary, rollout, vocabulary) for rollout in done]
            mean, single = sum(counts) / len(counts), sum(count == 1 for count in counts)
            print(f"| {asked.kind} | {boundary} | {mean:.2f} | {single} of {len(counts)} |")


if __name__ == "__main__":
    main()
