from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from cpi_theory.checks import InvalidInput
from llm.models.tiny import TinyModel, load, save, tokenizer
from llm.tasks.arithmetic.locating import ArithmeticLocalizationPrompt, trace
from llm.tasks.arithmetic.task import REGIMES, ArithmeticTask, boxed, parse_question
from llm.text.thoughts import Segmenter, TextEnding, segment
from llm.text.vocabulary import Vocabulary

TASK = ArithmeticTask()
TOKENS = tokenizer(TASK)
SMALL = TinyModel(width=16, heads=2, layers=1, feed_forward=16)


@given(st.sampled_from(sorted(REGIMES)), st.integers(0, 2**32))
def test_no_text_of_the_task_holds_an_unknown_word(regime: str, seed: int) -> None:
    task = REGIMES[regime]
    problem = task.problems("train", 1, seed)[0]
    thoughts = task.solution(problem)
    exercise = parse_question(problem.question)
    right = exercise.values(23)
    stated = [*right[:5], *((v + 1) % 23 for v in right[5:])]
    reply = trace(exercise.operations, right, stated)
    text = f"{ArithmeticLocalizationPrompt(task).render(problem, thoughts)} {reply}"
    ids = TOKENS.encode(text)
    assert TOKENS.unk_token_id not in ids
    assert len(ids) == len(text.split())
    assert TOKENS.decode(ids, skip_special_tokens=True) == text


def test_vocabulary_is_small_and_has_labels_and_answers_for_the_longest_chain() -> None:
    assert len(TOKENS) < 130
    longest = ArithmeticTask(horizon=20)
    text = " ".join(longest.solution(longest.problems("test", 1, 0)[0]))
    assert TOKENS.unk_token_id not in TOKENS.encode(text)
    assert [len(TOKENS.encode(boxed(k))) for k in range(23)] == [1] * 23


def test_a_solution_is_cut_into_its_thoughts_and_ends_with_the_answer() -> None:
    problem = TASK.problems("train", 1, 5)[0]
    vocabulary = Vocabulary(TOKENS)
    thoughts = TASK.solution(problem)
    ids = vocabulary.encode(" ".join(thoughts) + " </thought> then 11: +1 5")
    cut = segment(Segmenter(TASK.form, vocabulary.eos), ids, vocabulary.piece)
    assert cut.ended is TextEnding.ANSWERED
    assert [vocabulary.decode(ids[a:b]) for a, b in cut.spans] == thoughts


def test_model_has_the_size_it_says_and_its_seed_decides_it() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    model, again, other = (TinyModel().build(TOKENS, s) for s in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert 0.25e6 < sum(p.numel() for p in model.parameters()) < 0.35e6
    same = [torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(model.lm_head.weight, other.lm_head.weight)
    assert model.lm_head.weight is not model.model.embed_tokens.weight
    assert torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)
    tied = TinyModel(tied=True).build(TOKENS, 0)
    assert tied.lm_head.weight is tied.model.embed_tokens.weight


def test_saves_and_loads_as_a_hugging_face_folder(tmp_path: Path) -> None:
    model = SMALL.build(TOKENS, 3)
    (tmp_path / "notes.txt").write_text("stays")
    save(model, TOKENS, tmp_path)
    assert {"config.json", "model.safetensors", "notes.txt"} < {p.name for p in tmp_path.iterdir()}
    loaded, tokens = load(tmp_path)
    ids = TOKENS.encode("Q 1: +2 start 11 ; then 1: +2 13 \\boxed{13} <eos>")
    assert tokens.encode(tokens.decode(ids)) == ids
    assert (tokens.eos_token_id, tokens.pad_token_id) == (TOKENS.eos_token_id, TOKENS.pad_token_id)
    with torch.no_grad():
        a, b = (m.eval()(torch.tensor([ids])).logits for m in (model, loaded))
    assert torch.equal(a, b)


def test_refuses_folders_without_a_model_and_vocabularies_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no config\.json there"):
        load(tmp_path / "nothing")
    save(SMALL.build(TOKENS, 3), TOKENS, tmp_path)
    larger = tokenizer(ArithmeticTask(modulus=29))
    larger.save_pretrained(tmp_path)
    with pytest.raises(InvalidInput, match="105 words, the model 93"):
        load(tmp_path)


def test_refuses_heads_that_do_not_fit() -> None:
    with pytest.raises(InvalidInput, match="heads"):
        TinyModel(width=96, heads=5)
