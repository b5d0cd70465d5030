"""Against outputs of the published generator: bytes of the deterministic ones, distributions of the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from robustbench_sdnet import corruptions

DETERMINISTIC = [name for name in corruptions.expand("all") if not corruptions.corruption_info(name).random]
EXACT = {*DETERMINISTIC} - {"zoom_blur"}
RANDOM = [name for name in corruptions.expand("all") if corruptions.corruption_info(name).random]


@pytest.fixture(scope="module")
def outputs(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "corruptions.npz") as archive:
        return dict(archive)


def test_eight_are_deterministic_and_eleven_random() -> None:
    assert (len(DETERMINISTIC), len(RANDOM)) == (8, 11)


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic(outputs: dict[str, np.ndarray], name: str, severity: int) -> None:
    found = corruptions.corrupt(outputs["clean"][:20], name, severity)
    difference = np.abs(found.astype(int) - outputs[f"{name}_s{severity}"])
    assert difference.max() <= (0 if name in EXACT else 1)
    assert difference.mean() <= 0.02


@pytest.mark.parametrize("name", RANDOM)
def test_distribution(outputs: dict[str, np.ndarray], name: str) -> None:
    clean, expected = outputs["clean"], outputs[f"{name}_s3"]
    found = corruptions.corrupt(clean, name, 3, seed=1).astype(float)
    assert expected.shape == (len(STATISTICS), len(clean))
    for statistic, theirs in zip(STATISTICS, expected, strict=True):
        ours = statistic(found, clean.astype(float))
        assert stats.ks_2samp(ours, theirs).pvalue > 0.001, statistic.__name__
    # Paired: the same image under other draws.
    paired = psnr(found, clean.astype(float)) - expected[0]
    assert abs(paired.mean()) <= max(0.3, 4 * paired.std(ddof=1) / np.sqrt(len(paired)))


def psnr(images: np.ndarray, clean: np.ndarray) -> np.ndarray:
    return 10 * np.log10(255**2 / ((images - clean) ** 2).mean((1, 2, 3)))


def mean_shift(images: np.ndarray, clean: np.ndarray) -> np.ndarray:
    return (images - clean).mean((1, 2, 3))


def laplacian_energy(images: np.ndarray, _: np.ndarray) -> np.ndarray:
    inner = images[:, 1:-1, 1:-1]
    around = images[:, :-2, 1:-1] + images[:, 2:, 1:-1] + images[:, 1:-1, :-2] + images[:, 1:-1, 2:]
    return ((around - 4 * inner) ** 2).mean((1, 2, 3))


STATISTICS = (psnr, mean_shift, laplacian_energy)
