"Public functions with long arguments: each error is one sentence of fewer than 300 characters"
import re, traceback, warnings
import numpy as np, pytest, torch
from torch import nn
from small import X, classes, learner, ragged, splits, two_labels
from xceptiontime.base.files import whole_file, whole_folder
from xceptiontime.bench.benchmark import read_rows, run_benchmark
from xceptiontime.bench.comparison import ablation, compare, mean_ranks
from xceptiontime.data import augment
from xceptiontime.data.blocks import get_ts_dls
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.explain.attribution import attribute, plot_attribution
from xceptiontime.explain.calibrate import Novelty, calibration_error
from xceptiontime.explain.importance import permutation_importance
from xceptiontime.explain.plots import plot_embedding, plot_top_losses
from xceptiontime.models.inception import InceptionTime
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.conformal import conformal_table, conformal_tables
from xceptiontime.processing.infer import infer_task
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.regression import Regression
from xceptiontime.processing.series import check_channels, check_series, crop_series, resample_series
from xceptiontime.processing.tasks import Classification, MultiLabel
from xceptiontime.runtime.export import export_onnx, export_program
from xceptiontime.runtime.hub import model_folder
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.runtime.stream import StreamingPredictor
from xceptiontime.train.estimator import XceptionTimeClassifier, XceptionTimeRegressor
from xceptiontime.train.learner import ts_learner
from xceptiontime.train.recipe import get_recipe

word = 'ö'*1_000_000 # a label
many = [f'{i} {word[:50]}' for i in range(10_000)] # names
huge = 10**400
VALUES = word, many, -huge, np.arange(9_999.), word.encode(), {word: word}, nn.Linear(1, 1), object, (word,)*9

def check_sentence(said, ours=True):
    "Check that an error is short, and has our form if it is ours"
    assert len(said)<300, f'{len(said)} characters: {said[:400]}'
    if ours: assert said.isprintable() and re.search(r': expected .*, got ', said), said

def is_ours(e):
    "Was it raised by the package, and not by Python, numpy or torch?"
    at = traceback.extract_tb(e.__traceback__)[-1]
    return 'xceptiontime' in at.filename and re.search(r'(^|: )(raise\b|(source\.)?fail\()', at.line) is not None

def answers(call):
    "Check the errors and warnings of `call`; returns their number"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('always', UserWarning)
        try: call()
        except Exception as e: errors = [e]
        else: errors = []
    said = [str(w.message) for w in told if w.category is UserWarning]
    for s in said: check_sentence(s, ours=False)
    for e in errors: check_sentence(str(e), is_ours(e))
    return len(said) + sum(map(is_ours, errors))

@pytest.fixture(scope='module')
def learn(): return learner()

def ask(call, *names):
    "Try each of `VALUES` for each argument; at least one gives an error or warning"
    for name in names:
        assert sum(answers(lambda: call(**{name: v})) for v in VALUES), name

def test_series():
    ask(check_series, 'X')
    ask(lambda **kw: check_channels(**{**dict(channels='x', c_in=3), **kw}), 'channels')
    for cut in (crop_series, resample_series):
        ask(lambda **kw: cut(**{**dict(X=ragged, length=9), **kw}), 'X', 'length')
    assert answers(lambda: check_series([1, None, huge]))==0 # infinity is checked later
    ask(lambda **kw: crop_series(ragged, 9, **kw), 'where')
    ask(Preprocess, 'missing', 'scale', 'mu', 'c_in', 'resample', 'crop', 'length_channel')
    assert answers(lambda: Preprocess(resample=huge, crop=huge))
    assert answers(lambda: Preprocess().fit(np.ones((2,9_999,3), np.float32)))

