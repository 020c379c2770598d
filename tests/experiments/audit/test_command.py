"""`cpi-resets audit` through the command line: verdicts, exit codes and tests that it hands out."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.audit.config import AuditConfig
from experiments.audit.subjects import METHODS, OURS, expanded, subject
from experiments.cli import main
from experiments.exit_codes import DONE, MISTAKE, REFUTED

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "docs" / "examples" / "estimators.py"
WORLDS = ("--worlds", "choice", "go on or stop", "two difficulties")


def audit(tmp_path, *arguments):
    common = ("--output", str(tmp_path), "--workers", "1", "--rollouts", "3")
    return main(["audit", *arguments, *common, *WORLDS])


def summary(tmp_path):
    lines = (tmp_path / "audit" / "summary.jsonl").read_text().splitlines()
    return {row["estimator"]: row for row in map(json.loads, lines)}


def run_test(path, importable):
    """Run a test that was handed out, with the estimator's folder named as the test says."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path.name]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(importable), str(ROOT)])}
    return subprocess.run(
        command, cwd=path.parent, capture_output=True, text=True, check=False, env=environment
    )


def test_a_faithful_estimator_passes_and_is_said_to_be_exact(tmp_path):
    name = f"{EXAMPLES}:leave_one_out"
    assert audit(tmp_path, "--estimators", name, "rloo", "--exact") == DONE
    rows = summary(tmp_path)
    assert rows[name]["verdict"] == rows["rloo"]["verdict"] == "unbiased"
    assert rows[name]["exact"]
    assert not (tmp_path / "audit" / "counterexamples").exists()


def test_a_counterexample_fails_on_the_faulty_estimator_and_passes_on_a_right_one(tmp_path):
    faulty = tmp_path / "mine.py"
    shutil.copy(EXAMPLES, faulty)
    assert audit(tmp_path, "--estimators", f"{faulty}:turn_rewards") == REFUTED
    (file,) = (tmp_path / "audit" / "counterexamples").glob("test_*.py")
    assert str(tmp_path) not in file.read_text()
    assert "# mine must be importable where this test runs" in file.read_text()
    failed = run_test(file, tmp_path)
    assert failed.returncode == 1, failed.stdout
    assert "1 failed" in failed.stdout
    assert "cpi_theory" not in file.read_text()
    text = file.read_text().replace("import turn_rewards as", "import leave_one_out as")
    right = file.with_name("test_right.py")
    right.write_text(text)
    passed = run_test(right, tmp_path)
    assert passed.returncode == 0, passed.stdout


NOTICING = """
import numpy as np


def right(batch):
    return np.asarray(batch.rewards, float)


def order(batch):
    return right(batch) - np.concatenate([[0.0], right(batch)[:-1]])


def padding(batch):
    return right(batch) / batch.mask.shape[1]


def names(batch):
    return right(batch) * (1 + batch.groups)


def per_token(batch):
    return right(batch) / batch.lengths  # a choice
"""


@pytest.mark.parametrize("layout", ["group", "resets"])
def test_what_must_not_be_noticed_is_handed_out_as_a_test(tmp_path, layout):
    """Each fails on its own estimator, and passes on one that does not notice the change."""
    (tmp_path / "mine.py").write_text(NOTICING)
    faults = ("order", "padding", "names")
    mine = [f"{tmp_path / 'mine.py'}:{name}" for name in (*faults, "per_token")]
    assert audit(tmp_path, "--layout", layout, "--estimators", *mine) == REFUTED
    found = tmp_path / "audit" / "counterexamples"
    files = {name: list(found.glob(f"*mine_py_{name}_notices_{name}.py")) for name in faults}
    assert all(len(one) == 1 for one in files.values())
    assert len(list(found.glob("*_notices_*.py"))) == 3
    for name, (file,) in files.items():
        assert str(tmp_path) not in file.read_text()
        failed = run_test(file, tmp_path)
        assert f"test_advantages_do_not_change_with_{name}" in failed.stdout, failed.stdout
        assert "AssertionError" in failed.stdout
        file.write_text(file.read_text().replace(f"import {name} as", "import right as"))
        assert run_test(file, tmp_path).returncode == 0


