"All that a notebook calls: fastai's own names, and those of this project beside them"
from fastai.basics import *
from fastai.callback.all import *
from fastai.interpret import *
from .base.tsai_names import FIRST as _first_names, module_names as _module_names
from .models.layers import (AdaptiveAvgPool1d, Add, BatchNorm1d, BN1d, Concat, Conv1d, ConvBlock, GAP1d, MaxPool1d,
    SeparableConv1d, check_bias, check_weight, count_parameters, get_layers, is_bn, is_conv, is_layer, is_linear)
from .models.xceptiontime import *
from .models.inception import *
from .models.ensemble import Ensemble, networks_of
from .models.graphs import Graphed
from .processing.filters import Filters, resample_recording
from .processing.series import check_channels, check_series, crop_series, resample_series
from .processing.preprocess import *
from .processing.targets import as_targets
from .processing.tasks import *
from .processing.infer import *
from .processing.conformal import conformal_table, conformal_tables, predict_sets
from .data.formats import *
from .data.windows import *
from .data.recordings import Recordings, read_recordings
from .data.splits import *
from .data.sets import *
from .data.dataset import *
from .data.pictures import axes_for, draw_series, series_axes
from .data.loaders import *
from .data.blocks import *
from .data.augment import *
from .runtime.evaluation import evaluating, evaluation_view
from .runtime.predictor import *
from .runtime.config import FORMAT
from .runtime.folder import *
from .runtime.hub import model_card, model_folder
from .runtime.recordings import RecordingAnswer
from .runtime.decisions import Decide, DeadBand, Hold, Majority, Reject
from .runtime.stream import *
from .runtime.export import export_onnx, export_program
from .train.learner import *
from .train.optimizer import ForeachAdam
from .train.metrics import DEFAULT_METRICS, METRICS, InUnits, TaskMetric, task_loss, task_metrics
from .train.callbacks import *
from .train.pretrained import *
from .train.checkpoint import *
from .train.recipe import RECIPES, AverageWeights, batch_size, get_recipe, recipe_learner
from .train.estimator import *
from .explain.attribution import *
from .explain.importance import *
from .explain.plots import plot_confusion_matrix, plot_embedding, plot_top_losses
from .explain.calibrate import *
from .bench.benchmark import read_rows, run_benchmark
from .bench.group_results import GroupResults
from .bench.groups import leave_groups_out
from .bench.comparison import ablation, mean_ranks, pairwise, plot_ranks, plot_scatter, published

__getattr__ = _module_names(__name__) # for a name of tsai, what it is called here
__all__ = [n for n in globals() if not n.startswith('_')]+_first_names
