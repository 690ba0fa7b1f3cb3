"""Sizes of images, for providers that know shapes only."""

import math
import re
from collections.abc import Sequence

from penstock.errors import InvalidRequest

_SIZE = re.compile(r"(\d{1,5})[xX](\d{1,5})")
_LARGEST = 16_384


def read_size(text: str | None) -> tuple[int, int] | None:
    """Width and height in pixels; None when the provider is to choose. Raises InvalidRequest."""
    if text is None or text == "auto":
        return None
    found = _SIZE.fullmatch(text)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if not all(0 < side <= _LARGEST for side in size):
        raise InvalidRequest(
            f"`size` is `{text[:40]}`.", action="Use `auto`, or width x height such as `1024x1024`.", param="size"
        )
    return size


def nearest_shape(size: tuple[int, int], shapes: Sequence[str]) -> str:
    """That of `shapes` (`16:9`) which is most like `size`."""
    return min(shapes, key=lambda shape: abs(math.log(size[0] / size[1]) - math.log(_ratio(shape))))


def _ratio(shape: str) -> float:
    width, _, height = shape.partition(":")
    return int(width) / int(height)