@pytest.mark.slow
def test_tasks():
    ask(lambda **kw: infer_task(**{**dict(y=classes), **kw}),
        'y', 'task', 'vocab', 'target_names', 'units')
    ask(lambda **kw: Regression(**{**dict(mean=0., std=1.), **kw}),
        'mean', 'std', 'target_names', 'units', 'conformal')
    ask(lambda **kw: Classification(**{**dict(vocab=['a','b']), **kw}),
        'vocab', 'temperature', 'conformal')
    ask(lambda **kw: MultiLabel(**{**dict(vocab=['a','b']), **kw}),
        'vocab', 'temperature', 'conformal')
    for task in (Classification(many), MultiLabel(many), MultiLabel(many, lists=True), Regression(0., 1.)):
        ask(task.encode, 'y')
        assert answers(lambda: task.encode([word]))
    answers(lambda: infer_task(many))
    assert answers(lambda: infer_task([[*many[:9], 1]]*3))
    ask(lambda **kw: conformal_table(**{**dict(scores=[1.,2.]), **kw}), 'scores', 'groups', 'keep')
    ask(lambda **kw: conformal_tables(Classification(['a','b']), torch.zeros(2, 2), [0,1], **kw),
        'groups')

ARGUMENTS = '''X y splits groups task vocab target_names units weights missing scale mu resample crop channels rate
    bs valid_bs'''.split()

@pytest.mark.slow
def test_loaders():
    ask(lambda **kw: TSDataLoaders.from_arrays(**{**dict(X=X, y=classes, splits=splits, device='cpu'), **kw}),
        *ARGUMENTS)
    assert answers(lambda: TSDataLoaders.from_arrays(X, classes, splits, weights={word: 1.}))
    assert answers(lambda: TSDataLoaders.from_arrays(X, [*many[:23], None], splits))
    ask(lambda **kw: get_ts_dls(**{**dict(X=X, y=classes, splits=splits, device='cpu'), **kw}),
        'sel_vars', 'sel_steps', 'tfms', 'inplace', 'bs')
    recordings = dict(recordings=list(X), labels=classes, length=20, device='cpu')
    ask(lambda **kw: TSDataLoaders.from_recordings(**{**recordings, **kw}),
        'recordings', 'labels', 'length', 'step',
        'splits', 'groups', 'valid_groups', 'test_groups', 'label', 'pad', 'rate')
    for name in ('Jitter','Scaling','MagnitudeWarp','ChannelDropout','TimeShift','TimeWarp','TimeCrop','TimeMask'):
        ask(getattr(augment, name), 'p')
    for name in ('TSMixUp','TSCutMix'): ask(getattr(augment, name), 'alpha')

def test_networks():
    for arch in (XceptionTime, InceptionTime):
        ask(lambda **kw: arch(**{**dict(c_in=2, c_out=3, nf=1), **kw}), 'nf', 'nb_filters', 'ks')
        ask(lambda **kw: arch(2, 3, nf=1).reset_head(**{**dict(c_out=2), **kw}), 'head')
        ask(arch(2, 3, nf=1), 'x')
        ask(lambda **kw: arch(2, 3, nf=1)(torch.zeros(2,2,9), **kw), 'lengths')
    ask(lambda **kw: XceptionTime(2, 3, nf=1, **kw), 'head', 'custom_head')

def test_learners(learn, tmp_path):
    dls = learn.dls
    for v in VALUES: assert answers(lambda: ts_learner(v))
    ask(lambda **kw: ts_learner(dls, nf=1, **kw),
        'arch', 'loss_func', 'metrics', 'splitter', 'head', 'model', word)
    learn.save_pretrained(tmp_path/'m')
    ask(lambda **kw: ts_learner(dls, pretrained=tmp_path/'m', **kw), 'arch', 'nf', 'head')
    ask(lambda **kw: learn.get_X_preds(**{**dict(X=X[:3]), **kw}), 'X', 'y', 'bs')
    ask(lambda **kw: learn.predict(**kw), 'item')
    ask(lambda **kw: learn.tta(**kw), 'n')
    ask(lambda **kw: learn.series_of(**kw), 'dl')
    ask(get_recipe, 'recipe', 'bs', 'epochs', 'min_steps', 'lr', 'wd', 'schedule', 'smoothing', word)
    for kind in (XceptionTimeClassifier, XceptionTimeRegressor):
        ask(lambda **kw: kind(epochs=1, nf=1, **kw).fit(X, classes), 'missing', 'scale', 'n_estimators', 'ks')