def test_a_reweighting_is_refuted_for_J_and_allowed_where_it_is_meant(tmp_path):
    name = f"{EXAMPLES}:group_spread"
    common = ("--worlds", "two difficulties", "--output", str(tmp_path), "--workers", "1")
    assert main(["audit", "--estimators", name, "--name", "j", *common]) == REFUTED
    meant = ("--follows", "weights", "--name", "w")
    assert main(["audit", "--estimators", name, *meant, *common]) == DONE
    (file,) = (tmp_path / "j" / "counterexamples").glob("test_*.py")
    assert run_test(file, EXAMPLES.parent).returncode == 1
    assert "GROUP = 4" in file.read_text()  # three cannot show it


def test_an_algorithm_of_the_seam_has_a_counterexample_on_the_seam(tmp_path):
    worlds = ("--worlds", "two difficulties", "--workers", "1")
    assert main(["audit", "--estimators", "rrpo", *worlds, "--output", str(tmp_path)]) == REFUTED
    (file,) = (tmp_path / "audit" / "counterexamples").glob("test_*.py")
    text = file.read_text()
    assert "from cpi_theory.audit" in text
    namespace = {}
    exec(compile(text, str(file), "exec"), namespace)
    with pytest.raises(AssertionError, match="follows another objective"):
        namespace["test_the_expected_update_follows_what_it_should"]()


def test_every_name_of_ours_is_an_algorithm():
    for name in OURS:
        assert subject(name, 4).algorithm.rows_per_prompt >= 4


@pytest.mark.parametrize(
    ("estimator", "says"),
    [
        ("nonsense", "unknown; choose one of 'grpo'"),
        ("frontire", "did you mean 'frontier'?"),
        ("trl:gpro", "estimators = 'trl:gpro': unknown; did you mean 'trl:grpo'? choose one of"),
        (f"{EXAMPLES}:turn_reward", "turn_rewards'?"),
        ("no_such_module:f", "no such module"),
        (f"{EXAMPLES}:nothing", "has no nothing"),
        (f"{EXAMPLES}:FOLDER", "has no FOLDER"),
        ("math:pi", "is of the type float"),
        ("cpi_theory:GRPO", "is of the type type"),
        (f"{EXAMPLES}:", "names nothing behind the colon; choose one of"),
    ],
)
def test_what_is_no_estimator_is_named(tmp_path, capsys, estimator, says):
    assert audit(tmp_path, "--estimators", estimator) == MISTAKE
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def f(batch):\n    return batch.nothing\n", "raised AttributeError"),
        ("def f():\n    return 0\n", "raised TypeError"),
        ("def f(batch):\n    return ['a'] * len(batch.rewards)\n", "not real numbers"),
        ("def f(batch):\n    return batch.rewards * 1j\n", "not real numbers"),
        ("def f(batch:\n", "cannot be imported: SyntaxError"),
        ("import sys\n\nsys.exit(0)\n", "cannot be imported: SystemExit: 0"),
        ("import sys\n\n\ndef f(batch):\n    sys.exit(0)\n", "raised SystemExit: 0"),
        ("import no_such_package\n", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_an_estimator_that_fails_is_named_and_no_defect_of_ours(tmp_path, capsys, text, says):
    (tmp_path / "mine.py").write_text(text)
    assert audit(tmp_path, "--estimators", f"{tmp_path / 'mine.py'}:f") == MISTAKE
    assert says in capsys.readouterr().err


def test_one_that_fails_on_the_way_is_named_and_the_others_are_judged(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n\n\ndef f(batch):\n"
        "    long = batch.mask.shape[1] > 1\n"
        "    return np.full(len(batch.rewards), np.nan if long else 1.0)\n\n\ng = f\n"
    )
    mine, alone = f"{tmp_path / 'mine.py'}:f", ("--no-counterexamples",)
    other = f"{tmp_path / 'mine.py'}:g"
    assert audit(tmp_path, *alone, "--estimators", "rloo", mine, "dr-grpo", other) == MISTAKE
    told = capsys.readouterr()
    assert f"error: {mine}: advantages = " in told.err
    assert "finite" in told.err
    said = "".join(told.out.split())
    assert f"notjudged:{other}:advantages=" in said
    assert f"notjudged:{mine}" not in said  # it is told once
    assert set(summary(tmp_path)) == {"rloo", "dr-grpo"}
    (tmp_path / "mine.py").write_text("def f(batch):\n    return batch.rewards\n\n\ng = f\n")
    assert audit(tmp_path, *alone, "--estimators", "rloo", mine, "dr-grpo", other) == DONE
    assert summary(tmp_path)[mine]["verdict"] == "unbiased"


def test_what_an_estimator_imports_from_beside_it_is_a_part_of_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine.py").write_text(
        "from scaling import SCALE\n\n\ndef f(batch):\n"
        "    return SCALE * (batch.rewards - batch.rewards.mean())\n"
    )
    mine = ("--no-counterexamples", "--estimators", f"{tmp_path / 'mine.py'}:f")
    for scale, code in ((1, DONE), (-1, REFUTED)):
        (tmp_path / "scaling.py").write_text(f"SCALE = {scale}\n")
        sys.modules.pop("scaling", None)
        importlib.invalidate_caches()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        assert audit(tmp_path, *mine) == code


