"""scikit-image's plain way to nuclei: what a careful user writes first."""

import numpy as np
import scipy.ndimage as ndi
from skimage.feature import peak_local_max
from skimage.filters import threshold_li, threshold_otsu
from skimage.measure import label
from skimage.morphology import remove_small_objects
from skimage.segmentation import watershed

THRESHOLDS = {
    "otsu": threshold_otsu,
    "li": threshold_li,
    "otsu-log": lambda a: np.expm1(threshold_otsu(np.log1p(a))),
}


def segment(image, threshold):
    """Labels of the nuclei in `image`; `threshold` is a key of THRESHOLDS."""
    smooth = ndi.gaussian_filter(image.astype(np.float32), 1)
    mask = ndi.binary_fill_holes(smooth > THRESHOLDS[threshold](smooth))
    mask = remove_small_objects(mask, max_size=29)
    distance = ndi.gaussian_filter(ndi.distance_transform_edt(mask), 1)
    parts = label(mask)
    peaks = peak_local_max(distance, min_distance=7, labels=parts, exclude_border=False)
    seeds = np.zeros(mask.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-distance, seeds, mask=mask)
