"""The index, fetching, exporting and verifying."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_sdnet.data import load
from robustbench_sdnet.download_progress import heard
from robustbench_sdnet.errors import CheckpointError, DataError, InputError, ModelError
from robustbench_sdnet.files import sha256_of
from robustbench_sdnet.zoo import add_to_zoo, build_model, describe_model, load_model, read_card, save_model
from robustbench_sdnet.zoo.names import zoo_checkpoint
from robustbench_sdnet.zoo.shelf.index import INDEX, cached_path, entries, entry, fetch, local_path
from robustbench_sdnet.zoo.shelf.publish import export_model
from robustbench_sdnet.zoo.shelf.verification import verify
from tests.file_server import Server, serving


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDNET_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = build_model("sdnet20", width=4, input_size=8, num_classes=3).eval()
    path = tmp_path / "runs" / "one" / "last.safetensors"
    save_model(
        model,
        path,
        data="npz:/somewhere/tiny.npz",
        data_hash="abc",
        accuracy=0.5,
        recipe={"name": "smoke", "train": {"init": "one (weights 0123)", "epochs": 3}},
    )
    return path


@pytest.fixture
def index(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout" / "package" / "zoo"
    folder.mkdir(parents=True)
    (folder / "index.yaml").write_text("models: []\n")
    return folder / "index.yaml"


@pytest.fixture
def server(tmp_path: Path, cache: Path) -> Iterator[Server]:
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as running:
        yield running


def test_the_shipped_index_agrees_with_the_shipped_files() -> None:
    for item in entries():
        path = local_path(item)
        if path is None:
            assert not item.source.startswith("weights/") or not (INDEX.parent / item.source).exists()
            continue
        card = read_card(path)
        assert sha256_of(path) == item.sha256
        assert (card.name, card.arch, card.data) == (item.name, item.arch, item.data)
        assert card.recipe["name"] == item.recipe.partition(",")[0]
        assert card.recipe["train"].get("init", "random") == item.init


def test_shipped_models_load_by_name() -> None:
    for item in entries():
        if local_path(item) is not None:
            model = load_model(item.name)
            side = describe_model(item.name).options["input_size"]
            assert model(torch.rand(1, 3, side, side)).isfinite().all()


def test_a_checkpoint_is_added_to_the_zoo(checkpoint: Path, index: Path) -> None:
    item = add_to_zoo(
        checkpoint, "tiny/sdnet20", recipe="smoke", robust={"pgd 8/255": 0.1}, note="a", index=index
    )
    assert entries(index) == (item,)
    path = local_path(item, index)
    assert path == index.parent / "weights" / "tiny-sdnet20.safetensors"
    assert item.init == "one (weights 0123)"
    assert sha256_of(path) == item.sha256
    card = read_card(path)
    assert (card.name, card.data, card.data_hash, card.accuracy) == ("tiny/sdnet20", "tiny", "abc", 0.5)
    assert "somewhere" not in path.read_bytes()[:5000].decode(errors="ignore")
    images = torch.rand(8, 3, 8, 8)
    torch.testing.assert_close(load_model(path)(images), load_model(checkpoint)(images), rtol=0.02, atol=0.02)
    again = add_to_zoo(checkpoint, "tiny/sdnet20", recipe="fast", accuracy=0.75, dtype="float32", index=index)
    assert entries(index) == (again,)
    assert again.accuracy == read_card(path).accuracy == 0.75
    assert torch.equal(load_model(path)(images), load_model(checkpoint)(images))
    assert add_to_zoo(checkpoint, "tiny/a", index=index).recipe == "smoke, 3 epochs"
    assert [each.name for each in entries(index)] == ["tiny/a", "tiny/sdnet20"]


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (["a"], "own"),
        (5, "own"),
        ({"train": None}, "own"),
        ({"train": [1]}, "own"),
        ({"name": 3, "train": {"epochs": "many"}}, "3"),
        ({"name": None, "train": {"init": None}}, "own"),
        ("by hand", "by hand"),
    ],
)
def test_a_recipe_may_be_anything(
    recipe: object, said: str, checkpoint: Path, index: Path, tmp_path: Path
) -> None:
    save_model(load_model(checkpoint), tmp_path / "any.safetensors", data="tiny", recipe=recipe, accuracy=0.5)
    item = add_to_zoo(tmp_path / "any.safetensors", "tiny/any", index=index)
    assert (item.recipe, item.init) == (said, "")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sdnet20", {}, "A zoo name has the form data/model"),
        ("../x/y", {}, "A zoo name has the form data/model"),
        ("tiny/x", {"dtype": "int8"}, "dtype must be float16 or float32"),
    ],
)
def test_what_cannot_be_added_is_refused(
    checkpoint: Path, index: Path, name: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        add_to_zoo(checkpoint, name, recipe="smoke", index=index, **options)


def test_large_models_and_unmeasured_models_do_not_ship(
    checkpoint: Path, index: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save_model(load_model(checkpoint), tmp_path / "no.safetensors")
    with pytest.raises(InputError, match="states no accuracy"):
        add_to_zoo(tmp_path / "no.safetensors", "tiny/x", recipe="smoke", index=index)
    monkeypatch.setattr("robustbench_sdnet.zoo.shelf.publish.SHIPPED_BYTES", 1000)
    with pytest.raises(InputError, match="the package ships models up to"):
        add_to_zoo(checkpoint, "tiny/x", recipe="smoke", index=index)
    assert not (index.parent / "weights").exists()
    monkeypatch.undo()
    with pytest.raises(InputError, match="No index of models"):
        add_to_zoo(checkpoint, "tiny/x", index=index.with_name("none.yaml"))
    assert not (index.parent / "weights").exists()
    held = local_path(add_to_zoo(checkpoint, "tiny/y", index=index), index)
    assert held is not None
    monkeypatch.setattr("robustbench_sdnet.zoo.shelf.publish.SHIPPED_BYTES", 1000)
    with pytest.raises(InputError, match="the package ships models up to"):
        add_to_zoo(checkpoint, "tiny/y", index=index)
    assert zoo_checkpoint("tiny/y", index) == held  # what the index says is still there
    item = add_to_zoo(checkpoint, "tiny/x", recipe="smoke", index=index, folder=index.parents[2] / "weights")
    assert local_path(item, index) == index.parents[2] / "weights" / "tiny-x.safetensors"


def test_weights_may_be_put_into_the_folder_one_stands_in(
    checkpoint: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = index.parents[2] / "weights"
    folder.mkdir()
    monkeypatch.chdir(folder)
    item = add_to_zoo(checkpoint, "tiny/x", index=index, folder=".")
    assert item.source == "weights/tiny-x.safetensors"
    assert zoo_checkpoint("tiny/x", index) == folder / "tiny-x.safetensors"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is not valid YAML at line 1"),
        ("models: 3", "not an index of models"),
        ("models:\n- name: a/b\n", "model 1: arch, data, recipe"),
        ("models:\n- 3\n", "model 1: name"),
    ],
)
def test_a_damaged_index_is_told(index: Path, text: str, message: str) -> None:
    index.write_text(text)
    with pytest.raises(CheckpointError, match=message):
        entries(index)


def test_a_missing_index_and_an_unknown_name_are_told(checkpoint: Path, index: Path) -> None:
    add_to_zoo(checkpoint, "tiny/sdnet20", recipe="smoke", index=index)
    with pytest.raises(InputError, match="Did you mean 'tiny/sdnet20'"):
        entry("tiny/sdnet", index)
    with pytest.raises(InputError, match="No index"):
        entries(index.with_name("none.yaml"))


def published(checkpoint: Path, index: Path, server: Server) -> str:
    """Put a model on the server alone; its name."""
    item = add_to_zoo(checkpoint, "tiny/far", recipe="smoke", index=index, folder=server.folder)
    assert local_path(item, index) is None
    return item.name


def test_a_model_is_fetched_once_and_kept(checkpoint: Path, index: Path, server: Server) -> None:
    name = published(checkpoint, index, server)
    seen: list[tuple[str, int, int | None]] = []
    with heard(lambda *told: seen.append(told)):
        path = fetch(name, place=server.url, index=index)
    assert path == cached_path(entry(name, index)) == local_path(entry(name, index), index)
    assert seen[-1] == (path.name, path.stat().st_size, path.stat().st_size)
    assert fetch(name, place=server.url, index=index) == path
    assert server.log == [None]
    assert fetch(f"{server.url}/tiny-far.safetensors", sha256=sha256_of(path)).is_file()


def test_a_broken_download_goes_on_where_it_stopped(checkpoint: Path, index: Path, server: Server) -> None:
    name = published(checkpoint, index, server)
    server.break_after = [5000, 3000]
    path = fetch(name, place=server.url, index=index)
    assert sha256_of(path) == entry(name, index).sha256
    assert server.log == [None, "bytes=5000-", "bytes=8000-"]
    assert not list(path.parent.glob("*.part"))


def test_a_download_survives_the_end_of_the_process(checkpoint: Path, index: Path, server: Server) -> None:
    name = published(checkpoint, index, server)
    server.break_after = [1000] * 5
    with pytest.raises(DataError, match=r"ended after 5,000 of [\d,]+ bytes\). 5,000 bytes are kept"):
        fetch(name, place=server.url, index=index)
    path = fetch(name, place=server.url, index=index)
    assert server.log[-1] == "bytes=5000-"
    assert sha256_of(path) == entry(name, index).sha256


def test_a_server_that_cannot_resume_sends_it_all_again(
    checkpoint: Path, index: Path, server: Server
) -> None:
    name = published(checkpoint, index, server)
    server.resumes, server.break_after = False, [5000]
    assert sha256_of(fetch(name, place=server.url, index=index)) == entry(name, index).sha256


def test_a_part_of_another_file_is_thrown_away(checkpoint: Path, index: Path, server: Server) -> None:
    name = published(checkpoint, index, server)
    target = cached_path(entry(name, index))
    target.parent.mkdir(parents=True)
    for stale in (b"x" * 100, b"x" * 10**6):  # shorter, and longer than the file
        target.with_name(f"{target.name}.part").write_bytes(stale)
        path = fetch(name, place=server.url, index=index)
        assert sha256_of(path) == entry(name, index).sha256
        path.unlink()


def test_another_file_than_the_index_says_is_refused(checkpoint: Path, index: Path, server: Server) -> None:
    name = published(checkpoint, index, server)
    (server.folder / "tiny-far.safetensors").write_bytes(b"something else")
    with pytest.raises(DataError, match=r"checksum .* a damaged or another file"):
        fetch(name, place=server.url, index=index)
    assert not cached_path(entry(name, index)).exists()


def test_what_cannot_be_fetched_is_told(
    checkpoint: Path, index: Path, server: Server, tmp_path: Path
) -> None:
    name = published(checkpoint, index, server)
    with pytest.raises(
        InputError, match="Give that folder or its URL with --from, or set SDNET_BENCH_WEIGHTS"
    ):
        fetch(name, index=index)
    with pytest.raises(DataError, match="the server answers 404"):
        fetch(f"{server.url}/none.safetensors")
    with pytest.raises(InputError, match="No checkpoint"):
        fetch(str(tmp_path / "none.safetensors"))
    with pytest.raises(InputError, match="Unknown zoo model"):
        fetch("tiny/none", index=index)
    server.server_close()


def test_a_path_is_copied_into_the_cache(checkpoint: Path, index: Path, server: Server) -> None:
    name = published(checkpoint, index, server)
    path = fetch(name, place=str(server.folder), index=index)
    assert sha256_of(path) == entry(name, index).sha256
    assert fetch(str(checkpoint)).read_bytes() == checkpoint.read_bytes()
    with pytest.raises(CheckpointError, match="its SHA-256 is"):
        fetch(str(checkpoint), sha256="0" * 64)
    assert fetch(name, sha256=sha256_of(path).upper(), index=index) == path
    with pytest.raises(CheckpointError, match="its SHA-256 is"):
        fetch(name, sha256="0" * 64, index=index)


def test_files_of_one_name_are_kept_apart(checkpoint: Path, index: Path, server: Server) -> None:
    """As "last.safetensors" is of every run, and as hubs ask after a file with a "?"."""
    other = checkpoint.parent.with_name("two") / checkpoint.name
    save_model(build_model("sdnet20", width=4, input_size=8, num_classes=3), other)
    (server.folder / "a").mkdir()
    (server.folder / "a" / f"{checkpoint.name}?download=true").write_bytes(checkpoint.read_bytes())
    (server.folder / checkpoint.name).write_bytes(other.read_bytes())
    urls = [f"{server.url}/a/{checkpoint.name}?download=true", f"{server.url}/{checkpoint.name}"]
    kept = [fetch(source) for source in (*urls, str(checkpoint), str(other))]
    assert len(set(kept)) == 4
    assert [sha256_of(path) for path in kept] == 2 * [sha256_of(path) for path in (checkpoint, other)]
    assert describe_model(str(kept[0])).weights_hash == read_card(checkpoint).weights_hash


def test_another_file_under_a_name_of_the_zoo_is_refused(
    checkpoint: Path, index: Path, cache: Path, tmp_path: Path
) -> None:
    """As an older checkout's weights, or a training of one's own that was copied there; what was fetched goes first."""
    name = add_to_zoo(checkpoint, "tiny/sdnet20", recipe="smoke", index=index).name
    here = zoo_checkpoint(name, index)
    kept = tmp_path / "right" / here.name
    kept.parent.mkdir()
    kept.write_bytes(here.read_bytes())
    save_model(build_model("sdnet20", width=4, input_size=8, num_classes=3), here)
    with pytest.raises(CheckpointError, match=r"tiny-sdnet20\.safetensors' is damaged or another file"):
        zoo_checkpoint(name, index)
    fetched = fetch(name, place=str(kept.parent), index=index)
    assert zoo_checkpoint(name, index) == fetched == cached_path(entry(name, index))


def test_a_file_left_beside_the_index_does_not_hide_the_right_one(
    checkpoint: Path, index: Path, cache: Path, tmp_path: Path
) -> None:
    """As where a model of the package was exported anew, with --folder weights."""
    small = tmp_path / "small.safetensors"
    save_model(build_model("sdnet20", width=4, input_size=8, num_classes=3), small, accuracy=0.5)
    stale = local_path(add_to_zoo(small, "tiny/x", index=index), index)
    item = add_to_zoo(checkpoint, "tiny/x", index=index, folder=index.parents[2] / "weights")
    assert stale is not None
    assert stale.is_file()
    for found in (zoo_checkpoint("tiny/x", index), fetch("tiny/x", index=index)):
        assert found == index.parents[2] / "weights" / "tiny-x.safetensors"
    found.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="damaged or another file"):
        zoo_checkpoint(item.name, index)


def test_weights_of_the_repository_are_fetched_from_where_the_environment_says(
    checkpoint: Path, index: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = published(checkpoint, index, server)
    with pytest.raises(
        InputError, match=r"zoo fetch tiny/far --from URL\|DIR, where tiny-far.safetensors lies"
    ):
        zoo_checkpoint(name, index)
    monkeypatch.setenv("HOME", str(server.folder.parent))
    for place in (server.url, str(server.folder), f"~/{server.folder.name}/"):
        monkeypatch.setenv("SDNET_BENCH_WEIGHTS", place)
        path = zoo_checkpoint(name, index)
        assert path == cached_path(entry(name, index))
        assert sha256_of(path) == entry(name, index).sha256
        path.unlink()
    assert server.log == [None]
    (server.folder / "tiny-far.safetensors").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="damaged or another file"):
        zoo_checkpoint(name, index)
    monkeypatch.setenv("SDNET_BENCH_WEIGHTS", server.url)
    with pytest.raises(DataError, match="damaged or another file"):
        zoo_checkpoint(name, index)
    assert not cached_path(entry(name, index)).exists()


def test_an_export_keeps_the_card(checkpoint: Path, tmp_path: Path) -> None:
    card = export_model(checkpoint.parent, tmp_path / "half.safetensors", name="mine")
    assert (card.name, card.data, card.accuracy) == ("mine", "npz:/somewhere/tiny.npz", 0.5)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.75 * checkpoint.stat().st_size


class ByColour(nn.Module):
    """Knows the answer: the brightest channel."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


