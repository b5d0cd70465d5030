"""Seeded hostile files: what is sound in the world, damaged, lying about itself, or of another kind altogether."""

from __future__ import annotations

import io
import json
import random
import shlex
import sqlite3
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

Spoil = Callable[[random.Random, Path], list[str]]
CORRUPT = shlex.split("corrupt --limit 2 --store sqlite:///new.db --corruption contrast --severity 1")
MODEL = ["--model", "runs/resnet"]
VALUES = (
    *(
        10**400,
        -1,
        0,
        1e308,
        True,
        None,
        "",
        "x",
        "\x1b[31m\x07\n",
        "x" * 5000,
        "$a$ ${b}",
        "../../x",
        "\ud800",
    ),
    *(
        [],
        {},
        [1],
        {"a": 1},
        [[[[]]]],
        float("nan"),
        float("inf"),
        "8/255",
        ["resnet20"],
        2**63,
        1.5,
        "resnet20",
    ),
)


def cases(count: int, seed: int) -> Iterator[tuple[str, random.Random, Spoil]]:
    """What is spoilt, its draws, and what spoils a world and says what to run; the same for the same seed."""
    for number in range(count):
        spoil = SPOILS[number % len(SPOILS)]
        yield f"{spoil.__name__}-{number}", random.Random(f"{seed}-{number}"), spoil


def flipped(draw: random.Random, content: bytes) -> bytes:
    """Some bytes changed, a piece cut out, doubled, or replaced."""
    found = bytearray(content)
    kind = draw.randrange(6)
    at = draw.randrange(len(found) + 1)
    if kind < 2:
        for _ in range(draw.choice((1, 1, 3, 30))):
            found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
    elif kind == 2:
        del found[at:]
    elif kind == 3:
        del found[at : at + draw.choice((1, 8, 512))]
    elif kind == 4:
        found[at:at] = draw.choice((b"\0" * 8, b"\xff" * 8, b"[" * 5000, found[:64]))
    else:
        found = bytearray(
            draw.choice((b"", b"\0" * 100, draw.randbytes(300), b"PK\x03\x04", b"\x93NUMPY", b"{}", b"["))
        )
    return bytes(found)


def _early(draw: random.Random, content: bytes, first: int) -> bytes:
    """Damage near the beginning, where headers are."""
    return flipped(draw, content[:first]) + content[first:]


