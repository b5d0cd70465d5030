"""The installed command: help and usage errors come at once, in one line, without importing torch."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import robustbench_sdnet
from robustbench_sdnet import commands
from robustbench_sdnet.cli import COMMANDS, cli

COMMAND = [sys.executable, "-m", "robustbench_sdnet"]
HELP = ["--help", *(f"{name} --help" for name in COMMANDS)]
WRONG = {
    "corupt": "Unknown command 'corupt'. Did you mean 'corrupt'",
    "corrupt --corruption fogg": "Unknown corruption 'fogg'. Did you mean 'fog'",
    "corrupt --severity 0": "severity must lie in 1 to 5, got '0'",
    "corrupt --severity 1-9": "severity must lie in 1 to 5, got '1-9'",
    "corrupt --data cifar11": "Unknown data set 'cifar11'. Did you mean 'cifar10'",
    "corrupt --data npz:/nowhere/x.npz": "there is no file or folder '/nowhere/x.npz'",
    "corrupt --model cifar10/sdnet21": "cifar10/sdnet21",
    "corrupt --lambda -1": "lambda must be finite and not negative",
    "corrupt --limit 0": "--limit",
    "corrupt --device tpu": "Unknown device 'tpu'",
    "corrupt --nonsense": "No such option '--nonsense'",
    "data generate cifar10c --output x --seed 9e99": "seed must be a whole number, got '9e99'",
    f"quickstart --seed {2**63}": "seed must be a whole number from 0 to 9,223,372,036,854,775,807, got '922",
    f"study runs/x --seed {2**63}": "seed must be a whole number from 0 to",
    "corrupt --corruption fog --level 0.1": "fog takes a severity from 1 to 5, no level, got level 0.1",
    "attack pgd --attack-lambda oracle": "Lambda policy 'oracle' has no rule to deploy. Take calibrated or",
    "diagnose runs/x --eps 0": "--eps must be above 0, got 0",
    "data show --output x.png --level 0.1": "No such option '--level'",
    "data show --output x.png --stored-as jpeg85": "No such option '--stored-as'",
    "attack": "Missing argument 'ATTACK'. Try 'sdnet-bench attack -h'.",
    "attack pgd my_model:own": "(my_model:own). A model is given by --model. Try 'sdnet-bench attack -h'.",
    "diagnose one two": "(two). Try 'sdnet-bench diagnose -h'.",
    "attack pgd --variant rand": "variant",
    "attack autoattack --variant rnd": "Did you mean 'rand'",
    "attack pgd --then autoattack": "--then goes with lean, not with pgd",
    "attack pgd --lambda fixd": "Known: NUMBER, calibrated, label-free, oracle",
    "zoo fetch x.safetensors --sha256 abc": "--sha256 must be 64 hexadecimal digits, got 'abc'",
    "attack pdg": "Unknown attack 'pdg'. Did you mean 'pgd'",
    "attack pgd --eps 8": "at most 1 (images lie in [0, 1]), got '8'. Write 8/255",
    "attack torchattacks:EADEN --set max_iterations=5": "must be at least 10, got 5",
    "attack foolbox:VirtualAdversarialAttack": "needs --set steps=...",
    "corrupt --workers 2": "--workers needs --engine ray",
    "study runs/x --gpus-per-worker 0.5": "--gpus-per-worker needs --engine ray",
    "attack pgd --engine rya": "Unknown engine 'rya'. Did you mean 'ray'",
    "attack pgd --norm l0": "'pgd' has no norm 'l0'",
    "attack foolbox:SaltAndPepperNoiseAttack --norm linf": "has no norm 'linf'",
    "study runs/x --norm l0": "'l0' is not one of 'linf', 'l2', 'l1'",
    "diagnose runs/x --norm l0": "'l0' is not one of 'linf', 'l2', 'l1'",
    "diagnose runs/x --eps 1/255,2/255": "one budget as --eps, got '1/255,2/255'",
    "attack pgd --eps abc": "eps must be a fraction or a decimal such as 8/255 or 0.03, got 'abc'",
    "attack pgd --eps 2": "Write 2/255",
    "attack pgd --eps-curve full --eps 0.1": "Leave out --eps, or --eps-curve",
    "attack pgd --steps many": "must be a whole number, got 'many'",
    "attack pgd --set stepz=3": "Did you mean 'steps'",
    "attack pgd --steps 5 --set steps=10": "--steps and --set steps set the same value",
    "train digits sdnet20 --limit 9 --set train.limit=8": "--limit and --set train.limit set the same value",
    "attack pgd --set steps=5 --set steps=9": "--set gives 'steps' twice, '5' and '9'. Leave one out",
    "train digits sdnet20 --set train.lr=1 --set train.lr=2": "--set gives 'train.lr' twice, '1' and '2'",
    "attack pgd --set steps": "--set takes key=value, got 'steps'",
    "attack torchattacks:PGDD": "PGDD",
    "attack foolbox:LinfPGDD": "LinfPGDD",
    "attack torchattacks:PGD --set stepz=3": "stepz",
    "train cifar10 resnet19": "resnet19",
    "train cifar11 resnet20": "cifar11",
    "train digits sdnet20 --set train.epoch=3": "train.epoch",
    "study": "MODEL",
    "study nowhere/model": "nowhere/model",
    "report to word": "word",
    "report to markdown --store sqlite:///nowhere/none.db": "does not exist",
    "status --store sqlite:///nowhere/none.db": "does not exist",
}
EXIT_1 = ("report to markdown", "status --store")


# Lines of a command, one after the other in a process that begins without torch: code, output, errors, torch or not.
ONE_BY_ONE = """
import contextlib, io, json, sys
from robustbench_sdnet.cli import main

