"Scores that are NaN or infinite: each way to predict raises an error that names the series"
import json, math
from copy import copy
import numpy as np, pytest, torch
from xceptiontime.cli import main
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.conformal import conformal_tables
from xceptiontime.processing.regression import Regression
from xceptiontime.processing.tasks import Classification, MultiLabel
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.stream import StreamingPredictor

rng = np.random.default_rng(0)
X = rng.normal(size=(5,1,20)).astype(np.float32)
HUGE = X.copy()
HUGE[3] = np.float32(3e38)*np.where(np.arange(20)%2, 1, -1) # finite, and too large for any network
WORDS = ('X: expected series with finite outputs of the network, got (nan|-?inf) '
         'for series 3 with values from -3e.38 to 3e.38')
TASKS = [Classification(['cafe','tea']), MultiLabel(['cafe','tea'], lists=True), Regression([1.,2.], [1.,3.])]

def make(task):
    torch.manual_seed(0)
    task = copy(task)
    task.conformal = conformal_tables(task, torch.randn(40, 2), task.encode(TARGETS[task.name]))
    return Predictor(XceptionTime(1, 2, nf=1, head='linear').eval(), task, Preprocess().fit(X))

TARGETS = dict(classification=['cafe','tea']*20, multilabel=[['cafe'],['tea']]*20, regression=rng.normal(size=(40,2)))

@pytest.mark.parametrize('task', TASKS, ids=lambda t: t.name)
def test_predictor(task):
    p = make(task)
    asks = [p.scores, p.predict, p.predict_set, p.features]
    if task.name!='regression': asks.append(p.predict_proba)
    for ask in asks:
        ask(X)
        for bs in (1,2,64):
            with pytest.raises(ValueError, match=WORDS): ask(HUGE, bs=bs)
    ragged = [HUGE[3], X[0,:,:7], X[1]] # the longest is computed last
    with pytest.raises(ValueError, match='for series 0 with values from -3e.38'): p.scores(ragged)

def test_weights_that_no_one_checked():
    "A network made in Python"
    p = make(TASKS[0])
    p.model.head[3].bias.data[0] = float('nan')
    with pytest.raises(ValueError, match='got nan for series 0 with values from'): p.predict(X)
    assert p.predict(X[:0]).shape==(0,)

def test_stream():
    "The error names the position in the stream, which is unchanged"
    s = StreamingPredictor(make(TASKS[0]), 5, 5, bs=2)
    signal = np.concatenate([X[0], X[1]], 1) # (1, 40)
    signal[0,26:30] = HUGE[3,0,:4]
    assert len(s.push(signal[:,:25]))==5
    want = ('chunk: expected samples .* finite outputs of the network, got (nan|-?inf) '
            'for the window from sample 25 of the stream')
    for stop in (30,40):
        with pytest.raises(ValueError, match=want): s.push(signal[:,25:stop])
    assert s.n==25 and len(s.push(X[2,:,:5]))==1

def test_estimators():
    from xceptiontime.train.estimator import XceptionTimeClassifier, XceptionTimeRegressor
    y = np.arange(5)%2
    for kind,ask in ((XceptionTimeClassifier,'predict'), (XceptionTimeClassifier,'predict_proba'),
                     (XceptionTimeRegressor,'predict')):
        e = kind(epochs=1, nf=1, n_estimators=2, random_state=0).fit(X, y)
        with pytest.raises(ValueError, match=WORDS): getattr(e, ask)(HUGE)

def test_learner():
    from xceptiontime.data.loaders import TSDataLoaders
    from xceptiontime.train.learner import ts_learner
    learn = ts_learner(TSDataLoaders.from_arrays(X, ['a','b','a','b','a'], ([0,1],[2,3,4]), device='cpu'), nf=1)
    for ask in (learn.get_X_preds, lambda X: learn.predict(X[3])):
        with pytest.raises(ValueError, match='finite outputs of the network, got'): ask(HUGE)

def test_command(tmp_path, capsys):
    make(TASKS[0]).save_pretrained(tmp_path/'m')
    np.savez(tmp_path/'a.npz', X=HUGE)
    assert main(['predict', str(tmp_path/'m'), str(tmp_path/'a.npz'), '--out', str(tmp_path/'a.csv')])==2
    assert 'for series 3 with values from' in capsys.readouterr().err and not (tmp_path/'a.csv').exists()

# temperatures out of range

def edited(tmp_path, predictor, **task):
    "A model folder with other settings of its task"
    file = predictor.save_pretrained(tmp_path/'m')/'config.json'
    config = json.loads(file.read_text())
    config['task'].update(task)
    file.write_text(json.dumps(config))
    return file.parent

@pytest.mark.parametrize('t', [1e-45,1e-12,1e12,1e300])
@pytest.mark.parametrize('task', TASKS[:2], ids=lambda t: t.name)
def test_temperatures(tmp_path, task, t):
    p = make(task)
    with pytest.raises(ValueError, match='temperature: expected a number from 1e-09 to 1e.09, as calibration may find'):
        Predictor.from_pretrained(edited(tmp_path, p, temperature=t))
    with pytest.raises(ValueError, match='temperature: expected'): p.task.temperature = t
    p.task._temperature = t # without the check of the setter: neither saved nor used
    good = (tmp_path/'m'/'config.json').read_bytes()
    with pytest.raises(ValueError, match='config.json: .*temperature: expected'): p.save_pretrained(tmp_path/'m')
    assert (tmp_path/'m'/'config.json').read_bytes()==good

def test_infinite_temperatures(tmp_path):
    with pytest.raises(ValueError, match='temperature: expected a number above 0'): TASKS[0].temperature = math.inf
    folder = edited(tmp_path, make(TASKS[0]), temperature=math.inf)
    with pytest.raises(ValueError, match='Infinity is no number'): Predictor.from_pretrained(folder)

def test_scores_too_large_for_the_temperature():
    "The scores are finite, but not their quotient"
    p = make(Classification(['cafe','tea'], temperature=1e-9))
    assert p.predict_proba(X).shape==(5,2)
    p.model.head[3].bias.data[0] = 1e32
    with pytest.raises(ValueError, match='finite outputs of the network, got nan for series 0'): p.predict_proba(X)

@pytest.mark.parametrize('stats', [dict(mean=[1e60,0.]), dict(std=[1e60,1.]), dict(std=[1e-60,1.])])
def test_statistics_of_targets(tmp_path, stats):
    with pytest.raises(ValueError, match='std: expected finite means and positive deviations'):
        Predictor.from_pretrained(edited(tmp_path, make(TASKS[2]), **stats))

def test_values_too_large():
    p = make(TASKS[2])
    p.task = Regression([0.,0.], [3e38,1.])
    p.model.head[3].bias.data[0] = 100.
    with pytest.raises(ValueError, match='finite outputs of the network, got inf for series 0'): p.predict(X)
