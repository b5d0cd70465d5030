"""Commands and attacks on a device that refuses what a GPU refuses: they end as on the processor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.utils import backend_registration

from tests.tiny_data import write_tiny

ROOT = Path(__file__).parents[2]
ON_BOTH = {"cpu": "robustbench_sdnet", "stand_in": "tests.stand_in"}
# A GPU does more before it is looked at, and the last bits of a fit, which name its cells, may differ.
DIFFERENT = {"passes_forward", "passes_backward", "cell", "files"}
TRAIN = (
    "train npz:tiny.npz {} --recipe smoke --set train.precision=float32 --set train.epochs={} "
    "--set train.ema=0 --set model.width=4"
)
ATTACKS = """
import copy, json, torch
import robustbench_sdnet as rs
from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.registry import ATTACKS
from robustbench_sdnet.data.registry import load
from robustbench_sdnet.data.tensors import first_images
from tests.stand_in import stand_in

FEW = {"steps": 4, "targets": 2, "restarts": 2, "draws": 2}
EPS = {"linf": 0.06, "l2": 0.8, "l1": 12.0, "l0": 20}
images, labels, _ = first_images(load("npz:tiny.npz", "test"), 12, "cpu")
images = images.double()  # so that rounding decides nothing
with stand_in() as device:
    for source in ("sdnet20", "resnet20"):
        model = rs.load_model(source).double()
        moved = copy.deepcopy(model).to(device)
        single = [info for info in ATTACKS.values() if "chain" not in info.function]
        for info, norm in ((info, norm) for info in single for norm in info.norms):
            params = {key: few for key, few in FEW.items() if key in info.params}
            asked = {"norm": norm, "eps": EPS[norm], "params": params}
            here = attacks.run(info.name, model, images, labels, **asked)
            there = attacks.run(info.name, moved, images.to(device), labels.to(device), **asked)
            print(json.dumps({
                "attack": f"{info.name} {norm} {source}",
                "device": str(there.images.device),
                "apart": float((here.images - there.images.cpu()).abs().max()),
                "broken_at": [here.broken_at.tolist(), there.broken_at.tolist()],
            }))
"""

SET_UP = getattr(backend_registration, "_setup_privateuseone_for_python_backend", lambda: None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "backend_module" not in signature(SET_UP).parameters,
        reason="This torch lets nobody write a device in Python.",
    ),
]


def _run(folder: Path, *command: str) -> str:
    found = subprocess.run(
        [sys.executable, *command], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return found.stdout


def _told(found: object, near: bool = False) -> object:
    """What a command says, without what may differ; numbers to be compared by if `near`."""
    if isinstance(found, dict):
        return {key: _told(value, near) for key, value in found.items() if key not in DIFFERENT}
    if isinstance(found, list):
        return [_told(value, near) for value in found]
    return pytest.approx(found, rel=1e-3, abs=1e-5) if near and isinstance(found, float) else found


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder for each device, with the same data and models."""
    folder = tmp_path_factory.mktemp("project")
    write_tiny(folder / "tiny.npz", 60, 30)
    for arch in ("sdnet20", "resnet20"):
        _run(folder, "-m", "robustbench_sdnet", *TRAIN.format(arch, 30).split(), "--output", arch)
    for device in ON_BOTH:
        shutil.copytree(folder, folder / device, ignore=shutil.ignore_patterns(*ON_BOTH))
    return folder


@pytest.mark.parametrize(
    "code",
    ["images + torch.ones(2, 3)", "images[torch.ones(2, device=device) > 0] = torch.ones(2, 3)", "images.numpy()",
     "torch.ones(2)[images[:, 0] > 0]"],
)  # fmt: skip
def test_the_stand_in_refuses_what_a_gpu_refuses(tmp_path, code):
    before = "import torch\nfrom tests.stand_in import stand_in\nwith stand_in() as device:\n    "
    made = "images = torch.zeros(2, 3, device=device) + torch.tensor(1.0)\n    assert images.sum() == 6\n    "
    _run(tmp_path, "-c", before + made)
    with pytest.raises(AssertionError, match=r"same device|device type tensor to numpy"):
        _run(tmp_path, "-c", before + made + code)


PGD = "attack pgd --steps 3 --limit 12 --model sdnet20 --precision float32"
COMMANDS = (
    "corrupt --corruption gaussian_noise,elastic_transform --severity 5 --limit 12 --model sdnet20 --model resnet20 "
    "--lambda 0.1,0.9,calibrated,label-free:noise,label-free:entropy --precision bfloat16",
    f"{PGD} --eps 8/255,32/255 --attack-lambda 0.1,0.5 --lambda 0.1,0.5 --save-adversarials saved --eight-bit",
    f"{PGD} --eps 32/255 --lambda 0.1,0.5,label-free:noise",
    f"{PGD} --eps 32/255 --lambda 0.1,0.5 --warm-start",
    "attack torchattacks:MIFGSM --eps 32/255 --steps 3 --limit 12 --model sdnet20 --model resnet20 --precision float32",
    "diagnose sdnet20 --limit 6",
    "visualize sdnet20 --limit 6",
    "study sdnet20 resnet20 --limit 4 --precision float32",
)
NARROW = (
    "attack apgd-ce --norm l1 --eps 12 --steps 5 --limit 6 --model sdnet20 --precision float32",
    "attack fmn --norm l0 --steps 5 --limit 6 --model sdnet20",
    *COMMANDS[-3:],
)


@pytest.mark.parametrize(
    ("kind", "command"), [*(("cuda", asked) for asked in COMMANDS), *(("mps", asked) for asked in NARROW)]
)
def test_a_command_ends_as_on_the_processor(project, monkeypatch, kind, command):
    monkeypatch.setenv("STAND_IN", kind)
    asked = [*command.split(), "--data", "npz:tiny.npz", "--json"]
    here, there = (
        json.loads(_run(project / device, "-m", module, *asked, "--device", device))
        for device, module in ON_BOTH.items()
    )
    assert here
    assert _told(there) == _told(here, near=True)


def test_attacks_end_as_on_the_processor(project):
    rows = [json.loads(line) for line in _run(project, "-c", ATTACKS).splitlines()]
    assert len(rows) > 50
    for row in rows:
        here, there = row["broken_at"]
        assert row["device"] == "stand_in:0"
        assert there == here, row
        assert row["apart"] < 1e-6, row
    broken = [step for row in rows for step in row["broken_at"][0]]
    assert {-1, 1, 2} < set(broken), "some images break at once, some later, some never"


@pytest.mark.parametrize("more", ["", " --set train.adversary=trades --set train.hold_out=0.2"])
def test_a_network_is_trained_as_on_the_processor(project, more):
    asked = TRAIN.format("sdnet20", 2) + f" --output trained{len(more)}" + more
    for device, module in ON_BOTH.items():
        _run(project / device, "-m", module, *asked.split(), "--device", device)
    here, there = (
        load_file(project / device / f"trained{len(more)}" / "last.safetensors") for device in ON_BOTH
    )
    assert here.keys() == there.keys()
    for name, values in here.items():
        assert (values.double() - there[name].double()).abs().max() < 1e-3, name
