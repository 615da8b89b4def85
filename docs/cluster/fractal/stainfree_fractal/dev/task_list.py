"""The tasks of the manifest: `fractal-manifest create --package stainfree_fractal` beside pyproject.toml."""
from fractal_task_tools.task_models import ParallelTask

AUTHORS = "the authors of stainfree"
DOCS_LINK = None

TASK_LIST = [
    ParallelTask(
        name="stainfree: nuclei and cytoplasm in brightfield",
        executable="predict.py",
        # Memory in MB: `predict` caps itself at 4 GiB unless `options` has `--memory`.
        meta={"cpus_per_task": 4, "mem": 6000},
        category="Segmentation",
        modality="HCS",
        tags=["brightfield", "label-free", "nuclei", "cytoplasm", "2D"],
    ),
]