def told(line):
    output, errors = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            main(line.split())
    except SystemExit as ended:
        return ended.code, output.getvalue(), errors.getvalue().splitlines(), "torch" in sys.modules

json.dump({line: told(line) for line in json.load(sys.stdin)}, sys.stdout)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each line of HELP and WRONG says."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE],
        input=json.dumps([*HELP, *WRONG]),
        capture_output=True,
        text=True,
        cwd=tmp_path_factory.mktemp("usage"),
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("line", HELP)
def test_help_has_examples_and_does_not_import_torch(line, told):
    code, output, _, with_torch = told[line]
    assert code == 0
    assert not with_torch
    assert "sdnet-bench" in output.split("Usage:", 1)[1].partition("\n")[2], "an example"


@pytest.mark.parametrize("line", WRONG)
def test_usage_errors_are_one_line_and_do_not_import_torch(line, told):
    code, output, errors, with_torch = told[line]
    assert len(errors) == 1, errors
    assert errors[0].startswith("Error: ")
    quoted = re.sub(r"option: ([\w-]+)", r"option '\1'", errors[0])  # click below 8.4 quotes no option
    assert WRONG[line] in quoted
    assert code == (1 if line.startswith(EXIT_1) else 2)
    assert output == ""
    assert not with_torch


def test_the_last_stop_hides_tracebacks_unless_asked(tmp_path):
    program = "import robustbench_sdnet.cli as c; c.cli.main = lambda **k: 1 / 0; c.main([])"
    environment = {k: v for k, v in os.environ.items() if k != "SDNET_BENCH_DEBUG"}
    for debug, shown in ((None, "Error: Unexpected ZeroDivisionError: division by zero"), ("1", "Traceback")):
        extra = {"SDNET_BENCH_DEBUG": debug} if debug else {}
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            env=environment | extra,
            cwd=tmp_path,
        )
        assert done.returncode == 1
        assert shown in done.stderr


