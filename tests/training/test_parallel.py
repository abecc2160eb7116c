"""One run on several processes: the same parameters as on one, kill −9, refusals, and losses that no one waits for.

The processes are forked from a fresh Python, as torchrun would start them, but with one import of torch for all; one
test goes through torchrun itself.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
import torch
from test_cli import ENVIRONMENT, same_run

from diffusion_edu.training import runs
from diffusion_edu.training.parallel import ALONE, Processes, from_environment

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the test forks")

# Reads jobs, one a line: how many processes, the arguments, code to run before, a file for standard error. Answers
# each with the processes' ids and, when they have ended, their exit codes.
LAUNCHER = """
import json, os, socket, sys
import torch._dynamo  # each process would import it anew
from diffusion_edu import cli
from diffusion_edu.training import build, parallel, runs
build.TRAIN_POINTS, runs.SAVE_EVERY, runs.LOG_EVERY = 2000, 10, 4
runs.fit_sigma2 = lambda model, data, seed, progress: None

def start(rank, size, port, arguments, patch, err):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    code = 1
    try:
        exec(patch, {"os": os, "parallel": parallel, "runs": runs})
        code = cli.main(arguments)
    except SystemExit as e:
        code = e.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)

for line in sys.stdin:
    size, *job = json.loads(line)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    children = [os.fork() or start(rank, size, port, *job) for rank in range(size)]
    print(json.dumps(children), flush=True)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
"""


class Launcher:
    """Starts processes as torchrun would, but forked from one Python that has imported torch."""

    def __init__(self, folder):
        command = [sys.executable, "-c", LAUNCHER]
        self.process = subprocess.Popen(
            command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.folder, self.jobs = folder, 0

    def start(self, size: int, arguments: list, patch: str = "") -> list[int]:
        """Starts a job; the ids of its processes."""
        self.jobs += 1
        job = [size, [str(a) for a in arguments], patch, str(self.folder / f"{self.jobs}.txt")]
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        self.running = json.loads(self.process.stdout.readline())
        return self.running

    def end(self) -> list[int]:
        """Waits for the job; the exit codes of its processes. A job that hangs is killed, so −9 for those that hung."""
        if not select.select([self.process.stdout], [], [], 120)[0]:
            for process in self.running:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        return json.loads(self.process.stdout.readline())

    def run(self, size: int, arguments: list, patch: str = "") -> tuple[list[int], str]:
        """The exit codes and what was written on standard error."""
        self.start(size, arguments, patch)
        return self.end(), (self.folder / f"{self.jobs}.txt").read_text()


@pytest.fixture(scope="module")
def launcher(tmp_path_factory):
    launcher = Launcher(tmp_path_factory.mktemp("launcher"))
    yield launcher
    launcher.process.stdin.close()
    launcher.process.wait(timeout=30)


def train(out, model: str = "vae", data: str = "swiss-roll", *more) -> list:
    return ["train", model, "--data", data, "--out", out, "--steps", 30, "--batch", 32, "--device", "cpu", *more]


@pytest.fixture(scope="module")
def trained(launcher, tmp_path_factory):
    """Runs on 1, 2 and 4 processes: {("vae", 2): its directory, …}."""
    root = tmp_path_factory.mktemp("parallel")
    kinds = {"vae": ["swiss-roll"], "ddpm": ["digits"], "hvae": ["digits"]}
    dirs = {(model, n): root / f"{model}-{n}" for model in kinds for n in (1, 2, 4)}
    for (model, n), out in dirs.items():
        codes, err = launcher.run(n, train(out, model, *kinds[model], "--shards", 4))
        assert codes == [0] * n, err
    return dirs


def state(out) -> dict:
    return runs.read_checkpoint(out / "checkpoint.pt")


@pytest.mark.parametrize("model", ["vae", "ddpm", "hvae"])
@pytest.mark.parametrize("n", [2, 4])
def test_more_processes_come_to_the_same_parameters(trained, model, n):
    """Up to the order in which four gradients are added: measured 7e-8 of the parameters' length."""
    for part in ("model", "ema"):
        one, many = (torch.cat([v.flatten() for v in state(trained[model, k])[part].values()]).double() for k in (1, n))
        assert 0 < one.norm()
        assert (one - many).norm() < 1e-6 * one.norm()
    rows = [(trained[model, k] / "metrics.csv").read_text().split() for k in (1, n)]
    assert len(rows[0]) == len(rows[1]) == 9
    for a, b in zip(*(row[1:] for row in rows), strict=True):
        assert [float(v) for v in a.split(",")] == pytest.approx([float(v) for v in b.split(",")], rel=1e-4, abs=1e-5)


def test_another_number_of_shards_is_another_run(launcher, trained, tmp_path):
    assert launcher.run(1, train(tmp_path / "run"))[0] == [0]
    one, four = (state(out)["model"]["decoder.net.0.bias"] for out in (tmp_path / "run", trained["vae", 1]))
    assert not torch.allclose(one, four, atol=1e-4)


