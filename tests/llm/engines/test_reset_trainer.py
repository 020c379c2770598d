"""``ResetTrainer`` in the place of TRL's trainer: what it takes, learns from, and refuses."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from datasets import Dataset, IterableDataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from trl.rewards import accuracy_reward

from cpi_theory import GRPO, RRPO, SRPO
from cpi_theory.checks import InvalidInput
from llm import ResetTrainer
from llm.engines.trl import arguments
from llm.engines.trl.rewards import PromptProblem
from llm.models.settings import TINY_FOLDER
from llm.tasks.arithmetic.task import ArithmeticTask
from llm.text.answers import WholeText
from llm.text.boundaries import Line
from llm.text.thoughts import ThoughtFormat
from tests.llm.rows import relative, weights

torch.set_num_threads(1)
TASK = ArithmeticTask(horizon=3)
TINY = str(TINY_FOLDER)
PLAIN_TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"


def data(count=8, conversational=False, **columns):
    problems = TASK.problems("train", count, 0)
    prompts = [TASK.prompt(problem) for problem in problems]
    if conversational:
        prompts = [[{"role": "user", "content": prompt}] for prompt in prompts]
    answers = [problem.answer for problem in problems]
    return Dataset.from_dict({"prompt": prompts, "solution": answers} | columns)


def tokenizer(template=None):
    words = AutoTokenizer.from_pretrained(TINY)
    words.chat_template = template
    return words


def is_right(completions, solution, **kwargs):
    return [
        float(text.replace(" ", "").endswith(f"boxed{{{answer}}}"))
        for text, answer in zip(completions, solution, strict=True)
    ]


def length(completions, **kwargs):
    return [-abs(20.0 - len(text)) for text in completions]


def settings(folder, **options):
    given = {"max_steps": 2, "per_device_train_batch_size": 16, "learning_rate": 1e-3}
    given |= {"logging_steps": 1, "save_strategy": "no", "max_completion_length": 40}
    quiet = {"use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True}
    return GRPOConfig(str(folder), **given | quiet | options)


def trainer(folder, reward_funcs=is_right, algorithm=None, dataset=None, more=None, **options):
    return ResetTrainer(
        model=TINY,
        reward_funcs=reward_funcs,
        args=settings(folder, **options),
        train_dataset=data() if dataset is None else dataset,
        algorithm=RRPO(on_refusal="fresh") if algorithm is None else algorithm,
        **{"boundary": "</thought>"} | (more or {}),
    )


def curve(trained, name):
    return [entry[name] for entry in trained.state.log_history if name in entry]


def tiny():
    return AutoModelForCausalLM.from_pretrained(TINY)


def test_the_quick_start_with_two_lines_changed(tmp_path, monkeypatch):
    """TRL's own: a name, ``accuracy_reward``, conversations with a column "solution"."""
    monkeypatch.chdir(tmp_path)
    tiny().save_pretrained("model")
    tokenizer(PLAIN_TEMPLATE).save_pretrained("model")
    dataset = data(conversational=True)

    ours = ResetTrainer(
        model="model",
        reward_funcs=accuracy_reward,
        train_dataset=dataset,
        algorithm=SRPO(),
        boundary="</thought>",
        args=settings("model-SRPO"),
    )
    ours.train()

    assert ours.state.global_step == 2
    assert 0 < np.mean(curve(ours, "reward")) < 1
    assert curve(ours, "reward") == curve(ours, "rewards/accuracy_reward/mean")
    assert relative(weights(ours.model), weights(tiny())) > 1e-3


def test_without_resets_it_learns_what_trl_learns(tmp_path):
    """The same rows under TRL's own loss and advantages, the latter without its 1e-4."""
    seen = {}

    class Kept(ResetTrainer):
        def _outputs(self, rows, real):
            outputs = super()._outputs(rows, real)
            seen.update({"outputs": outputs, "rows": rows})
            return outputs

    class Theirs(GRPOTrainer):
        def _generate_and_score_completions(self, inputs):
            rows = seen["outputs"]
            tokens = torch.tensor(sum(len(row.completion) for row in seen["rows"]))
            return {**rows, "num_items_in_batch": tokens}

    common = {"max_steps": 1, "num_generations": 8, "warmup_steps": 0}
    ours = Kept(
        TINY,
        is_right,
        settings(tmp_path, **common),
        data(),
        algorithm=GRPO(8),
        boundary="</thought>",
    )
    ours.train()
    theirs = Theirs(TINY, is_right, settings(tmp_path, **common), data())
    theirs.train()
    assert curve(ours, "informative_groups")[0] > 0
    assert curve(ours, "grad_norm") == pytest.approx(curve(theirs, "grad_norm"), rel=1e-3)
    assert relative(weights(ours.model), weights(theirs.model)) < 1e-5
    assert relative(weights(ours.model), weights(tiny())) > 1e-4


