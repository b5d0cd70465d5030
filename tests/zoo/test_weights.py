"""Checkpoints: what is written is what is read, and damage is told in one line."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_sdnet.errors import CheckpointError, InputError, WriteError
from robustbench_sdnet.zoo import (
    ModelCard,
    build_model,
    csc_layers,
    describe_model,
    find_models,
    load_model,
    read_card,
    refresh_step_sizes,
    save_model,
    weights_hash,
)
from robustbench_sdnet.zoo.names import check_source, newest_run
from robustbench_sdnet.zoo.shelf.index import check_sha256
from tests.store.test_database import read_only
from tests.torch_defaults import other_defaults


def trained(arch: str = "sdnet20_all") -> nn.Module:
    """A model whose weights and statistics are none of the initial ones."""
    torch.manual_seed(0)
    model = build_model(arch, width=4, input_size=8)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        optimiser.zero_grad()
        model(torch.rand(6, 3, 8, 8)).square().mean().backward()
        optimiser.step()
    refresh_step_sizes(model.eval())
    return model


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "own-sdnet20_all"
    save_model(
        trained(),
        folder / "last.safetensors",
        data="npz:own.npz",
        data_hash="abc",
        recipe={"train": {"epochs": 2}},
        accuracy=0.75,
    )
    return folder


def rewrite(path: Path, change: Any) -> Path:
    """The checkpoint with its header changed; `change` edits the parsed header in place."""
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])
    return path


def test_a_loaded_model_answers_as_the_saved_one(run: Path) -> None:
    model, loaded = trained(), load_model(run)
    images = torch.rand(4, 3, 8, 8)
    assert torch.equal(model(images), loaded(images))
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert weights_hash(loaded) == weights_hash(model) == read_card(run / "last.safetensors").weights_hash
    assert [layer.step_size for layer in csc_layers(loaded)] == [
        layer.step_size for layer in csc_layers(model)
    ]
    torch.manual_seed(5)
    assert torch.equal(load_model(run)(images), loaded(images))


def test_a_model_is_loaded_the_same_whatever_the_defaults_of_torch(run: Path) -> None:
    plain = load_model(run)
    with other_defaults():
        again = load_model(run)
    tensors = again.state_dict()
    for name, values in plain.state_dict().items():
        assert (tensors[name].dtype, tensors[name].device) == (values.dtype, values.device)
        assert torch.equal(tensors[name], values), name


def test_a_run_in_a_folder_whose_name_is_no_text_is_loaded(run: Path) -> None:
    """Its card was read, so that it was a model at hand, and its weights were called damaged."""
    folder = run.rename(run.parent / os.fsdecode(b"own\xe4"))
    assert weights_hash(load_model(folder)) == read_card(folder / "last.safetensors").weights_hash


def test_the_card_holds_what_is_known(run: Path) -> None:
    card = describe_model(str(run))
    assert (card.name, card.source, card.arch) == (run.name, str(run), "sdnet20_all")
    assert (card.data, card.data_hash, card.accuracy) == ("npz:own.npz", "abc", 0.75)
    assert (card.has_lambda, card.lam, card.recipe) == (True, 0.1, {"train": {"epochs": 2}})
    assert card.mean == (0.4914, 0.4822, 0.4465)
    assert card.options["width"] == 4


def test_plain_models_have_no_lambda(tmp_path: Path) -> None:
    card = save_model(trained("resnet20"), tmp_path / "plain" / "last.safetensors")
    assert (card.has_lambda, card.lam, card.name) == (False, None, "plain")


def test_cards_are_read_without_torch(run: Path) -> None:
    code = (
        "import sys; from robustbench_sdnet.zoo import find_models, describe_model; "
        f"print(len(find_models('npz:own.npz', runs={str(run.parent)!r})), describe_model({str(run)!r}).arch); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "sdnet20_all"]


def test_the_hash_is_of_the_weights_and_not_of_the_card(run: Path, tmp_path: Path) -> None:
    first = read_card(run / "last.safetensors")
    again = save_model(trained(), tmp_path / "b.safetensors", name="other", accuracy=0.1)
    assert again.weights_hash == first.weights_hash
    assert again.name == "other"
    half = save_model(trained(), tmp_path / "c.safetensors", dtype=torch.float16)
    assert half.weights_hash != first.weights_hash
    model = trained()
    next(model.parameters()).data[0] += 1e-3
    assert weights_hash(model) != first.weights_hash


def test_float16_keeps_what_is_small(tmp_path: Path) -> None:
    model = trained()
    save_model(model, tmp_path / "half.safetensors", dtype=torch.float16)
    loaded = load_model(tmp_path / "half.safetensors")
    kept = dict(loaded.state_dict())
    for key, value in model.state_dict().items():
        assert kept[key].dtype == value.dtype
        exact = "bn" in key or key.endswith(("step_size", "bias", "mean", "std"))
        if "power_vector" not in key:
            torch.testing.assert_close(kept[key], value, rtol=0 if exact else 1e-3, atol=0 if exact else 1e-4)


def test_weights_beyond_float16_are_not_written_as_infinite(tmp_path: Path) -> None:
    model = trained()
    with torch.no_grad():
        model.linear.weight.mul_(1e7)
    with pytest.raises(InputError, match=r"linear.weight has values beyond those of torch.float16"):
        save_model(model, tmp_path / "x.safetensors", dtype=torch.float16)
    save_model(model, tmp_path / "x.safetensors")


def test_runs_are_found_by_data_newest_first(run: Path, tmp_path: Path) -> None:
    import os

    newer = run.parent / "newer"
    save_model(trained("resnet20"), newer / "last.safetensors", data="npz:x.npz", data_hash="abc")
    os.utime(run / "last.safetensors", (1, 1))
    (run.parent / "empty").mkdir()
    (run.parent / "damaged").mkdir()
    (run.parent / "damaged" / "last.safetensors").write_bytes(b"no")
    assert [card.name for card in find_models("npz:own.npz", runs=run.parent)] == [run.name]
    assert [card.name for card in find_models("npz:own.npz", train_hash="abc", runs=run.parent)] == [
        "newer",
        run.name,
    ]
    assert [card.name for card in find_models("npz:x.npz", runs=run.parent)] == ["newer"]
    assert find_models("svhn", train_hash="", runs=run.parent) == []
    assert find_models("npz:own.npz", runs=tmp_path / "none") == []
    newest = newest_run(run.parent)
    assert isinstance(newest, ModelCard)
    assert newest.name == "newer"
    assert newest_run(tmp_path / "none") is None


def test_a_write_that_fails_leaves_the_old_file(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (run / "last.safetensors").read_bytes()

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(WriteError, match="No space left on device"):
        save_model(trained("resnet20"), run / "last.safetensors")
    assert (run / "last.safetensors").read_bytes() == before
    assert [path.name for path in run.iterdir()] == ["last.safetensors"]


def test_what_a_card_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m" / "last.safetensors"
    assert save_model(trained(), path, accuracy=np.float32(0.5)).accuracy == 0.5
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"recipe of a checkpoint must be representable as JSON.*set is not"):
        save_model(trained(), path, recipe={"a", "b"})
    assert path.read_bytes() == before


def test_a_device_that_is_not_there_is_said(run: Path) -> None:
    with pytest.raises(InputError, match="Unknown device 'gpu'"):
        load_model(run, "gpu")
    with pytest.raises(InputError, match="Device 'cuda:99' is not there"):
        load_model(run, torch.device("cuda:99"))
    assert next(load_model(run, torch.device("cpu")).parameters()).device.type == "cpu"


def test_only_models_built_here_are_saved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Only models made by build_model"):
        save_model(nn.Linear(2, 2), tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="accuracy must be a number from 0 to 1, got '89'"):
        save_model(build_model("resnet20", width=4), tmp_path / "x.safetensors", accuracy=89)
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.parametrize("size", [0, 5, 8, 200, -1])
def test_a_truncated_checkpoint_is_detected(run: Path, size: int) -> None:
    path = run / "last.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    for read in (read_card, load_model):
        with pytest.raises(CheckpointError, match=r"truncated|not a safetensors"):
            read(path)


def test_damaged_weights_are_detected(run: Path) -> None:
    path = run / "last.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match="do not match the hash"):
        load_model(path)


def card_with(**changes: object) -> Any:
    def change(header: dict[str, Any]) -> None:
        header["__metadata__"]["card"] = json.dumps(json.loads(header["__metadata__"]["card"]) | changes)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header.pop("__metadata__"), "no valid model card"),
        (lambda header: header["__metadata__"].update(card="{"), "no valid model card"),
        (lambda header: header["__metadata__"].update(card="[1]"), "no valid model card"),
        (card_with(arch="sdnet99"), "Unknown architecture 'sdnet99'"),
        (card_with(options={"mean": "x"}), "no valid model card"),
        (card_with(accuracy=95.3), "accuracy must be a number from 0 to 1, got '95.3'"),
        (card_with(accuracy=float("nan")), "accuracy must be a number from 0 to 1, got 'nan'"),
        (lambda header: header.update(evil={"data_offsets": "x"}), "not a safetensors checkpoint"),
    ],
)
def test_a_hostile_header_is_refused(run: Path, change: Any, message: str) -> None:
    path = rewrite(run / "last.safetensors", change)
    with pytest.raises(CheckpointError, match=message):
        read_card(path)


def test_a_card_that_does_not_fit_its_weights_is_refused(run: Path) -> None:
    path = run / "last.safetensors"
    options = dict(read_card(path).options) | {"width": 8}
    rewrite(path, card_with(options=options))
    with pytest.raises(
        CheckpointError, match=r"does not fit sdnet20_all: .* is \[4, 3, 3, 3\], not \[8, 3, 3, 3\]"
    ):
        load_model(path)
    rewrite(path, card_with(options=options | {"width": 4096}))  # 60 GB of weights, which no file holds
    with pytest.raises(CheckpointError, match=r"not \[4096, 3, 3, 3\]"):
        load_model(path)
    rewrite(path, card_with(options=options | {"width": 10**9}))
    with pytest.raises(CheckpointError, match="width must be a whole number"):
        load_model(path)


def test_a_card_that_claims_large_images_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save_model(build_model("sdnet20_all"), path)
    options = dict(read_card(path).options)
    load_model(rewrite(path, card_with(options=options | {"input_size": 256, "stem": "cifar"})))
    rewrite(path, card_with(options=options | {"input_size": 4096}))
    with pytest.raises(
        CheckpointError, match="images of 4096 pixels, as its card says, take too much memory"
    ):
        load_model(path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.safetensors", "No checkpoint 'none.safetensors'"),
        ("cifar10/nothing", "Unknown model 'cifar10/nothing'"),
        ("", "A name or path is empty"),
        ("model_best.pth.tar", "No model file 'model_best.pth.tar'"),
        ("timm:", "names no model"),
    ],
)
def test_what_is_not_there_is_said(source: str, message: str) -> None:
    for look in (load_model, describe_model):
        with pytest.raises(InputError, match=message):
            look(source)


@pytest.mark.parametrize("name", ["run/last.safetensors", "own.safetensors", "exported.pt"])
def test_a_model_that_one_may_not_read_is_not_called_missing_or_damaged(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"")
    file.chmod(0)
    (tmp_path / "open").mkdir()
    source = str(file if file.parent == tmp_path else file.parent)
    with (
        read_only(tmp_path / "open"),  # which leaves the folders above it open
        pytest.raises(InputError, match=rf"^Cannot read '{file}' \(Permission denied\)\.$"),
    ):
        check_source(source)


def test_a_file_of_the_zoo_that_one_may_not_read_is_said_to_be_one(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(b"")
    file.chmod(0)
    (tmp_path / "open").mkdir()
    with (
        read_only(tmp_path / "open"),
        pytest.raises(InputError, match=r"^Cannot read '.*a\.safetensors' \(Permission denied\)\.$"),
    ):
        check_sha256(file, "0" * 64)


def test_a_wrapped_network_is_not_saved_with_its_wrapping(tmp_path: Path) -> None:
    wrapped = torch.nn.DataParallel(build_model("resnet20", width=4))
    with pytest.raises(InputError, match=r"not a DataParallel\. Give the network that it wraps"):
        save_model(wrapped, tmp_path / "last.safetensors")


def test_a_folder_without_a_checkpoint_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no checkpoint"):
        load_model(tmp_path)


def test_a_file_is_called_after_itself_and_a_runs_checkpoint_after_its_run(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes((run / "last.safetensors").read_bytes())
    assert describe_model(str(copy)).name == "mine"
    assert describe_model(str(run / "last.safetensors")).name == run.name
