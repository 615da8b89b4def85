#!/usr/bin/env python3
"""Makes mobilenet_v2_f16.safetensors: make.py mobilenet_v2_features.safetensors

The same tensors under the same names in half precision (numpy and safetensors are needed)."""
import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

tensors = {name: value.astype(np.float16) for name, value in load_file(sys.argv[1]).items()}
assert all(np.isfinite(value).all() for value in tensors.values())
save_file(tensors, pathlib.Path(__file__).with_name("mobilenet_v2_f16.safetensors"))