def test_explanations(learn):
    ask(lambda **kw: attribute(learn, X[:1], **kw),
        'method', 'target', 'baseline', 'window', 'step', 'bs')
    ask(lambda **kw: attribute(learn, X[:1], 'grad_cam', **kw), 'layer', 'window')
    ask(lambda **kw: plot_attribution(X[:1], X[:1], **kw), 'names', 'max_n')
    ask(lambda **kw: permutation_importance(learn, **kw),
        'over', 'metric', 'channels', 'spans', 'names', 'confidence')
    ask(lambda **kw: Novelty(learn, **kw), 'k')
    ask(lambda **kw: calibration_error(**{**dict(probs=np.full((2,2), .5), y=[0,1]), **kw}),
        'probs', 'y', 'bins')
    ask(lambda **kw: learn.calibrate_sets(**kw), 'groups', 'dl')
    ask(lambda **kw: plot_top_losses(learn, **kw), 'k')
    of_two = learner(y=two_labels*1.5)
    ask(lambda **kw: plot_embedding(of_two, **kw), 'output')

def test_in_use(learn, tmp_path):
    p = learn.predictor()
    ask(lambda **kw: Predictor(p.model, p.task, p.preprocess, **kw), 'channels', 'rate')
    ask(lambda **kw: p.predict(**{**dict(X=X[:1]), **kw}), 'X', 'bs')
    ask(lambda **kw: StreamingPredictor(**{**dict(predictor=p, window=40), **kw}),
        'window', 'hop', 'rate', 'smooth',
        'last', 'bs')
    ask(lambda **kw: StreamingPredictor(p, 40).push(**kw), 'chunk')
    for v in VALUES: answers(lambda: Predictor.of(v))
    long = tmp_path.joinpath(*['n'*200]*9)
    ask(lambda **kw: model_folder(**{**dict(folder=long), **kw}), 'folder', 'revision')
    assert answers(lambda: model_folder(long, word))
    assert answers(lambda: export_program(p, long/'model'))
    ask(lambda **kw: export_onnx(p, tmp_path/'a.onnx', **kw), 'channels')
    for write in (whole_file(long/'a'), whole_file(long.parent)):
        def enter():
            with write: pass
        assert answers(enter)
    long.mkdir(parents=True)
    (long/'file').write_text('')
    def enter():
        with whole_folder(long/'file'): pass
    assert answers(enter)

def test_benchmarks(tmp_path):
    import pandas as pd
    for v in (word, huge, object): assert answers(lambda: run_benchmark(v, tmp_path))
    ask(lambda **kw: run_benchmark(['Coffee'], tmp_path, **kw),
        'archs', 'recipes', 'seeds', 'address')
    assert answers(lambda: run_benchmark(['Coffee'], tmp_path, backend=word))
    assert answers(lambda: read_rows(tmp_path.joinpath(*['n'*200]*9)))
    ours,theirs = pd.Series([.5], index=[word]),pd.Series([.5], index=['b'], name=word)
    assert answers(lambda: compare(ours, theirs))
    assert answers(lambda: compare(word, theirs))
    rows = pd.DataFrame(dict(set=['a'], seed=[0], arch=['X'], recipe=[word], accuracy=[.5], nll=[1.], seconds=[1.]))
    assert answers(lambda: ablation(rows, many[0]))
    assert answers(lambda: ablation(rows, word))
    assert answers(lambda: mean_ranks(pd.DataFrame({word: [1.]})))
