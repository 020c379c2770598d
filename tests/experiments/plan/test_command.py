"""`cpi-resets plan`, as a user meets it."""

from __future__ import annotations

import json
import re

import pytest

from experiments.cli import main
from experiments.paper.__main__ import FOLDER
from experiments.paper.recipes import MODELS
from llm.models.settings import LoraSettings, ModelSettings
from llm.throughput.architecture import read_architecture
from tests.llm.data.test_recipes import jsonl

OLMO, QWEN = (f"{name}-olympiads-equal" for name in MODELS)


def planned(capsys, *arguments, code=0):
    """What is printed as JSON, and what is said of mistakes."""
    assert main(["plan", *map(str, arguments), "--json"]) == code
    said = capsys.readouterr()
    return json.loads(said.out)["data"].get("plan"), said.err


def written(tmp_path, text):
    file = tmp_path / "run.toml"
    file.write_text(text)
    return file


TINY = 'worlds = ["natural"]\nmethods = ["GRPO", "SRPO"]\n'


@pytest.mark.parametrize("model", MODELS)
def test_every_paper_file_fits_the_gpu_it_is_meant_for(model, capsys):
    for file in sorted(FOLDER.glob(f"{model}-*.toml")):
        gpu = MODELS[model].gpu
        assert f"For one {gpu}" in file.read_text()
        plan, _ = planned(capsys, file, "--device", gpu)
        assert plan["memory_gib"]["peak"] < 0.95 * plan["device"]["memory"]
        assert 0 < plan["generated"]["expected"] < plan["generated"]["most"]
        assert plan["hours"]["total"] > 1


def test_it_says_what_it_takes_and_what_it_assumes(tmp_path, capsys):
    assert main(["plan", str(written(tmp_path, TINY)), "--assume.tokens", "50"]) == 0
    said = capsys.readouterr().out
    for part in ("tiny, 295 k parameters", "localise", "KV cache", "disk", "not known:"):
        assert part in said
    assert "50 tokens per rollout (given)" in said
    assert "24 tokens per prompt, 24 at most (of 64; by the tokenizer)" in said


def test_twice_the_updates_are_twice_the_work(tmp_path, capsys):
    once, _ = planned(capsys, written(tmp_path, TINY + "[budget]\nupdates = 10\n"))
    twice, _ = planned(capsys, written(tmp_path, TINY + "[budget]\nupdates = 20\n"))
    for phase in ("sampling", "localisation", "learning"):
        assert twice["hours"][phase] == pytest.approx(2 * once["hours"][phase])
        assert once["hours"][phase] > 0
    for amount in ("rollouts", "generated", "learned"):
        assert twice[amount]["expected"] == pytest.approx(2 * once[amount]["expected"])
    assert once["memory_gib"] == twice["memory_gib"]
    assert [m["runs"] for m in once["methods"]] == [2, 2]


def test_a_budget_of_tokens_ends_runs_before_their_updates(tmp_path, capsys):
    text = TINY + "[budget]\nupdates = 1000\nprompts = 4\nevery = 5\n"
    assumed = ("--assume.tokens", "50", "--assume.reply", "30", "--assume.pass-rate", "0.5")
    plan, _ = planned(capsys, written(tmp_path, text + "tokens = 16000\n"), *assumed)
    grpo, srpo = plan["methods"]
    # 4 prompts x 8 rollouts x 50 tokens are 1,600 an update: the tenth spends the budget.
    assert grpo["updates"] == {"expected": 10, "most": 1000}
    assert grpo["generated"]["expected"] == 2 * 16_000
    # The last update begins with 15,999 tokens at most, of rollouts as long as they may be.
    limit = grpo["generated"]["most"] / 2 - 15_999
    assert limit % 32 == 0
    assert limit / 32 >= 50
    # Suffixes are shorter, and localisations are tokens too: more updates for as many tokens.
    assert srpo["updates"]["expected"] > 10
    each = srpo["generated"]["expected"] / 2 / srpo["updates"]["expected"]
    assert (srpo["updates"]["expected"] - 1) * each < 16_000 <= srpo["updates"]["expected"] * each
    assert any("natural, GRPO: about 10 of at most 1,000" in line for line in plan["assumptions"])
    free, _ = planned(capsys, written(tmp_path, text.replace("1000", "10")), *assumed)
    assert free["methods"][0]["hours"] == grpo["hours"]
    assert not any("tokens are spent" in line for line in free["assumptions"])
    never, _ = planned(capsys, written(tmp_path, text + "tokens = 9000000000\n"), *assumed)
    assert never["methods"][0]["updates"] == {"expected": 1000, "most": 1000}


def test_settings_of_a_league_are_refused_with_what_they_sample(capsys):
    league = FOLDER.parent / "league" / "tiny.toml"
    _, said = planned_wrong(capsys, league)
    assert "has settings of league: each method samples 120,000 tokens a world and seed" in said