def test_advantages_are_those_of_the_real_rewards(tmp_path):
    """Negative rewards, two functions with weights, one of which does not always apply."""

    def sometimes(completions, **kwargs):
        return [None if len(text) % 2 else 1.0 for text in completions]

    ours = trainer(tmp_path, [length, sometimes], GRPO(8), reward_weights=[0.5, 2.0])
    collection = ours._collect([0, 1])
    for group in collection:
        rewards = []
        for rollout in group.rollouts:
            text = ours.simulator.vocabulary.decode(rollout.start.kept + rollout.tokens)
            bonus = 0.0 if len(text) % 2 else 2.0
            rewards.append(0.5 * -abs(20.0 - len(text)) + bonus)
            assert rollout.failed == (rewards[-1] < 0.5 + (2.0 if bonus else 0.0))
        assert [r.reward for r in group.rollouts] == pytest.approx(rewards)
        if np.std(rewards) > 0:
            expected = (np.array(rewards) - np.mean(rewards)) / np.std(rewards)
            assert group.advantages == pytest.approx(expected)
    assert any(group.informative for group in collection)


def test_the_level_of_success_says_what_may_be_reset(tmp_path):
    always, never = (
        trainer(tmp_path / str(level), length, more={"success": level}) for level in (1e6, -1e6)
    )
    resets = [
        sum(group.parent is not None for group in each._collect([0, 1])) for each in (always, never)
    ]
    assert resets == [2, 0]


def test_reward_functions_see_whole_solutions_and_all_columns(tmp_path):
    calls = []

    def watching(prompts, completions, completion_ids, trainer_state, extra, **kwargs):
        calls.append((prompts, completions, completion_ids, extra, trainer_state.global_step))
        return [0.0] * len(prompts)

    names = [f"record {i}" for i in range(8)]
    ours = trainer(tmp_path, watching, dataset=data(extra=names))
    collection = ours._collect([3, 5])
    (suffixes,) = [call for call in calls if len(call[0]) == 8 and call is not calls[0]] or [None]
    prompts, completions, ids, extra, step = suffixes
    assert sorted(set(extra)) == ["record 3", "record 5"]
    assert step == 0
    words = ours.simulator.vocabulary
    reset = [group for group in collection if group.parent is not None]
    assert reset
    whole = {r.start.kept + r.tokens for group in reset for r in group.rollouts}
    assert {tuple(one) for one in ids} == whole
    assert any(len(group.rollouts[0].start.kept) for group in reset)
    assert completions == [words.decode(one) for one in ids]
    assert all(
        prompt == ours.train_dataset[int(name[-1])]["prompt"]
        for prompt, name in zip(prompts, extra, strict=True)
    )


async def waiting(completions, **kwargs):
    return [float(len(text) % 2) for text in completions]


def at_once(completions, **kwargs):
    return [float(len(text) % 2) for text in completions]


def test_functions_that_wait_are_waited_for(tmp_path):
    found = [
        [r.reward for group in trainer(tmp_path, function)._collect([0]) for r in group.rollouts]
        for function in (waiting, at_once)
    ]
    assert found[0] == found[1]
    assert len(set(found[0])) == 2


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        (lambda n: [math.nan] * n, r"reward_funcs \(function\).*not a finite reward.*None where"),
        (lambda n: [math.inf] * n, "not a finite reward"),
        (lambda n: [1.0] * (n + 1), "rewards expected.*one reward per completion"),
        (lambda n: 1.0, "rewards expected"),
        (lambda n: [None] * n, "all returned None for this prompt"),
    ],
)
def test_rewards_that_are_none_are_refused(tmp_path, rewards, message):
    def function(completions, **kwargs):
        return rewards(len(completions))

    with pytest.raises(InvalidInput, match=message):
        trainer(tmp_path, function)._collect([0])


def test_every_setting_of_trl_has_one_decision():
    fields = [field.name for field in dataclasses.fields(GRPOConfig)]
    decided = [*arguments.READ, *arguments.REFUSED, *arguments.HANDED_ON]
    assert len(decided) == len(set(decided))
    assert sorted(decided) == sorted(fields)


