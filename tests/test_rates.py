"Recordings with another rate than the model: refused, or resampled on request, everywhere"
import csv, warnings
import numpy as np
import pandas as pd
import pytest
from scipy import signal
from small import call
from xceptiontime.bench.groups import leave_groups_out
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.recordings import join_recordings, read_recordings
from xceptiontime.data.windows import Recordings, sliding_windows
from xceptiontime.processing.filters import Filters, resample_recording
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.runtime.stream import StreamingPredictor
from xceptiontime.train.learner import ts_learner

rng = np.random.default_rng(0)
fast = [500+rng.normal(size=(2,1500+300*i)).cumsum(1) for i in range(4)] # (channels, time) of 1,000 Hz
slow = [signal.resample_poly(x, 1, 5, axis=1,
                             padtype='edge').astype(np.float32) for x in fast] # of 200 Hz, by hand
labels = ['sit','walk']*2
filters = Filters(notch=50, band=(5,80), rate=200)
said = ('rate: expected 200 Hz, as in training, got 1000; to_rate=200 of predict_recordings and sliding_windows '
        'resamples recordings')

def load(recordings, **kwargs):
    how = dict(valid_groups=[3], device='cpu', bs=16, seed=0)
    return TSDataLoaders.from_recordings(recordings, labels, .2, .1, **how, **kwargs)