def test_one_process_can_resume_what_two_began(launcher, trained, tmp_path):
    arguments = train(tmp_path / "run", "vae", "swiss-roll", "--shards", 4)
    stop = "save = runs.save\ndef stop(*a): save(*a); os._exit(9)\nruns.save = stop"
    assert launcher.run(2, arguments, stop)[0] == [9, 2]
    assert state(tmp_path / "run")["step"] == 10
    assert launcher.run(1, [*arguments, "--resume"])[0] == [0]
    one, many = (state(out)["model"]["encoder.net.0.weight"] for out in (tmp_path / "run", trained["vae", 2]))
    torch.testing.assert_close(one, many, rtol=1e-5, atol=1e-6)


def test_two_processes_killed_and_resumed_end_bit_for_bit_where_a_straight_run_does(launcher, trained, tmp_path):
    out = tmp_path / "run"
    arguments = train(out, "vae", "swiss-roll", "--shards", 4)
    slow = "import time; add = runs.MetricsFile.add; runs.MetricsFile.add = lambda *a: (time.sleep(0.1), add(*a))"
    processes = launcher.start(2, arguments, slow)
    deadline = time.monotonic() + 60
    while not (out / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    for process in processes:
        os.kill(process, signal.SIGKILL)
    assert launcher.end() == [-9, -9]
    assert state(out)["step"] < 30
    assert launcher.run(2, [*arguments, "--resume"])[0] == [0, 0]
    assert same_run(out, trained["vae", 2])


def test_torchrun_trains_with_a_shard_per_process(tmp_path):
    arguments = [str(a) for a in train(tmp_path / "run", "hvae")]
    arguments[arguments.index("--steps") + 1] = "3"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*torchrun, "-m", "diffusion_edu", *arguments], env=ENVIRONMENT, check=True, timeout=120)
    files = [".lock", "checkpoint.pt", "config.json", "metrics.csv"]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == files
    assert runs.read_config(tmp_path / "run").shards == 2
    assert state(tmp_path / "run")["step"] == 3


def test_what_cannot_be_trained_is_said_once_and_ends_all_processes(launcher, trained, tmp_path):
    run = trained["vae", 2]
    refused = {
        "exists already": train(run),
        "3 shards for 2 processes": train(tmp_path / "a", "vae", "swiss-roll", "--shards", 3, "--batch", 33),
        "a batch of 33 cannot be made of 2 equal shards": train(tmp_path / "a", "vae", "swiss-roll", "--batch", 33),
        "unknown model 'gan'": train(tmp_path / "a", "gan"),
        "holds no run": train(tmp_path / "a", "vae", "swiss-roll", "--resume"),
        "invalid int value": train(tmp_path / "a", "vae", "swiss-roll", "--shards", "many"),
    }
    for message, arguments in refused.items():
        codes, err = launcher.run(2, arguments)
        assert codes == [2, 2]
        assert message in err
        assert err.startswith("diffusion-edu")
        assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_error_in_one_process_is_named_and_no_one_waits(launcher, tmp_path):
    """The second process stops at its third step. The first waits for its gradient, and learns that it is gone."""
    broken = (
        "add = runs.Trainer._add_gradient\n"
        "def fail(t, shard):\n"
        "    if shard and t.step == 2: raise ValueError('the disc is full')\n"
        "    return add(t, shard)\n"
        "runs.Trainer._add_gradient = fail"
    )
    start = time.monotonic()
    codes, err = launcher.run(2, train(tmp_path / "run"), broken)
    assert codes == [2, 2]
    assert "diffusion-edu: process 1: the disc is full\n" in err
    assert "process 0: another process is lost" in err
    assert "Traceback" not in err
    assert time.monotonic() - start < 30


def test_of_a_run_that_failed_nothing_outlives_the_connection(launcher, tmp_path):
    """PyTorch's reducer, freed after the process group it uses, can wait for a thread that waits for it."""
    broken = (
        "import gc, sys\n"
        "from torch import distributed\n"
        "kind = runs.Trainer.__init__.__globals__['DistributedDataParallel']\n"
        "end = distributed.destroy_process_group\n"
        "def look():\n"
        "    print('left:', sum(type(o) is kind for o in gc.get_objects()), file=sys.stderr)\n"
        "    end()\n"
        "distributed.destroy_process_group = look\n"
        "def fail(*a): raise OSError('the disc is full')\n"
        "runs.save = fail"
    )
    codes, err = launcher.run(2, train(tmp_path / "run"), broken)
    assert codes == [2, 2]
    assert err.count("left: 0") == 2, err


def test_a_process_that_never_comes_is_not_waited_for_forever(launcher, tmp_path):
    absent = (
        "from datetime import timedelta\n"
        "parallel.PATIENCE = timedelta(seconds=2)\n"
        "if os.environ['RANK'] == '1': os._exit(7)"
    )
    codes, err = launcher.run(2, train(tmp_path / "run"), absent)
    assert codes == [2, 7]
    assert "process 0: another process is lost" in err
    assert "Traceback" not in err


def test_shards_are_shared_in_order():
    assert [list(Processes(rank, 3).share(6)) for rank in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert list(ALONE.share(3)) == [0, 1, 2]
    with pytest.raises(ValueError, match="4 shards for 3 processes: --shards must be a multiple of 3"):
        Processes(0, 3).share(4)


def test_what_torchrun_says_is_read(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert from_environment() == ALONE
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert from_environment() == Processes(5, 8, 1)
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(ValueError, match="must be numbers, got first"):
        from_environment()