def planned_wrong(capsys, *arguments):
    """What is said of mistakes, where there is no plan."""
    assert main(["plan", *map(str, arguments)]) == 2
    said = capsys.readouterr()
    return said.out, said.err


def test_rates_are_a_users_to_set(tmp_path, capsys):
    file = FOLDER / f"{OLMO}.toml"
    slow, _ = planned(capsys, file, "--rates.learning", "100")
    fast, _ = planned(capsys, file, "--rates.learning", "200")
    assert slow["hours"]["learning"] == pytest.approx(2 * fast["hours"]["learning"], rel=0.4)
    assert slow["hours"]["learning"] > 1.5 * fast["hours"]["learning"]
    assert slow["hours"]["localisation"] >= fast["hours"]["localisation"]
    assert "learning as given" in slow["device"]["source"]


def test_prompts_are_counted_where_the_problems_are(tmp_path, capsys):
    rows = [{"question": f"{i} " + "long " * 60, "answer": str(i)} for i in range(1, 40)]
    source = jsonl(tmp_path / "q.jsonl", rows)
    world = f'[[more]]\ntype = "DatasetWorld"\nname = "mine"\nsource = "{source}"\n'
    model = 'worlds = ["mine"]\nmodel = "HuggingFaceTB/SmolLM2-135M-Instruct"\n'
    model += "optimizer = { micro_batch = 1 }\nsampler = { max_batch = 8 }\n"
    plan, _ = planned(capsys, written(tmp_path, model + world))
    assert any("3.5 characters per token" in line for line in plan["assumptions"])
    missing = world.replace(str(source), "no/such/file.jsonl")
    plan, _ = planned(capsys, written(tmp_path, model + missing))
    assert any("the problems are not here" in line for line in plan["assumptions"])


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (
            TINY,
            ["--device", "H1000"],
            "device = 'H1000': unknown; did you mean 'H100'? choose one of 'L4'",
        ),
        (TINY, ["--assume.pass-rate", "2"], "assume.pass_rate = 2"),
        (TINY, ["--rates.memory", "0"], "rates.memory = 0"),
        (TINY, ["--rates.bandwidth", "3.35e12"], "rates.bandwidth = 3350000000000.0: not a number"),
        (TINY, ["--rates.learning", "1e-9"], "rates.learning = 1e-09"),
        (
            TINY,
            ["--assume.tokens", "50", "--assume.longest", "40"],
            "assume.longest = 40.0: less than the average of 50 tokens; raise it",
        ),
        (
            TINY,
            ["--assume.longest", "1"],
            "assume.longest = 1.0: less than the average of 15 tokens, a quarter of the limit; "
            "raise it, or give assume.tokens",
        ),
        (
            TINY,
            ["--assume.longest", "61"],
            "assume.longest = 61.0: more than the limit of 60 tokens on a rollout; lower it",
        ),
        (
            TINY,
            ["--assume.reply", "1e6"],
            "assume.reply = 1000000.0: more than the limit of 80 tokens on a localisation; lower",
        ),
        (TINY, ["--assume.prompt", "600"], "context of 512 tokens"),
        (TINY, ["--like", "nowhere/train"], "like = nowhere/train: holds no run; give the folder"),
        ('[model]\npath = "./nothing"\n', [], "model.path = './nothing': no config.json there"),
        ('[model]\npath = "a/b/c"\n', [], "no config.json there"),
        ("updates = 3\n", [], "unknown key 'updates'"),
    ],
)
def test_mistakes(text, arguments, message, tmp_path, capsys):
    assert main(["plan", str(written(tmp_path, text)), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_hub_that_cannot_be_reached(tmp_path, capsys, monkeypatch):
    from transformers import AutoConfig

    def unreachable(*_args, **_options):
        raise OSError("cannot reach the hub")

    monkeypatch.setattr(AutoConfig, "from_pretrained", unreachable)
    assert main(["plan", str(written(tmp_path, '[model]\npath = "some/model"\n'))]) == 2
    said = capsys.readouterr().err
    assert "model.path = 'some/model'" in said
    assert "Qwen/Qwen2.5-14B-Instruct" in said


def test_no_file_and_no_such_file(capsys):
    assert main(["plan"]) == 2
    assert "no settings are named" in capsys.readouterr().err
    assert main(["plan", "missing.toml"]) == 2
    assert "no such file" in capsys.readouterr().err


BIG = """model = { path = "Qwen/Qwen2.5-14B-Instruct", device = "cuda", precision = "PRECISION" }
worlds = ["sums"]
optimizer = { micro_batch = 1 }
[sampler]
engine = "transformers"
"""


@pytest.mark.parametrize(
    ("file", "arguments", "message"),
    [
        (OLMO, ["--device", "L4"], "takes at least"),
        (QWEN, ["--device", "H100"], "choose|lower it|give it"),
        ("float32", ["--device", "A100-80"], "model.lora = None: takes"),
        ("bfloat16", ["--device", "A100-80"], "model.lora = None: takes"),
    ],
)
def test_what_does_not_fit_names_the_part_and_the_setting(
    file, arguments, message, tmp_path, capsys
):
    path = FOLDER / f"{file}.toml"
    if not path.exists():
        path = written(tmp_path, BIG.replace("PRECISION", file))
    _, said = planned(capsys, path, *arguments, code=2)  # the plan is printed all the same
    assert any(part in said for part in message.split("|"))
    assert "GiB" in said


def test_sizes_are_those_of_the_model_cards():
    qwen = read_architecture(ModelSettings("Qwen/Qwen2.5-14B-Instruct"))
    assert round(qwen.parameters / 1e9, 1) == 14.8  # 14.7 as the card cuts it off
    assert round((qwen.parameters - 2 * qwen.words * qwen.width) / 1e9, 1) == 13.2
    assert (qwen.layers, qwen.queries, qwen.keys) == (48, 5120, 1024)
    olmo = read_architecture(ModelSettings("allenai/Olmo-3-7B-Instruct"))
    assert round(olmo.parameters / 1e9, 1) == 7.3
    small = read_architecture(ModelSettings("HuggingFaceTB/SmolLM2-135M-Instruct"))
    assert small.parameters == small.multiplied == 134_515_008
    assert small.cache_bytes(2) == 2 * 30 * 3 * 64 * 2


def test_adapters_are_counted_as_they_are_made():
    from llm.models.load import load_model

    for targets in ("all-linear", ("q_proj", "down_proj")):
        lora = LoraSettings(4, 4, targets=targets)
        settings = ModelSettings("tiny", lora=lora)
        model, _ = load_model(settings)
        made = sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert read_architecture(settings).adapter_parameters(lora) == made


SHARED = """worlds = ["sums"]
optimizer = { micro_batch = 1 }
[model]
path = "Qwen/Qwen2.5-0.5B-Instruct"
device = "cuda"
[sampler]
engine = "vllm"
memory_share = SHARE
"""


def advised(said):
    """The share that a refusal advises, or its ends; nothing where it advises something else."""
    words = r"sampler.memory_share = .*; choose (?:one from )?([\d.]+)(?: to ([\d.]+))?"
    found = re.search(words, said)
    return [float(end) for end in found.groups() if end] if found else []


@pytest.mark.parametrize("share", [0.01, 0.99])
@pytest.mark.parametrize("gpu", ["L4", "A100-40", "H100"])
def test_the_share_of_vllm_that_is_advised_fits(share, gpu, tmp_path, capsys):
    """One that is too small and one that is too large are told the same, and that is true."""
    text = SHARED.replace("SHARE", str(share))
    _, said = planned(capsys, written(tmp_path, text), "--device", gpu, code=2)
    for end in advised(said):
        planned(capsys, written(tmp_path, SHARED.replace("SHARE", str(end))), "--device", gpu)
    if advised(said):
        low = advised(said)[0] - 0.01
        file = written(tmp_path, SHARED.replace("SHARE", f"{low:.2f}"))
        planned(capsys, file, "--device", gpu, code=2)


def test_no_share_is_advised_where_none_fits(tmp_path, capsys):
    for share in (0.05, 0.4, 0.95):
        text = SHARED.replace("SHARE", str(share))
        options = ("--device", "L4", "--rates.memory", "4")
        shown, said = planned(capsys, written(tmp_path, text), *options, code=2)
        assert not advised(said)
        assert f"takes at least {shown['memory_gib']['peak']:.1f} GiB" in said
        assert shown["memory_gib"]["KV cache"] > 0
        out, _ = planned_wrong(capsys, written(tmp_path, text), *options)
        assert "memory, at least (no share of the device fits vLLM" in " ".join(out.split())
        assert "sampler.memory_share" not in said


def test_a_run_of_another_command_is_no_run_to_be_like(tmp_path, capsys):
    run = tmp_path / "learn"
    run.mkdir()
    about = {"format": 1, "config": {"type": "LearnConfig"}, "seed": 0, "environments": []}
    (run / "run.json").write_text(json.dumps(about))
    file = written(tmp_path, TINY)
    assert main(["plan", str(file), "--like", str(run)]) == 2
    assert f"like = {run}: is no run of train; give the folder" in capsys.readouterr().err
    (run / "run.json").write_text(json.dumps(about | {"config": {"type": "TrainConfig"}}))
    assert main(["plan", str(file), "--like", str(run)]) == 2
    assert f"like = {run}: has no curves yet" in capsys.readouterr().err