@pytest.fixture(scope='module', params=[None,filters])
def learn(request):
    learn = ts_learner(load(slow, rate=200, filters=request.param), nf=2, seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    return learn

@pytest.mark.parametrize('filters', [None,filters])
def test_loaders(filters):
    want,dls = (load(x, rate=r, to_rate=t, filters=filters) for x,r,t in ((slow,200,None),
                                                                          (fast,1000,200)))
    assert dls.rate==200 and dls.train_ds.X.shape==want.train_ds.X.shape
    np.testing.assert_allclose(dls.train_ds.X[:], want.train_ds.X[:], atol=2e-3)
    known = load(Recordings(fast, rate=1000), to_rate=200, rate=1000, filters=filters)
    np.testing.assert_array_equal(known.train_ds.X[:], dls.train_ds.X[:])

@pytest.mark.parametrize('rate,to_rate', [(1000,200), (50,125), (51.2,50), (1000,999.9)])
def test_any_ratio(rate, to_rate):
    x = fast[0]
    n = resample_recording(x, rate, to_rate).shape[1]
    assert abs(n-x.shape[1]*to_rate/rate)<=1
    t,new = np.arange(x.shape[1])/rate,np.arange(n)/to_rate
    tone = np.sin(2*np.pi*t*min(rate, to_rate)/20)
    got = resample_recording(tone[None], rate, to_rate)[0]
    middle = slice(n//5, -n//5)
    np.testing.assert_allclose(got[middle], np.sin(2*np.pi*new*min(rate, to_rate)/20)[middle],
                               atol=.02)

def test_labels_of_samples_go_along():
    rest = [np.array(['rest']*1000+['fist']*(x.shape[1]-1000)) for x in fast]
    _,y,_,(_,start,stop) = sliding_windows(fast, .2, .1, rest, rate=1000, to_rate=200,
                                           with_spans=True, label='last')
    np.testing.assert_array_equal(y, np.where(stop>200, 'fist', 'rest'))
    angle = [np.arange(x.shape[1])/1000 for x in fast]
    _,y,_,(_,_,stop) = sliding_windows(fast, .2, .1, angle, rate=1000, to_rate=200,
                                       with_spans=True, label='last')
    np.testing.assert_allclose(y, (stop-1)/200)

def test_padding_is_cut_off_before():
    padded = np.pad(fast[0], ((0,0),(0,77)), constant_values=np.nan)
    a,b = (sliding_windows(Recordings([x], rate=1000), 40, to_rate=200)[0] for x in (fast[0],
                                                                                     padded))
    np.testing.assert_array_equal(a, b)

def test_predict_recordings(learn):
    p = learn.predictor()
    want = p.predict_recordings(slow, .2, .1, rate=200)
    got = p.predict_recordings(Recordings(fast, rate=1000), .2, .1, rate=1000, to_rate=200)
    for a,b in zip(want, got):
        np.testing.assert_allclose(a.probs, b.probs, atol=1e-3)
        assert [w[:2] for w in a.windows]==[w[:2] for w in b.windows]
    for ask in (dict(recordings=fast, length=.2, rate=1000),
                dict(recordings=Recordings(fast, rate=1000), length=40)):
        with pytest.raises(ValueError) as e: p.predict_recordings(**ask)
        assert str(e.value)==said
    with pytest.raises(ValueError, match='rate: expected 1000 Hz, as of the recordings, got 200; to_rate=200 resam'):
        p.predict_recordings(Recordings(fast, rate=1000), .2, rate=200)
    with pytest.warns(UserWarning, match='to_rate: expected at most the 100 Hz of the recordings, got 200; the record'):
        p.predict_recordings(fast, .2, rate=100, to_rate=200)

def test_windows_of_another_rate(learn):
    X = sliding_windows(fast, .2, rate=1000, lazy=True)[0]
    p = learn.predictor()
    for ask in (p.predict, p.predict_proba, p.scores, p.adapt, learn.get_X_preds,
                learn.dls.test_dl, learn.adapt):
        with pytest.raises(ValueError) as e: ask(X)
        assert str(e.value)==said
    X = sliding_windows(fast, .2, rate=1000, to_rate=200, filters=p.filters, lazy=True)[0]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        want = p.predict_proba(X)
        np.testing.assert_array_equal(want, learn.get_X_preds(X)[0])
    with pytest.raises(ValueError, match='rate: expected 200 Hz, at which the windows were cut, got 1000; to_rate='):
        TSDataLoaders.from_arrays(X, np.array(['a','b'])[np.arange(len(X))%2], rate=1000)

def test_stream(learn):
    with pytest.raises(ValueError) as e: StreamingPredictor(learn.predictor(), .2, rate=1000)
    assert str(e.value)==('rate: expected 200 Hz, as in training, got 1000; record at 200 Hz, as a stream cannot be '
                          'resampled; predict_recordings(.., to_rate=200) resamples recordings')

def test_rates_as_clocks_have_them(learn):
    "A rate within 1 % counts as the same, for models and files"
    p = learn.predictor()
    a,b = (p.predict_recordings(Recordings(slow, rate=r), .2,
                                rate=200)[0].probs for r in (200,199.2))
    np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match='rate: expected 197 Hz, as of the recordings, got 200'):
        p.predict_recordings(Recordings(slow, rate=197), .2, rate=200)

def test_leave_groups_out():
    kwargs = dict(epochs=1, nf=2, verbose=False, device='cpu')
    res = []
    for x,rate,to in ((slow,200,None), (fast,1000,200)):
        X,y,g = sliding_windows(x, .2, .1, labels, ['ann','ann','bob','bob'], rate=rate,
                                to_rate=to, lazy=True)
        res.append(leave_groups_out(X, y, g, **kwargs).probs)
    np.testing.assert_allclose(*res, atol=1e-2)

def test_two_files_of_one_rate():
    a = Recordings([np.zeros((1,5))], ids=np.array(['a']), rate=200)
    assert join_recordings(a, a._replace(rate=200.1)).rate==200
    with pytest.raises(ValueError, match='rate: expected 200 Hz, as in the first file, got 1000'):
        join_recordings(a, a._replace(rate=1000))

def test_command(learn, tmp_path, capsys):
    folder = str(learn.save_pretrained(tmp_path/'m'))
    table = pd.DataFrame(fast[0].T, columns=['a','b'])
    table.to_csv(tmp_path/'r.csv', index=False)
    table.assign(t=np.arange(len(table))/1000).to_csv(tmp_path/'t.csv', index=False)
    new,timed = str(tmp_path/'r.csv'),str(tmp_path/'t.csv')
    cut = '--length','.2','--step','.1','--rate',1000
    refused = 'rate: expected 200 Hz, as in training, got 1000; --to-rate 200 resamples'
    for args in ((new, *cut), (new, *cut, '--per-recording'), (timed, '--time','t', '--length',40)):
        assert call('predict', folder, *args)==2
        assert refused in capsys.readouterr().err
    assert call('predict', folder, timed, '--time','t', '--length','.2', '--rate',200)==2
    assert 'rate: expected 1000 Hz, as of the recordings, got 200' in capsys.readouterr().err
    want = learn.predictor().predict_recordings(slow[0], .2, .1, rate=200)[0]
    def rows(*args):
        assert call('predict', folder, *args)==0
        return list(csv.DictReader(capsys.readouterr().out.splitlines()))
    for args in ((new, *cut), (timed, '--time','t', *cut)):
        got = rows(*args, '--to-rate',200)
        assert [(float(r['start']),float(r['stop'])) for r in got]==[w[:2] for w in want.windows]
        np.testing.assert_allclose([float(r['prob_walk']) for r in got],
                                   [w.probs[1] for w in want.windows], atol=1e-3)
    got, = rows(new, *cut, '--to-rate',200, '--per-recording')
    np.testing.assert_allclose(float(got['prob_walk']), want.probs[1], atol=1e-3)
    assert call('predict', folder, new, '--to-rate',200)==2
    assert '--to-rate: expected with --length, got it alone' in capsys.readouterr().err

def test_command_trains_at_another_rate(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts = [pd.DataFrame(x.T, columns=['a','b']).assign(id=i, t=np.arange(x.shape[1])/1000)
             for i,x in enumerate(fast)]
    for df in parts: df['y'] = np.where(df.t*10//3%2, 'sit', 'walk') # .3 s for each label
    pd.concat(parts).to_csv('r.csv', index=False)
    how = 'r.csv','--label','y','--id','id','--time','t','--length','.2','--rate',1000,'--to-rate',200
    assert call('train', *how, '--epochs',1, '--nf',2, '--out','m')==0
    assert Predictor.from_pretrained('m').rate==200
    recs = read_recordings('r.csv', label='y', id='id', time='t')
    assert recs.rate==1000
    capsys.readouterr()
    assert call('evaluate', 'm', *how)==0
    assert 'accuracy' in capsys.readouterr().out
