from . import images as images
from .images import ArrayPixels as ArrayPixels, ImageData as ImageData, Pixels as Pixels
from .registry import check_name as check_name, data_root as data_root, load as load, short_name as short_name