OTHER = {
    "top_k": 5,
    "min_p": 0.1,
    "repetition_penalty": 1.1,
    "delta": 2.0,
    "importance_sampling_level": "sequence",
    "mask_truncated_completions": True,
    "multi_objective_aggregation": "normalize_then_sum",
    "top_entropy_quantile": 0.2,
    "entropy_coef": 0.1,
    "off_policy_mask_threshold": 0.5,
    "label_smoothing_factor": 0.1,
    "neftune_noise_alpha": 0.1,
    "remove_unused_columns": True,
    "pad_to_multiple_of": 8,
    "use_transformers_continuous_batching": True,
    "num_generations": 4,
    "scale_rewards": "batch",
    "loss_type": "bnpo",
    "router_aux_loss_coef": 0.1,
    "generation_kwargs": {"num_beams": 2},
    "vllm_importance_sampling_mode": "token_mask",
    "sync_ref_model": True,
}


def understood(args):
    arguments.check_arguments(args, SRPO())
    return arguments.loss_settings(args)


@pytest.mark.parametrize("name", OTHER)
def test_what_contradicts_the_algorithm_is_refused_by_name(tmp_path, name):
    args = settings(tmp_path, **{name: OTHER[name]})
    with pytest.raises(InvalidInput, match=rf"^args\.{name} = .*; ") as refused:
        understood(args)
    assert refused.value.remedy


def test_normalisations_must_say_the_same(tmp_path):
    plain = settings(tmp_path, scale_rewards="none")
    for algorithm in (GRPO(8, "none"), SRPO(normalization="leave-one-out")):
        arguments.check_arguments(plain, algorithm)
        with pytest.raises(InvalidInput, match=r'scale_rewards.*set it to "none"'):
            arguments.check_arguments(settings(tmp_path), algorithm)
    with pytest.raises(InvalidInput, match=r'scale_rewards.*set it to "group"'):
        arguments.check_arguments(plain, SRPO())


def test_the_loss_is_the_one_that_was_asked_for(tmp_path):
    given = {"loss_type": "dr_grpo", "epsilon": 0.1, "epsilon_high": 0.3, "beta": 0.04}
    loss = arguments.loss_settings(settings(tmp_path, temperature=0.7, **given))
    assert (loss.kind, loss.aggregation, loss.constant) == ("clipped", "constant", 16 * 40)
    assert (loss.clip_low, loss.clip_high, loss.kl, loss.kl_weighted) == (0.1, 0.3, 0.04, True)
    assert loss.temperature == 0.7


@pytest.mark.parametrize("name", ["tools", "rollout_func", "environment_factory"])
def test_other_ways_to_make_rollouts_are_refused(tmp_path, name):
    with pytest.raises(InvalidInput, match=rf"^{name} = .*would make rollouts of its own"):
        trainer(tmp_path, more={name: [print]})


def test_localisers_are_shown_the_question():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 + 1?"},
    ]
    shown = [
        PromptProblem.of(0, example).question
        for example in (
            {"prompt": "Q: 1 + 1?"},
            {"prompt": messages},
            {"prompt": messages, "question": "What is 1 + 1?"},
        )
    ]
    assert shown == ["Q: 1 + 1?", "1 + 1?", "What is 1 + 1?"]
    with pytest.raises(InvalidInput, match="empty"):
        PromptProblem.of(0, {"prompt": " "})


def test_limits_of_a_format_and_of_trl_both_hold(tmp_path):
    form = ThoughtFormat("</thought>", max_thoughts=2)
    ours = trainer(tmp_path, more={"boundary": form}, max_completion_length=9)
    rollouts = [r for group in ours._collect([0, 1]) for r in group.rollouts]
    assert max(len(r.start.ends) + len(r) for r in rollouts) <= 2
    assert max(len(r.start.kept) + len(r.tokens) for r in rollouts) <= 9
    assert ours.simulator.form == dataclasses.replace(form, max_tokens=9)
    plain = ResetTrainer(TINY, is_right, settings(tmp_path), data()).simulator
    assert plain.form == ThoughtFormat(
        max_thoughts=40, max_tokens=40, boundary=Line(), answer=WholeText()
    )
    assert plain.localizer.delimiter == Line()


def test_conversations_without_a_template_are_refused(tmp_path):
    ours = trainer(tmp_path, dataset=data(conversational=True))
    with pytest.raises(InvalidInput, match=r"there is no chat template.*processing_class"):
        ours._collect([0])


def test_a_prompt_that_is_too_long_is_refused(tmp_path):
    long = Dataset.from_dict({"prompt": ["+1 " * 600] * 2, "solution": ["1"] * 2})
    with pytest.raises(InvalidInput, match=r"of a context of.*longer context"):
        trainer(tmp_path, dataset=long)._collect([0])


def test_data_without_prompts_are_refused(tmp_path):
    ours = trainer(tmp_path, dataset=Dataset.from_dict({"question": ["a", "b"]}))
    with pytest.raises(InvalidInput, match=r"'question'.*has no prompts"):
        ours._collect([0])


