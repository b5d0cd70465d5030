"""What a run ends with: where its report will be, and a command that can be pasted."""

from __future__ import annotations

import errno
import re
import shlex

import pytest
import torch

import robustbench_sdnet as rs
from robustbench_sdnet.attacks import saving
from robustbench_sdnet.cli import main
from robustbench_sdnet.diagnostics import of_cells
from robustbench_sdnet.errors import ModelError
from robustbench_sdnet.running.exchange import Failure
from robustbench_sdnet.running.worker import Worker


def test_the_command_at_the_end_can_be_pasted_and_writes_where_it_says(tmp_path, tiny_npz, capsys):
    torch.manual_seed(0)
    model = rs.build_model("sdnet20", width=4, num_classes=3, input_size=8).eval()
    rs.save_model(model, tmp_path / "model.safetensors", data=f"npz:{tiny_npz}", name="tiny")
    folder = tmp_path / "it's $HOME; a folder"
    folder.mkdir()
    asked = ["corrupt", "--data", f"npz:{tiny_npz}", "--model", str(tmp_path / "model.safetensors")]
    asked += [
        *shlex.split("--corruption contrast --severity 1,5 --limit 12 --store"),
        f"sqlite:///{folder}/r.db",
    ]
    with pytest.raises(SystemExit, match="0"):
        main(asked)
    said = capsys.readouterr()
    assert "Note: images of 8x8 are corrupted with the cifar table, made for 32x32.\n" in said.err
    last = said.out.rstrip().rpartition("\n")[2]
    where, command = re.search(r"To write the report, (.*): (sdnet-bench report .*)", last).groups()
    assert where == str(folder / "report.md")
    with pytest.raises(SystemExit, match="0"):
        main(shlex.split(command)[1:])
    assert (folder / "report.md").exists()


def test_a_shard_that_was_given_up_hides_neither_its_reason_nor_what_the_others_saved(
    tmp_path, tiny_npz, capsys, monkeypatch
):
    torch.manual_seed(0)
    model = rs.build_model("resnet20", width=4, num_classes=3, input_size=8).eval()
    rs.save_model(model, tmp_path / "model.safetensors", data=f"npz:{tiny_npz}", name="tiny")
    lost, answer = "model under pgd, images 0 to 12: 3 workers ended while answering it", Worker.answer

    def gives_up(worker, task, inputs):
        given_up = task.label.startswith("pgd")
        return (
            [Failure("model under pgd, images 0 to 12", lost)] if given_up else answer(worker, task, inputs)
        )

    monkeypatch.setattr(Worker, "answer", gives_up)
    with pytest.raises(SystemExit, match="1"):
        main(
            [
                *("attack", "pgd", "--steps", "2", "--eps", "8/255", "--limit", "12"),
                *("--data", f"npz:{tiny_npz}", "--model", str(tmp_path / "model.safetensors")),
                *("--store", f"sqlite:///{tmp_path}/r.db", "--verdicts"),
                *("--save-adversarials", str(tmp_path / "saved")),
            ]
        )
    printed = capsys.readouterr()
    assert lost in printed.err
    assert re.search(r"Warning: The images of model-pgd\S*\.npz are not kept", printed.err)
    assert "Diagnostics: none. They apply to attacks with a budget above 0" in printed.out
    assert "clean" in printed.out
    assert [path.name.split("-eps")[0] for path in (tmp_path / "saved").iterdir()] == ["model-noise"]


def test_a_model_that_fails_in_its_diagnostics_hides_neither_answers_nor_the_diagnostics_of_others(
    tmp_path, tiny_npz, capsys, monkeypatch
):
    for name in ("good", "bad"):
        torch.manual_seed(len(name))
        model = rs.build_model("resnet20", width=4, num_classes=3, input_size=8).eval()
        rs.save_model(model, tmp_path / f"{name}.safetensors", data=f"npz:{tiny_npz}", name=name)
    asked = ["attack", "pgd", *shlex.split("--steps 2 --eps 8/255 --limit 6"), "--data", f"npz:{tiny_npz}"]
    asked += ["--model", str(tmp_path / "bad.safetensors"), "--store", f"sqlite:///{tmp_path}/r.db"]
    diagnosed = of_cells._diagnosed

    def fails(worker, cell, *arguments):
        if cell.model.name == "bad":
            raise ModelError("the logits are not finite")
        return diagnosed(worker, cell, *arguments)

    monkeypatch.setattr(of_cells, "_diagnosed", fails)
    for others in (["--model", str(tmp_path / "good.safetensors")], []):
        with pytest.raises(SystemExit, match="1"):
            main([*asked, *others, "--verdicts", "cheap"])
        printed = capsys.readouterr()
        assert printed.err.splitlines()[-1] == "Error: bad: the logits are not finite"
        assert "bad" in printed.out.partition("computed")[0]
        assert ("Diagnostics of 1 attack:" in printed.out) == bool(others)
        assert "Diagnostics: none" not in printed.out


def test_a_disk_that_is_too_full_for_the_images_hides_no_accuracy(tmp_path, tiny_npz, capsys, monkeypatch):
    torch.manual_seed(0)
    model = rs.build_model("resnet20", width=4, num_classes=3, input_size=8).eval()
    rs.save_model(model, tmp_path / "model.safetensors", data=f"npz:{tiny_npz}", name="tiny")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(saving, "ZipFile", full)
    asked = f"attack fgsm --limit 12 --data npz:{tiny_npz} --model {tmp_path}/model.safetensors"
    with pytest.raises(SystemExit, match="1"):
        main([*asked.split(), "--store", f"sqlite:///{tmp_path}/r.db", "--save-adversarials", str(tmp_path)])
    printed = capsys.readouterr()
    assert re.search(r"fgsm +8/255", printed.out)
    assert re.match(r"Error: Cannot write .*\.npz \(No space left on device\)", printed.err.splitlines()[-1])


@pytest.mark.parametrize(
    ("asked", "archs", "times"),
    [
        ("corrupt --corruption contrast --severity 1 --lambda 0.1,0.5", ["resnet20"], 1),
        ("attack fgsm --lambda 0.5", ["resnet20"], 1),
        ("attack fgsm --attack-lambda 0.1,0.5 --lambda 0.1", ["resnet20"], 1),
        ("attack fgsm --lambda 0.5", ["resnet20", "sdnet20"], 0),
        ("attack fgsm", ["resnet20"], 0),
    ],
)
def test_a_lambda_where_no_model_has_one_is_said_to_do_nothing(
    asked, archs, times, tmp_path, tiny_npz, capsys
):
    command = [
        *asked.split(),
        *("--data", f"npz:{tiny_npz}", "--limit", "3", "--store", f"sqlite:///{tmp_path}/r.db"),
    ]
    for arch in archs:
        model = rs.build_model(arch, width=4, num_classes=3, input_size=8).eval()
        rs.save_model(model, tmp_path / f"{arch}.safetensors", data=f"npz:{tiny_npz}", name=arch)
        command += ["--model", str(tmp_path / f"{arch}.safetensors")]
    with pytest.raises(SystemExit, match="0"):
        main(command)
    assert capsys.readouterr().err.count("there are no sparse coding layers in resnet20.") == times