def _all_commands():
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        group = isinstance(command, click.Group)
        names = command.list_commands(context) if group else [name]
        yield from (command.get_command(context, inner) if group else command for inner in names)


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)], ids=" ".join)
def test_help_fits_eighty_columns_and_no_summary_is_cut(words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def of(command, name, above=None):
        context = click.Context(command, parent=above, info_name=name)
        yield from command.get_help(context).splitlines()
        for inner in getattr(command, "commands", {}):
            yield from of(command.get_command(context, inner), inner, context)

    command = cli.get_command(click.Context(cli), words[0]) if words else cli
    lines = list(of(command, *(words or ["sdnet-bench"]), click.Context(cli, info_name="sdnet-bench")))
    assert [line for line in lines if len(line) > 80] == []
    assert [line for line in lines if re.match(r"  [a-z]+ +[A-Z].*\.\.\.$", line)] == []


def test_commands_are_the_files_of_their_folder():
    folder = Path(commands.__file__).parent
    assert {path.stem for path in folder.iterdir() if path.stem not in ("__init__", "__pycache__")} == set(
        COMMANDS
    )


@pytest.mark.parametrize("command", list(_all_commands()), ids=lambda command: command.name)
def test_no_command_has_more_than_eight_parameters_of_its_own(command):
    shared = {"setting", "seed", "as_json"}
    own = [name for name in inspect.signature(command.callback).parameters if name not in shared]
    assert len(own) <= 8, own


def test_no_argument_breaks_an_error_line_or_an_encoding(tmp_path):
    for word in ("--\x1b[2J\nfoo", "\u03bb\x07", "x" * 5000):
        done = subprocess.run(
            [*COMMAND, "zoo", "info", word],
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        )
        assert done.returncode == 2
        text = done.stderr.decode("latin-1")
        assert text.startswith("Error: ")
        assert text.count("\n") == 1
        assert text[:-1].isprintable()
        assert len(text) < 2500


@pytest.mark.parametrize(
    "command",
    [
        "study digits/resnet20-at --limit 2 --output {file}/x",
        "visualize digits/resnet20-at --limit 2 --output {file}/x",
        "attack pgd --limit 2 --data digits --model digits/resnet20-at --save-adversarials {file}/x",
    ],
)
def test_a_place_that_cannot_be_written_is_found_before_the_work(command, tmp_path):
    (tmp_path / "file").touch()
    arguments = command.format(file=tmp_path / "file").split()
    store = [] if "visualize" in command else ["--store", f"sqlite:///{tmp_path}/r.db"]
    done = subprocess.run(
        [*COMMAND, *arguments, *store], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert [line for line in done.stderr.splitlines() if not line.startswith("Error: Cannot write")] == []
    assert not (tmp_path / "r.db").exists()


@pytest.mark.slow
def test_a_command_works_with_its_errors_closed(tmp_path):
    command = "attack fgsm --limit 2 --data digits --model digits/resnet20-at --eps 8/255"
    shell = f"{sys.executable} -m robustbench_sdnet {command} --store sqlite:///{tmp_path}/r.db 2>&-"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0
    assert "fgsm" in done.stdout


@pytest.mark.parametrize("command", ["status", "corrupt"])
def test_a_deleted_working_folder_is_said_with_a_remedy(command: str, tmp_path: Path) -> None:
    call = f"{sys.executable} -m robustbench_sdnet {command}"
    shell = f"mkdir gone; cd gone; rmdir ../gone; {call}"
    package = str(Path(robustbench_sdnet.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": package}
    done = subprocess.run(
        ["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 1
    assert done.stderr == "Error: The working folder was deleted: change to one that exists and run again.\n"


def test_a_library_that_cannot_be_loaded_is_no_bug_of_ours(tmp_path: Path) -> None:
    text = "libtorch_cpu.so: failed to map segment from shared object"
    (tmp_path / "torch.py").write_text(f"raise ImportError({text!r})\n", encoding="utf-8")
    command = [*COMMAND, "corrupt", "--data", "digits", "--limit", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: A library cannot be loaded: {text}. Repair the installation")
    assert done.stderr.count("\n") == 1


def test_a_backend_for_windows_that_a_shell_names_stops_no_figure() -> None:
    script = """
import contextlib
from robustbench_sdnet.cli import main
with contextlib.suppress(SystemExit):
    main(["--version"])
import matplotlib
print(matplotlib.get_backend())
"""
    environment = os.environ | {"MPLBACKEND": "Qt4Agg"}  # which matplotlib had until 3.5
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout.endswith("agg\n")
    assert not done.stderr


@pytest.mark.parametrize("command", ["zoo list", "attack -h", "data show --help"])
def test_what_stores_nothing_says_of_nothing_that_it_is_stored(command: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.stderr.endswith("send it elsewhere.\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_output_has_a_remedy(unbuffered: str) -> None:
    command = [*COMMAND, "zoo", "list"]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment
        )
        both = subprocess.run(command, stdout=full, stderr=full, check=False, env=environment)
    assert (done.returncode, both.returncode) == (1, 1)
    remedy = "No space left on device for what is printed: free some, or send it elsewhere."
    assert done.stderr == f"Error: {remedy}\n"
