"`from xceptiontime.all import *`: fastai's names stay unchanged, and the added names are listed here"
import re
from xceptiontime.base.tsai_names import OldName

ADDED = """
ARCHS ARCH_DEFAULTS AdaptiveAvgPool1d Add AverageWeights BN1d BatchNorm1d ChannelDropout
Checkpoint Classification Concat Conv1d ConvBlock DEFAULT_METRICS DeadBand Decide Ensemble FEWEST
FORMAT Filters FitPreprocess ForeachAdam GAP1d Graphed GroupResults HEADS Hold Importance InUnits
InceptionBlock InceptionModule InceptionTime Jitter KeepFinite LateRecorder METHODS METRICS
MISSING MagnitudeWarp Majority MappedArray MaxPool1d MeanAfterLoss MultiLabel Novelty Prediction
Predictor Preprocess PreprocessBatch Pretrained ProgressOrLines RECIPES RecordingAnswer Recordings
Regression Reject Run SCALES STATS Scaling SeparableConv1d SeriesTransform StreamingPredictor
TARGETS TASKS TSBlock TSClassification TSCutMix TSDataLoader TSDataLoaders TSDataset TSHeader
TSLearner TSLengths TSMix TSMixUp TSMultiLabelClassification TSRegression TSStandardize TSTensor
TaskLoss TaskMetric TimeCrop TimeLeft TimeMask TimeShift TimeWarp ToSeries Windows XceptionBlock
XceptionModule XceptionTime XceptionTimeClassifier XceptionTimeEstimator XceptionTimeRegressor
ablation as_targets attribute axes_for batch_size body_and_head calibration_error check_bias
check_channels check_for_series check_groups check_mixing check_series check_splits check_weight
class_weights conformal_table conformal_tables count_parameters crop_series cropped draw_series
drop_times
dtype_of evaluating evaluation_view export_onnx export_program fill_missing fit_temperature
from_frame get_layers get_myo get_myo_recordings get_recipe get_splits get_ts_dls get_ucr
go_on_from infer_task is_bn is_conv is_layer is_linear kernel_sizes leave_groups_out make_bumps
mean_ranks model_card model_folder mu_law mu_law_inverse networks_of pairwise
permutation_importance plot_attribution plot_confusion_matrix plot_embedding plot_importance
plot_ranks plot_reliability plot_scatter predict_sets published read_arff read_csv read_files
read_npz read_pair read_parquet read_recordings read_rows read_series read_ts read_tsv
recipe_learner register_arch resample_recording resample_series resampled run_benchmark
series_axes sliding_windows split_lengths task_loss task_metrics to_samples ts_learner
window_label window_starts write_ts
"""

def names(*lines):
    "The public names that the star imports in `lines` define"
    found = {}
    exec('\n'.join(lines), found)
    return {k: v for k,v in found.items() if not k.startswith('_')}

FASTAI = names('from fastai.basics import *', 'from fastai.callback.all import *', 'from fastai.interpret import *')
ALL = names('from xceptiontime.all import *')

def test_list_of_added_names():
    assert sorted(k for k in set(ALL)-set(FASTAI) if not isinstance(ALL[k], OldName))==sorted(ADDED.split())

def test_names_of_fastai_stay():
    assert [k for k,v in FASTAI.items() if ALL.get(k) is not v]==[]

def test_names_that_notebooks_use_themselves_stay_free():
    words = 'table','threshold','compare','BASE','DEFAULT','LENGTHS','X','y','data','model','train','names','rows'
    assert [k for k in words if k in ALL and k not in FASTAI]==[]
    assert [k for k in ADDED.split() if re.fullmatch('[a-z]{1,5}', k)]==[]