def test_what_an_estimator_prints_is_not_in_the_json(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import os\n\n\ndef f(batch):\n    print('said')\n    os.system('echo cried')\n"
        "    return batch.rewards\n"
    )
    words = ["audit", "--json", "--estimators", f"{tmp_path / 'mine.py'}:f", "--worlds", "choice"]
    words += ["--output", str(tmp_path), "--workers", "1", "--rollouts", "2", "--most", "20"]
    command = [sys.executable, "-m", "experiments.cli", *words]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout)["data"]["summary"][0]["verdict"] == "unbiased"
    assert "said" in ran.stderr
    assert "cried" in ran.stderr


def test_methods_are_audited_by_their_names(tmp_path, capsys):
    small = ("--worlds", "choice", "--draws", "200", "--most", "100", "--workers", "1")
    named = ("--estimators", "VinePPO", "own prefixes", "--output", str(tmp_path))
    assert main(["audit", *named, *small]) == DONE
    lines = (tmp_path / "audit" / "trials.jsonl").read_text().splitlines()
    rows = list(map(json.loads, lines))
    worlds = {row["estimator"]: row for row in rows if row["kind"] == "world"}
    # n (1 + K T) of one step each: n = 4, K = 3, T = 1.
    assert (worlds["VinePPO"]["rollouts"], worlds["VinePPO"]["steps"]) == (16, 16)
    assert worlds["own prefixes"]["how"] == "draws"
    assert "SCoRe" not in METHODS
    assert set(expanded(("methods", "rloo"))) == {*METHODS, "rloo"}
    assert main(["audit", "--estimators", "VinePO", *small]) == MISTAKE
    assert "did you mean 'VinePPO'?" in capsys.readouterr().err


def test_an_estimator_that_has_changed_is_audited_anew(tmp_path):
    mine = tmp_path / "mine.py"
    named = ("--estimators", f"{mine}:f")
    mine.write_text(
        "import numpy as np\n\n\ndef f(batch):\n    return np.ones(batch.rewards.shape)\n"
    )
    assert audit(tmp_path, *named) == REFUTED
    mine.write_text("def f(batch):\n    return batch.rewards\n")
    assert audit(tmp_path, *named) == DONE
    mine.write_text("def f(batch):\n    return 0 * batch.rewards\n")
    assert audit(tmp_path, *named) == REFUTED


def test_without_verl_the_message_says_how_to_get_it(tmp_path, capsys):
    from llm.audit import verl

    if verl.installed():
        pytest.skip("verl is installed here")
    assert audit(tmp_path, "--estimators", "verl:grpo") == MISTAKE
    assert "make audit-peers" in capsys.readouterr().err


def test_worlds_are_chosen_by_name():
    assert AuditConfig(worlds=("lock",)).chosen_worlds() == ("lock",)
    with pytest.raises(ValueError, match="worlds"):
        AuditConfig(worlds=("nowhere",))