def test_verify_compares_with_what_is_stated(tiny_npz: Path, checkpoint: Path) -> None:
    data = load(f"npz:{tiny_npz}", "test")
    card = read_card(checkpoint)
    told: list[tuple[int, int]] = []
    found = verify(ByColour(), card, data, batch_size=7, on_progress=lambda *done: told.append(done))
    assert (found.measured, found.stated, found.n, found.matches) == (1.0, 0.5, 30, False)
    assert told == [(7, 30), (14, 30), (21, 30), (28, 30), (30, 30)]
    assert found.low < 1 <= found.high
    assert verify(ByColour(), replace(card, accuracy=None), data).matches is None
    assert verify(ByColour(), replace(card, accuracy=0.9995), data).matches is True
    assert 1 - 0.999 > 1e-3  # by rounding
    assert verify(ByColour(), replace(card, accuracy=0.999), data).matches is True
    assert verify(ByColour(), replace(card, accuracy=0.9989), data).matches is False
    part = verify(ByColour(), card, data, limit=2)
    assert (part.n, part.matches) == (2, True)  # two images cannot contradict a half
    with pytest.raises(InputError, match="limit must be a whole number from 1"):
        verify(ByColour(), card, data, limit=0)


@pytest.mark.parametrize(("right", "matches"), [(8, True), (6, True), (5, False)])
def test_verify_on_a_part_tells_no_difference_that_chance_makes(
    tiny_npz: Path, checkpoint: Path, right: int, matches: bool
) -> None:
    """Of ten images 95 % are claimed: 8 or fewer are right for one model in 12, 6 or fewer for one in 970 (doubled, one
    in 490), 5 or fewer for one in 15,700. The 95 % interval of 8 of 10 ends at 94.3 %."""

    class Knows(ByColour):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = super().forward(images)
            return torch.where((torch.arange(len(images)) < right)[:, None], logits, -logits)

    card = replace(read_card(checkpoint), accuracy=0.95)
    found = verify(Knows(), card, load(f"npz:{tiny_npz}", "test"), limit=10)
    assert (found.measured, found.matches) == (right / 10, matches)


