"""The Python code of docs/python.md reports to `nemo-jobs run`, and does nothing without it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import recipes
from raw import CHILD_ENVIRONMENT
from waiting import LIMIT

from nemo_jobs_cli.sandbox import server as sandbox

HELPER, LOOP, CALLBACK = recipes.fenced((recipes.DOCS / "python.md").read_text(encoding="utf-8"), "python")

# The part of transformers that a callback meets.
STAND_IN = """
class TrainerCallback: pass
class DefaultFlowCallback(TrainerCallback): pass
class TrainerControl: pass
class TrainerState:
    def __init__(self, **fields): self.__dict__.update(is_world_process_zero=True, **fields)
class CallbackHandler:
    def __init__(self, callbacks, *rest): self.callback = callbacks[-1]
    def on_log(self, args, state, control, logs): self.callback.on_log(args, state, control, model=None, logs=logs)
    def on_save(self, args, state, control): self.callback.on_save(args, state, control, model=None)
"""

# What a Trainer does with its callbacks.
TRAINER = """
from types import SimpleNamespace
from transformers.trainer_callback import CallbackHandler, DefaultFlowCallback, TrainerControl, TrainerState
from callback import NemoJobsCallback

handler = CallbackHandler([DefaultFlowCallback(), NemoJobsCallback()], None, None, None, None)
args, control = SimpleNamespace(output_dir="/data/llama"), TrainerControl()
for step, logs in (
    (10, {"loss": 0.5, "grad_norm": 1.25, "learning_rate": 5e-05, "epoch": 0.5}),
    (15, {"eval_loss": 0.4, "eval_runtime": 2.5, "epoch": 0.75}),
):
    handler.on_log(args, TrainerState(global_step=step, max_steps=20), control, logs)
handler.on_save(args, TrainerState(global_step=15, max_steps=20), control)
"""


@pytest.fixture
def python(tmp_path):
    """Return a function that runs a program, alone or in `nemo-jobs run`, and returns what was reported."""
    (tmp_path / "nemo_report.py").write_text(HELPER, encoding="utf-8")
    (tmp_path / "callback.py").write_text(CALLBACK, encoding="utf-8")
    server = sandbox.start(sandbox.Options(jobs=("x1",)))

    def run(program, *, alone=False, **environ):
        (tmp_path / "train.py").write_text(program, encoding="utf-8")
        tool = [] if alone else [sys.executable, "-m", "nemo_jobs_cli", "run", "x1", "--"]
        environ = {**CHILD_ENVIRONMENT, "NEMO_JOBS_HOST": server.url, "HOME": str(tmp_path), **environ}
        ran = subprocess.run(
            [*tool, sys.executable, str(tmp_path / "train.py")],
            env=environ, capture_output=True, encoding="utf-8", timeout=LIMIT, cwd=tmp_path,
        )  # fmt: skip
        assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
        details = server.jobs["default", "x1"].details
        return {key: value for key, value in details.items() if key not in {"run", "error", "lastUpdated"}}

    yield run
    sandbox.stop(server)


def test_a_loop_reports(python):
    """The last value of each key arrives."""
    reported = {"step": 100, "max_steps": 100, "progress": 100, "train_loss": 0.01, "checkpoint_path": "/data/step-100"}
    assert python(LOOP) == {"status": "completed"} | reported


def test_scalars_of_numpy_and_torch_are_numbers(python):
    """So is whatever else knows float()."""
    scalar = "class Scalar:\n    def __float__(self): return 0.25\n"
    program = f"from nemo_report import report\n{scalar}report(train_loss=Scalar(), val_loss=float('nan'))"
    assert python(program) == {"status": "completed", "train_loss": 0.25, "val_loss": None}


@pytest.mark.parametrize(
    "environ", [{}, {"NEMO_JOBS_CHANNEL": ""}, {"NEMO_JOBS_CHANNEL": "/dev/null/channel"}], ids=str
)
def test_nothing_happens_without_run(python, environ):
    """Not even an error, also if `run` has ended."""
    assert python(LOOP, alone=True, **environ) == {}


def test_only_rank_0_reports(python):
    """Of the workers of torchrun, which share the channel."""
    program = f"import os\nos.environ['RANK'] = '1'\n{LOOP}"
    assert python(program) == {"status": "completed"}


@pytest.mark.parametrize("library", ["stand-in", pytest.param("transformers", marks=pytest.mark.slow)])
def test_the_callback_of_the_trainer(python, tmp_path, library):
    """As the Trainer calls it."""
    if library == "stand-in":
        (tmp_path / "transformers").mkdir()
        (tmp_path / "transformers/__init__.py").write_text("from .trainer_callback import *\n", encoding="utf-8")
        (tmp_path / "transformers/trainer_callback.py").write_text(STAND_IN, encoding="utf-8")
    elif subprocess.run([sys.executable, "-c", "import transformers"], capture_output=True).returncode:
        pytest.skip("needs transformers")
    assert python(TRAINER, HF_HUB_OFFLINE="1", PATH=os.environ["PATH"]) == {
        "status": "completed",
        "step": 15,
        "max_steps": 20,
        "progress": 75,
        "epoch": 0.75,
        "train_loss": 0.5,
        "grad_norm": 1.25,
        "lr": 5e-05,
        "val_loss": 0.4,
        "eval_runtime": 2.5,
        "checkpoint_path": "/data/llama/checkpoint-15",
    }