def npy(draw: random.Random, array: np.ndarray) -> bytes:
    """An .npy file that lies about itself."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0))
    body = stream.getvalue()
    if draw.random() < 0.3:
        return _early(draw, body, 128)
    shape = draw.choice(
        (
            *(
                "(10**9, 10**9)",
                "(1000000000, 1000000000, 3)",
                f"({10**30},)",
                "(-1, 3)",
                "(True,)",
                "3",
                "'x'",
                "()",
                "(0,)",
            ),
            *(str(array.shape), str(array.shape[::-1]), f"({array.size},)", "(" * 500, "(1,) * 10**9"),
        )
    )
    kinds = (
        "'|u1'",
        "'<i8'",
        "'>i8'",
        "'<f4'",
        "'|O'",
        "'<U9'",
        "'<M8[s]'",
        "[('a', '<i4')]",
        "''",
        "'|z9'",
        "'<c16'",
    )
    descr = draw.choice((*kinds, repr(array.dtype.str), repr(array.dtype.str)))
    order = draw.choice(("False", "True", "7", "x"))
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n".encode()
    version = draw.choice((b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\7\0"))
    length = struct.pack("<H" if version == b"\1\0" else "<I", draw.choice((len(text), len(text), 0, 65535)))
    return b"\x93NUMPY" + version + length + text + array.tobytes()


def npz(draw: random.Random, folder: Path) -> list[str]:
    """A data set."""
    path = folder / "tiny.npz"
    if draw.random() < 0.3:
        path.write_bytes(flipped(draw, path.read_bytes()))
    else:
        with np.load(path) as archive:
            arrays = dict(archive)
        key = draw.choice(list(arrays))
        method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, array in arrays.items():
                odd = name == key
                other = draw.choice(
                    (
                        array.astype(draw.choice(("f8", ">i8", "?", "u8"))),
                        array[:0],
                        array[..., None],
                        array[:3],
                    )
                )
                stream = io.BytesIO()
                np.lib.format.write_array(stream, other if odd else array)
                content = npy(draw, array) if odd and draw.random() < 0.7 else stream.getvalue()
                archive.writestr(f"{name}.npy" if not odd or draw.random() < 0.9 else f"../{name}", content)
        if draw.random() < 0.2:
            spoilt = bytearray(path.read_bytes())
            at = spoilt.index(b"PK\x01\x02")
            spoilt[at + draw.randrange(4, 46)] ^= 1 << draw.randrange(8)
            path.write_bytes(spoilt)
    return [*CORRUPT, *MODEL, "--data", "npz:tiny.npz"]


def published(draw: random.Random, folder: Path) -> list[str]:
    """A folder of corrupted images."""
    path = folder / "corrupted" / f"{draw.choice(('contrast', 'labels', 'clean', 'gaussian_noise'))}.npy"
    array = np.load(path) if path.exists() else np.zeros((15, 8, 8, 3), np.uint8)
    path.write_bytes(
        npy(draw, array)
        if draw.random() < 0.6
        else flipped(draw, path.read_bytes() if path.exists() else b"x")
    )
    return [*CORRUPT, *MODEL, "--data", "cifar10c:corrupted"]


def journal(draw: random.Random, folder: Path) -> list[str]:
    """What a folder says of itself."""
    path = folder / "corrupted" / draw.choice((".generation.jsonl", "hashes.json"))
    line = draw.choice(
        (
            "[" * 100_000,
            "{}",
            "null",
            "[1e999]",
            '{"seed": 1' + "0" * 400 + "}",
            '{"seed": 1e999}',
            "\xff",
            "NaN",
        )
    )
    if draw.random() < 0.5:
        path.write_bytes(flipped(draw, path.read_bytes() if path.exists() else b'{"seed": 0}'))
    else:
        path.write_text(
            json.dumps(draw.choice(VALUES), default=str) + "\n" if draw.random() < 0.5 else line,
            errors="replace",
        )
    if draw.random() < 0.5:
        line = (
            "data generate cifar10c --data npz:tiny.npz --output corrupted --corruption contrast --workers 1"
        )
        return line.split()
    return [*CORRUPT, *MODEL, "--data", "cifar10c:corrupted"]


def card(draw: random.Random, folder: Path) -> list[str]:
    """The header of a checkpoint."""
    path = folder / "runs/sdnet/best.safetensors"
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    if draw.random() < 0.3:
        path.write_bytes(_early(draw, content, 8 + length))
    else:
        own = json.loads(header["__metadata__"]["card"])
        place = draw.choice(
            (
                own,
                own,
                own["options"],
                header["__metadata__"],
                next(v for k, v in header.items() if k[0] != "_"),
            )
        )
        place[draw.choice(list(place))] = draw.choice(VALUES)
        if place is not header["__metadata__"]:
            header["__metadata__"]["card"] = json.dumps(own)
        text = json.dumps(header, default=str).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    ends = (
        ["zoo", "info", "runs/sdnet"],
        ["zoo", "info", "runs/sdnet", "--json"],
        [*CORRUPT, "--data", "npz:tiny.npz", "--model", "runs/sdnet"],
        [*CORRUPT, "--data", "npz:tiny.npz"],
        ["zoo", "verify", "runs/sdnet", "--limit", "2"],
        ["train", "npz:tiny.npz", "sdnet20", "--dry-run", "--set", "train.init=runs/sdnet"],
    )
    return draw.choice(ends)


def weights(draw: random.Random, folder: Path) -> list[str]:
    """The tensors of a checkpoint, or a pickled one."""
    path = folder / "runs/sdnet/best.safetensors"
    if draw.random() < 0.5:
        path.write_bytes(flipped(draw, path.read_bytes()))
        return [*CORRUPT, "--data", "npz:tiny.npz", "--model", "runs/sdnet"]
    import torch

    stream = io.BytesIO()
    odd = {"state_dict": {"a": torch.zeros(2), "b": 3}, "epoch": 10**400, "x": np.int32(3)}
    torch.save(draw.choice((odd, [1], torch.zeros(3), {"state_dict": None}, {1: torch.zeros(1)}, {})), stream)
    name = draw.choice(("old.pth", "old.pt", "old.pt2", "old.ckpt"))
    (folder / name).write_bytes(
        stream.getvalue() if draw.random() < 0.4 else flipped(draw, stream.getvalue())
    )
    if draw.random() < 0.5:
        return [*CORRUPT, "--data", "npz:tiny.npz", "--model", name]
    return ["zoo", "import", name, "--arch", "resnet20", "--data", "digits", "--output", "runs/imported"]


def recipe(draw: random.Random, folder: Path) -> list[str]:
    """A recipe, or what a run keeps of one."""
    texts = (
        *(
            "train: {epochs: .inf}",
            "train: {milestones: [.inf]}",
            "train: {lr: 2020-13-45}",
            "train: {epochs: !!int x}",
        ),
        *(
            "train: {lr: !!float x}",
            "train: {nesterov: !!bool x}",
            "train: {eps: !!timestamp x}",
            "data: [1]",
            "data: hello",
        ),
        *(
            "data: {npz:tiny.npz: hello}",
            "[" * 3000,
            "train: [1]",
            "model: x",
            "train: {1: 2}",
            "&a [*a]",
            "a: &a [*a, *a]",
        ),
        *(
            "train: {epochs: " + "9" * 400 + "}",
            "train: {epochs: 0x_}",
            "model: {mean: x}",
            "model: {width: 1e3}",
            "- 1",
            "",
        ),
        *(
            "train: {seed: -1}",
            "train: {batch_size: 1.5}",
            "name: [x]\ntrain: {}",
            "summary: {}\n",
            "train:\n\t- x",
            "\x07",
        ),
        *(
            "train: {threads: 99999}",
            "model: {lam: .nan}",
            "model: {num_classes: 1}",
            "!!python/object:os.system x",
            "? [1]\n: 2",
        ),
    )
    sound = (folder / "small.yaml").read_bytes()
    content = draw.choice(texts).encode() if draw.random() < 0.7 else flipped(draw, sound * 3)
    if draw.random() < 0.3:
        (folder / "runs/sdnet/recipe.yaml").write_bytes(content)
        return ["train", "npz:tiny.npz", "sdnet20", "--resume", "--output", "runs/sdnet"]
    (folder / "own.yaml").write_bytes(content)
    return ["train", "npz:tiny.npz", "resnet20", "--recipe", "own.yaml", "--dry-run"]


def state(draw: random.Random, folder: Path) -> list[str]:
    """The saved state of a run that is resumed."""
    files = [
        path for path in (folder / "runs/sdnet").iterdir() if path.is_file() and "event" not in path.name
    ]
    path = draw.choice(sorted(files))
    path.write_bytes(flipped(draw, path.read_bytes()))
    return ["train", "npz:tiny.npz", "sdnet20", "--resume", "--output", "runs/sdnet"]


def store(draw: random.Random, folder: Path) -> list[str]:
    """The result store: its file, or a column of a row."""
    path = folder / "s.db"
    if draw.random() < 0.4:
        path.write_bytes(flipped(draw, path.read_bytes()))
    else:
        with closing(sqlite3.connect(path)) as database, database:
            tables = [
                row[0] for row in database.execute("select name from sqlite_master where type = 'table'")
            ]
            table = draw.choice(sorted(tables))
            columns = [row[1] for row in database.execute(f"pragma table_info({table})")]
            column = draw.choice(columns)
            old = database.execute(f"select {column} from {table} limit 1").fetchone()
            plain = old[0] if old else "x"
            content = plain if isinstance(plain, bytes) else str(plain).encode()
            new = draw.choice(
                (
                    flipped(draw, content or b"x"),
                    flipped(draw, content or b"x").decode("latin1"),
                    -1,
                    2**62,
                    None,
                    "{}",
                )
            )
            try:
                database.execute(f"update {table} set {column} = ?", (new,))
            except sqlite3.Error:
                database.execute(f"delete from {table}")
        database.close()
    ends = (
        *(["report", "to", kind, "--store", "sqlite:///s.db"] for kind in ("json", "csv", "markdown")),
        ["status", "--store", "sqlite:///s.db"],
        ["status", "--store", "sqlite:///s.db", "--json"],
        shlex.split("attack fgsm --data npz:tiny.npz --model runs/sdnet --store sqlite:///s.db --limit 2"),
        shlex.split("corrupt --data npz:tiny.npz --corruption contrast --store sqlite:///s.db --limit 2"),
    )
    return draw.choice(ends)


def fits(draw: random.Random, folder: Path) -> list[str]:
    """What lies beside the store: fits of policies and kept images."""
    line = ["--data", "npz:tiny.npz", "--model", "runs/sdnet", "--store", "sqlite:///s.db", "--limit", "3"]
    found = sorted(
        path for path in folder.glob("s*/**/*") if path.is_file() and path.suffix in (".json", ".npy")
    )
    for path in found:
        path.write_bytes(flipped(draw, path.read_bytes()))
    if draw.random() < 0.5:
        return ["corrupt", *line, "--corruption", "contrast", "--lambda", "label-free"]
    return ["attack", "fgsm", *line, "--lambda", "0.1,0.4", "--attack-lambda", "0.1,0.4"]


def module(draw: random.Random, folder: Path) -> list[str]:
    """A model of the user's own."""
    bodies = (
        *(
            "def make(:",
            "raise SystemExit(0)",
            "make = 3",
            "def make(): return 3",
            "def make(x): pass",
            "import nothing_here",
        ),
        *(
            "def make(): raise KeyboardInterrupt",
            "class make: pass",
            "def make(): raise EOFError",
            "\0",
            "def make(): return make",
        ),
        "import torch\ndef make():\n    return torch.nn.Flatten()",
        "import torch\ndef make():\n    return torch.nn.LazyLinear(3)",
    )
    answers = (
        "raise BrokenPipeError",
        "raise MemoryError",
        "print('x'); raise SystemExit(0)",
        "return [x]",
        "return x * 1j",
    )
    inside = "import torch\nclass M(torch.nn.Module):\n    def forward(self, x):\n        {}\nmake = M"
    (folder / "mine.py").write_text(draw.choice((*bodies, *map(inside.format, answers))))
    return [*CORRUPT, "--data", "npz:tiny.npz", "--model", "mine:make"]


SPOILS: tuple[Spoil, ...] = (
    npz,
    card,
    recipe,
    published,
    store,
    weights,
    journal,
    module,
    npz,
    card,
    recipe,
    state,
    store,
    fits,
)