def test_adapters_callbacks_and_an_optimiser_of_ones_own(tmp_path):
    class Watching(TrainerCallback):
        steps = 0

        def on_step_end(self, args, state, control, **kwargs):
            self.steps += 1

    watching = Watching()
    ours = trainer(
        tmp_path,
        more={"peft_config": LoraConfig(r=4, target_modules="all-linear"), "callbacks": [watching]},
        beta=0.1,
        learning_rate=1e-2,
    )
    ours.train()
    assert watching.steps == 2
    names = {n for n, p in ours.model.named_parameters() if p.requires_grad}
    assert names
    assert all("lora" in name for name in names)
    assert any(
        float(p.detach().abs().max()) > 0 for n, p in ours.model.named_parameters() if "lora_B" in n
    )
    model = tiny()
    still = torch.optim.SGD(model.parameters(), lr=0.0)
    given = ResetTrainer(
        model,
        is_right,
        settings(tmp_path / "sgd"),
        data(),
        processing_class=tokenizer(),
        optimizers=(still, None),
        algorithm=GRPO(8),
        boundary="</thought>",
    )
    given.train()
    assert torch.equal(weights(given.model), weights(tiny()))


def test_a_stream_of_prompts(tmp_path):
    def records():
        yield from data(count=6)

    stream = IterableDataset.from_generator(records)
    asked = []

    class Watched(ResetTrainer):
        def _starts(self, places):
            states = super()._starts(places)
            asked.append([state.problem.question for state in states])
            return states

    ours = Watched(
        TINY, is_right, settings(tmp_path), stream, algorithm=GRPO(8), boundary="</thought>"
    )
    ours.train()
    questions = [question for part in asked for question in part]
    assert [len(part) for part in asked] == [2, 2]
    assert len(set(questions)) == 4
    assert set(questions) <= set(data(count=6)["prompt"])


def test_a_killed_run_goes_on_to_the_digit(tmp_path):
    class Killed(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                raise KeyboardInterrupt

    options = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    whole = trainer(tmp_path / "whole", **options)
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "cut", more={"callbacks": [Killed()]}, **options).train()
    again = trainer(tmp_path / "cut", **options)
    again.train(resume_from_checkpoint=True)
    assert torch.equal(weights(again.model), weights(whole.model))
    for count in ("generated_rollouts", "generated_tokens", "localizations"):
        assert curve(again, count) == curve(whole, count)
        assert curve(again, f"total/{count}") == curve(whole, f"total/{count}")
    assert not (tmp_path / "cut" / "README.md").exists()  # no card of a method that was not used


def test_counts_are_of_an_update_and_totals_of_the_run(tmp_path):
    """Every failure that is asked about is named or refused in the same update."""
    ours = trainer(tmp_path / "each", algorithm=SRPO(on_refusal="fresh"), max_steps=3)
    ours.train()
    usage = ours.simulator.usage
    for count, whole in (
        ("generated_rollouts", usage.rollouts),
        ("generated_tokens", usage.generated),
        ("localizations", usage.localizations),
    ):
        each = curve(ours, count)
        assert len(each) == 3
        assert curve(ours, f"total/{count}") == list(np.cumsum(each))
        assert sum(each) == whole > 0
    assert curve(ours, "generated_rollouts") != curve(ours, "total/generated_rollouts")
    logged = {"max_steps": 3, "logging_steps": 3}
    seldom = trainer(tmp_path / "seldom", algorithm=SRPO(on_refusal="fresh"), **logged)
    seldom.train()
    assert curve(seldom, "localizations") == [pytest.approx(usage.localizations / 3)]
    assert curve(seldom, "total/localizations") == [usage.localizations]


def test_evaluation_reports_rewards_under_names_that_trl_gives(tmp_path):
    sets = {"near": data(count=4), "far": data(count=2)}
    ours = trainer(tmp_path, more={"eval_dataset": sets}, num_generations_eval=2)
    before = ours.simulator.usage.rollouts
    found = ours.evaluate()
    assert ours.simulator.usage.rollouts == before
    assert {"eval_near_reward", "eval_far_rewards/is_right/mean"} <= set(found)
    assert 0 <= found["eval_near_reward"] <= 1
    assert found == ours.evaluate()


def test_completions_are_logged_as_trl_logs_them(tmp_path):
    import pandas as pd

    trainer(tmp_path, log_completions=True, max_steps=1, num_completions_to_print=1).train()
    table = pd.read_parquet(tmp_path / "completions" / "completions_00001.parquet")
    assert list(table.columns) == ["step", "prompt", "completion", "is_right", "advantage"]
    assert len(table) == 16
