"""The corruptions once more, one image at a time, in SciPy, OpenCV, scikit-image and Pillow: slow and plain.

Each takes an image (h, w, 3) uint8, the draws of that image as `corruptions.sample` lays them out, and the
parameters of the table.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from PIL import Image
from scipy import ndimage
from skimage import color

Array = np.ndarray


def to_bytes(image: Array) -> Array:
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def smooth(image: Array, sigma: float) -> Array:
    return ndimage.gaussian_filter(
        image, (sigma, sigma) + (0,) * (image.ndim - 2), mode="nearest", truncate=4.0
    )


def gaussian_noise(image: Array, draws: dict[str, Array], sigma: float) -> Array:
    return to_bytes(image / 255 + sigma * draws["normal"].astype(float))


def speckle_noise(image: Array, draws: dict[str, Array], sigma: float) -> Array:
    clean = image / 255
    return to_bytes(clean + clean * sigma * draws["normal"].astype(float))


def impulse_noise(image: Array, draws: dict[str, Array], amount: float) -> Array:
    result = image.copy()
    result[draws["uniform"] < amount] = 255
    result[draws["uniform"] < amount / 2] = 0
    return result


def gaussian_blur(image: Array, _: dict[str, Array], sigma: float) -> Array:
    return to_bytes(smooth(image / 255, sigma))


def glass_blur(image: Array, draws: dict[str, Array], sigma: float, reach: float, sweeps: float) -> Array:
    shaken = (smooth(image / 255, sigma) * 255).astype(np.uint8)
    height, width = image.shape[:2]
    reach = int(reach)
    for sweep in range(int(sweeps)):
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                right, down = draws["step"][sweep, row - reach - 1, column - reach - 1].astype(int)
                # With a reach of 1 the draws say how far to go left and up, else how far from the upper left corner.
                right, down = (-right, -down) if reach == 1 else (right - reach, down - reach)
                other = row + down, column + right
                # A swap of two views: the second assignment finds the first already done.
                shaken[row, column], shaken[other] = shaken[other], shaken[row, column]
    return to_bytes(smooth(shaken / 255, sigma))


def defocus_blur(image: Array, _: dict[str, Array], radius: float, alias: float) -> Array:
    offset = np.arange(-8, 9) if radius <= 8 else np.arange(-radius, radius + 1)
    disk = ((offset[:, None] ** 2 + offset**2) <= radius**2).astype(np.float32)
    kernel = cv2.GaussianBlur(disk / disk.sum(), (3, 3) if radius <= 8 else (5, 5), sigmaX=alias)
    return to_bytes(
        np.stack([cv2.filter2D(plane, -1, kernel) for plane in np.moveaxis(image / 255, 2, 0)], 2)
    )


def motion(image: Array, angle: float, radius: float, sigma: float) -> Array:
    height, width = image.shape[:2]
    taps = np.arange(2 * int(radius) + 1)
    # As ImageMagick 6 computes them: what is half a pixel away lands by the last bit.
    down, across = (len(taps) * turn(math.radians(angle)) for turn in (math.sin, math.cos))
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    weights /= weights.sum()
    rows, columns = np.mgrid[:height, :width]
    total = np.zeros(image.shape)
    for tap, weight in zip(taps, weights, strict=True):
        row, column = (
            places + math.ceil(tap * part / math.hypot(down, across) - 0.5)
            for places, part in ((rows, down), (columns, across))
        )
        total += weight * 257 * image[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    return (np.floor(total + 0.5) // 257).astype(np.uint8)


def motion_blur(image: Array, draws: dict[str, Array], radius: float, sigma: float) -> Array:
    return motion(image, float(draws["angle"]), radius, sigma)


def zoom(image: Array, factor: float) -> Array:
    """Crop, zoom linearly and trim; image (h, w, c) of floats."""
    height, width = image.shape[:2]
    down, across = math.ceil(height / factor), math.ceil(width / factor)
    top, left = (height - down) // 2, (width - across) // 2
    large = ndimage.zoom(image[top : top + down, left : left + across], (factor, factor, 1), order=1)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return large[top : top + height, left : left + width]


def zoom_blur(image: Array, _: dict[str, Array], end: float, step: float) -> Array:
    clean = (image / 255).astype(np.float32)
    factors = np.arange(1, end, step)
    return to_bytes((clean + sum(zoom(clean, factor) for factor in factors)) / (len(factors) + 1))


def snow(image: Array, draws: dict[str, Array], *setting: float) -> Array:
    loc, scale, factor, threshold, radius, sigma, mix = setting
    layer = zoom((draws["normal"] * scale + loc)[..., None], factor)
    layer[layer < threshold] = 0
    streaks = motion(to_bytes(layer), float(draws["angle"]), radius, sigma) / 255
    clean = image.astype(np.float32) / 255
    grey = cv2.cvtColor(clean, cv2.COLOR_RGB2GRAY)[..., None]
    whitened = mix * clean + (1 - mix) * np.maximum(clean, grey * 1.5 + 0.5)
    return to_bytes(whitened + streaks + np.rot90(streaks, k=2))


def fog(image: Array, draws: dict[str, Array], amount: float, decay: float) -> Array:
    size, uniform = 2 ** math.ceil(math.log2(max(image.shape))), iter(draws["uniform"])
    heights, step, wibble = np.zeros((size, size)), size, 100.0

    def fill(rows: range, columns: range, neighbours: list[tuple[int, int]]) -> None:
        found = {}
        for row in rows:
            for column in columns:
                points = [heights[(row + down) % size, (column + right) % size] for down, right in neighbours]
                found[row, column] = sum(points) / 4 + wibble * (2 * wibble * next(uniform) - wibble)
        for place, value in found.items():
            heights[place] = value

    while step >= 2:
        half = step // 2
        whole, middle = range(0, size, step), range(half, size, step)
        fill(middle, middle, [(-half, -half), (-half, half), (half, -half), (half, half)])
        cross = [(-half, 0), (half, 0), (0, -half), (0, half)]
        edges = heights.copy()
        fill(whole, middle, cross)
        with_first, heights[:] = heights.copy(), edges
        fill(middle, whole, cross)
        heights[::step, half::step] = with_first[::step, half::step]
        step, wibble = half, wibble / decay
    heights = (heights - heights.min()) / (heights.max() - heights.min())
    clean = image / 255
    cloudy = clean + amount * heights[: image.shape[0], : image.shape[1], None]
    return to_bytes(cloudy * clean.max() / (clean.max() + amount))


def spatter(image: Array, draws: dict[str, Array], *setting: float) -> Array:
    loc, scale, sigma, threshold, strength, mud = setting
    liquid = smooth(draws["normal"] * scale + loc, sigma)
    clean = image.astype(np.float32) / 255
    if mud:
        cover = smooth((liquid > threshold).astype(np.float32), strength)
        cover[cover < 0.8] = 0
        return to_bytes(clean * (1 - cover[..., None]) + cover[..., None] * np.array([63, 42, 20]) / 255)
    liquid[liquid < threshold] = 0
    return water(image, liquid, strength)


def water(image: Array, liquid: Array, strength: float) -> Array:
    clean = image.astype(np.float32) / 255
    drops = (liquid * 255).astype(np.uint8)
    distance = cv2.distanceTransform(255 - cv2.Canny(drops, 50, 150), cv2.DIST_L2, 5)
    distance = cv2.threshold(distance, 20, 20, cv2.THRESH_TRUNC)[1]
    distance = cv2.equalizeHist(cv2.blur(distance, (3, 3)).astype(np.uint8))
    distance = cv2.filter2D(distance, cv2.CV_8U, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]))
    cover = drops * cv2.blur(distance, (3, 3)).astype(np.float32)
    cover = cover / max(cover.max(), 1e-9) * strength
    return to_bytes(clean + cover[..., None] * np.array([175, 238, 238], np.float32) / 255)


def elastic_transform(
    image: Array, draws: dict[str, Array], alpha: float, sigma: float, reach: float, nominal: float
) -> Array:
    height, width = image.shape[:2]
    side = min(height, width)
    alpha, sigma, reach = (value / nominal for value in (alpha, sigma, reach))
    middle, arm = np.array([width // 2, height // 2]), side // 3
    corners = np.float32([middle + arm, middle + np.array([arm, -arm]), middle - arm])
    moved = corners + (draws["points"] * reach * side).astype(np.float32)
    matrix = cv2.getAffineTransform(corners, moved.astype(np.float32))
    clean = image.astype(np.float32) / 255
    warped = cv2.warpAffine(clean, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    dx, dy = (
        ndimage.gaussian_filter(field, sigma * side, mode="reflect", truncate=3) * alpha * side
        if alpha
        else 0 * field
        for field in draws["field"]
    )
    rows, columns = np.mgrid[:height, :width]
    places = [rows + dy, columns + dx]
    planes = [ndimage.map_coordinates(warped[..., c], places, order=1, mode="reflect") for c in range(3)]
    return to_bytes(np.stack(planes, 2))


def contrast(image: Array, _: dict[str, Array], factor: float) -> Array:
    mean = (image / 255).mean((0, 1), keepdims=True)
    return to_bytes((image / 255 - mean) * factor + mean)


def pixelate(image: Array, _: dict[str, Array], share: float) -> Array:
    height, width = image.shape[:2]
    # Axis by axis: newer versions of Pillow begin with the columns of tall images.
    narrow = Image.fromarray(image).resize((int(width * share), height), Image.Resampling.BOX)
    small = narrow.resize((int(width * share), int(height * share)), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BOX))


def brightness(image: Array, _: dict[str, Array], offset: float) -> Array:
    hsv = color.rgb2hsv(image / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + offset, 0, 1)
    return to_bytes(color.hsv2rgb(hsv))


def saturate(image: Array, _: dict[str, Array], factor: float, offset: float) -> Array:
    hsv = color.rgb2hsv(image / 255)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + offset, 0, 1)
    return to_bytes(color.hsv2rgb(hsv))


def jpeg_compression(image: Array, _: dict[str, Array], quality: float) -> Array:
    from io import BytesIO

    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file))
