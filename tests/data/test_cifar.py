"""CIFAR in its published format, served from this machine."""

from __future__ import annotations

import hashlib
import http.server
import io
import pickle
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from robustbench_sdnet import data
from robustbench_sdnet.cli import main
from robustbench_sdnet.data import archives, cifar
from robustbench_sdnet.errors import DataError, WriteError


def batch(count, seed, key, classes):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 3 * 32 * 32), dtype=np.uint8)
    return {
        "data": pixels,
        key: [int(label) for label in rng.integers(0, classes, count)],
        "batch_label": "a",
    }


def archive_of(name, count=3):
    source = cifar.SOURCES[name]
    buffer, batches = io.BytesIO(), {}
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for seed, file in enumerate(file for files in source.files.values() for file in files):
            batches[file] = batch(count, seed, source.labels, source.num_classes)
            content = pickle.dumps(batches[file], protocol=2)
            info = tarfile.TarInfo(f"{source.folder}/{file}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue(), batches


@pytest.fixture
def mirror(monkeypatch):
    served: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = served.get(self.path.strip("/"))
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("SDNET_BENCH_MIRROR", f"http://127.0.0.1:{server.server_port}")
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


def publish(served, name, **options):
    content, batches = archive_of(name, **options)
    file = archives.ARCHIVES[name][0].file
    served[file] = content
    served[f"{file}.md5"] = hashlib.md5(content).hexdigest().encode()
    return batches


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_download_and_read(name, mirror, tmp_path):
    batches = publish(mirror, name)
    source = cifar.SOURCES[name]
    published = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")
    assert source.files["train"] == (published if name == "cifar10" else ("train",))
    train = data.load(name, "train", root=tmp_path)
    parts = [batches[file] for file in source.files["train"]]
    expected = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    assert (train.images() == expected).all()
    assert train.labels.tolist() == [label for part in parts for label in part[source.labels]]
    assert train.num_classes == source.num_classes
    mirror.clear()
    assert len(data.load(name, "test", root=tmp_path)) == 3
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("as_json", [False, True])
def test_a_command_shows_the_download_that_it_begins(as_json, mirror, tmp_path, capsys):
    publish(mirror, "cifar10", count=60)  # several blocks
    asked = ["--data", "cifar10", "--data-root", str(tmp_path), "--store", f"sqlite:///{tmp_path}/a.db"]
    asked += ["--limit", "1", "--corruption", "fog", "--severity", "1", "--model", "cifar10/sdnet20"]
    with pytest.raises(SystemExit) as ended:
        main(["corrupt", *asked, *(["--json"] if as_json else [])])
    assert ended.value.code == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("download")]
    assert told[-1:] == ([] if as_json else ["download: 100 % (cifar-10-python.tar.gz)"])


@pytest.mark.filterwarnings("ignore::robustbench_sdnet.errors.WaitWarning")  # who waits is chance
def test_those_who_want_it_at_once_wait_for_one_download(mirror, tmp_path):
    publish(mirror, "cifar10")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: data.load("cifar10", root=tmp_path), range(4)))
    assert [len(each) for each in found] == [3] * 4
    assert [each.name for each in tmp_path.iterdir()] == ["cifar-10-batches-py"]


def test_published_checksum_holds_where_a_mirror_has_none(mirror, tmp_path, monkeypatch):
    publish(mirror, "cifar10")
    entry = replace(archives.ARCHIVES["cifar10"][0], size=None)
    monkeypatch.setattr(archives, "ARCHIVES", {"cifar10": (entry,)})
    del mirror["cifar-10-python.tar.gz.md5"]
    with pytest.raises(DataError, match=r"instead of c58f30108f718f92721af3b95e74349a"):
        data.load("cifar10", root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_missing_archive_names_the_remedies(mirror, tmp_path):
    with pytest.raises(DataError, match=r"cifar100: Cannot download .*404.*npz:PATH"):
        data.load("cifar100", root=tmp_path)


def test_no_download(tmp_path):
    with pytest.raises(DataError, match="cifar10 is not in"):
        data.load("cifar10", root=tmp_path, download=False)


def test_truncated_archive(mirror, tmp_path):
    publish(mirror, "cifar10")
    file = "cifar-10-python.tar.gz"
    mirror[file] = mirror[file][:3000]
    mirror[f"{file}.md5"] = hashlib.md5(mirror[file]).hexdigest().encode()
    with pytest.raises(DataError, match="damaged"):
        data.load("cifar10", root=tmp_path)


def test_unwritable_root(mirror, tmp_path):
    publish(mirror, "cifar10")
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="Cannot write"):
        data.load("cifar10", root=tmp_path / "file" / "below")


class Trap:
    def __reduce__(self):
        return (open, ("trapped", "w"))


def _labels(content, labels):
    return pickle.dumps({**pickle.loads(content, encoding="latin1"), "labels": labels})


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:500],
        lambda content: pickle.dumps(Trap()),
        lambda content: pickle.dumps([1, 2]),
        lambda content: _labels(content, 5),
        lambda content: _labels(content, [1]),
    ],
)
def test_damaged_or_hostile_batch(damage, mirror, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    publish(mirror, "cifar10")
    data.load("cifar10", root=tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="test_batch is damaged"):
        data.load("cifar10", root=tmp_path)
    assert not (tmp_path / "trapped").exists()


def test_the_command_as_typed_downloads_and_trains(mirror, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from robustbench_sdnet.commands.train import train

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDNET_BENCH_DATA", str(tmp_path / "data"))
    publish(mirror, "cifar10")
    settings = [part for key in ("epochs=1", "threads=1") for part in ("--set", f"train.{key}")]
    arguments = ["cifar10", "sdnet18", *settings, "--set", "model.width=2"]
    done = CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    (checkpoint,) = tmp_path.glob("runs/cifar10-sdnet18-*/last.safetensors")
    assert str(checkpoint.relative_to(tmp_path)) in done.stdout