def test_verify_on_a_part_takes_images_of_all_classes(tmp_path: Path, checkpoint: Path) -> None:
    """A model that knows one class of three is right on a third of the images, wherever that class lies."""
    labels = np.repeat(np.arange(3), 100)
    images = np.zeros((300, 8, 8, 3), np.uint8)
    images[np.arange(300), ..., labels] = 200
    np.savez(tmp_path / "sorted.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)

    class OneClass(ByColour):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) * torch.tensor([1.0, 0.0, 0.0])

    card = replace(read_card(checkpoint), accuracy=1 / 3)
    found = verify(OneClass(), card, load(f"npz:{tmp_path / 'sorted.npz'}", "test"), limit=90, batch_size=40)
    assert (found.measured, found.n, found.matches) == (1 / 3, 90, True)


def test_verify_refuses_logits_that_are_no_numbers(tiny_npz: Path, checkpoint: Path) -> None:
    class Broken(ByColour):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) * np.nan

    class TooFew(ByColour):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images)[:, :2]

    data, card = load(f"npz:{tiny_npz}", "test"), read_card(checkpoint)
    with pytest.raises(ModelError, match="not finite"):
        verify(Broken(), card, data)
    with pytest.raises(ModelError, match="has 2 classes, but the data set has labels up to 2"):
        verify(TooFew(), card, data)
    with pytest.raises(ModelError, match=r"the folder has \d+ and numbers them itself"):
        verify(ByColour(), card, replace(data, numbered_here=True, num_classes=data.num_classes + 1))


def test_a_run_without_its_time_is_the_newest_of_that_name(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="Unknown model 'runs/tiny-sdnet20'"):
        load_model("runs/tiny-sdnet20")
    times = ("20260101-090000", "20260102-080000", "20260102-080000_2", "20260102-080000_10")
    for place, began in enumerate(times):
        model = load_model(checkpoint)
        model.linear.bias.fill_(place)
        save_model(model, f"runs/tiny-sdnet20-{began}/last.safetensors")
    Path("runs/tiny-sdnet20-20270101-000000").mkdir()  # not saved yet
    Path("runs/tiny-sdnet20-other").mkdir()
    assert describe_model("runs/tiny-sdnet20").name == f"tiny-sdnet20-{times[-1]}"
    assert describe_model("runs/tiny-sdnet20").source == f"runs/tiny-sdnet20-{times[-1]}"
    assert load_model("runs/tiny-sdnet20").linear.bias.eq(3).all()
    assert load_model(f"runs/tiny-sdnet20-{times[0]}").linear.bias.eq(0).all()
    save_model(load_model(checkpoint), "runs/tiny-sdnet20/last.safetensors")
    assert describe_model("runs/tiny-sdnet20").name == "tiny-sdnet20"


def test_an_index_is_parsed_again_only_where_it_has_changed(tmp_path: Path) -> None:
    from robustbench_sdnet.zoo.shelf.index import write_entries

    one, other = entries()[:2]
    write_entries([one], tmp_path / "index.yaml")
    assert entries(tmp_path / "index.yaml") is entries(tmp_path / "index.yaml")
    write_entries([other], tmp_path / "index.yaml")
    assert entries(tmp_path / "index.yaml") == (other,)
