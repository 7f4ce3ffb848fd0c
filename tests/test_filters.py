"Filters before windows are cut: the same numbers in loaders, folders, pickles, streams, the command"
import json, subprocess, sys, warnings
import numpy as np
import pandas as pd
import pytest
import torch
from fastai.learner import load_learner
from hypothesis import given, settings, strategies as st
from scipy import signal
from xceptiontime.cli import main
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.windows import sliding_windows
from xceptiontime.processing.filters import Filters
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.stream import StreamingPredictor
from xceptiontime.train.learner import ts_learner

rng = np.random.default_rng(0)
recordings = [1000+rng.normal(size=(2,300+20*i)).cumsum(1) for i in range(6)]
labels = ['sit','walk']*3
filters = Filters(notch=50, band=(5,80), rate=200)
ALL = [filters, Filters(rectify=True, rate=200), Filters(envelope=6, rate=200), Filters(band=(None,40), rate=200),
       Filters([50,60], (30,None), 2, True, 10, 200)]

def load(**kwargs):
    return TSDataLoaders.from_recordings(recordings, labels, valid_groups=[4,5], device='cpu', bs=16, seed=0,
                                         **{'filters': filters, 'length': 40, 'step': 20, **kwargs})

@pytest.fixture(scope='module')
def learn():
    learn = ts_learner(load(), nf=2, seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    return learn

@settings(deadline=None, max_examples=60)
@given(st.sampled_from(ALL), st.lists(st.integers(0,90), max_size=8), st.integers(1,3), st.sampled_from('fid'))
def test_any_chunks(filters, sizes, channels, kind):
    x = (rng.normal(size=(channels,120)).cumsum(1)*100).astype(kind) # (channels, time)
    state,ys = None,[]
    for chunk in np.split(x, np.minimum(np.cumsum(sizes), 120).astype(int), axis=1):
        y,state = filters.step(chunk, state)
        ys.append(y)
    np.testing.assert_array_equal(np.concatenate(ys, 1), filters(x))
    assert state.n==120

def test_values_of_each_stage():
    x = recordings[0]
    def run(sos, y): # channel by channel
        return np.stack([signal.sosfilt(sos, c, zi=signal.sosfilt_zi(sos)*c[0])[0] for c in y])
    y = x
    for f in (50,60): y = run(signal.tf2sos(*signal.iirnotch(f, 30, fs=200)), y)
    y = abs(run(signal.butter(2, 30, 'highpass', fs=200, output='sos'), y))
    y = run(signal.butter(2, 10, 'lowpass', fs=200, output='sos'), y)
    np.testing.assert_allclose(ALL[4](x), y, atol=1e-9)
    t = np.arange(4000)/200 # a tone at the notch is removed, one within the band stays
    hum,tone = np.sin(2*np.pi*50*t),np.sin(2*np.pi*20*t)
    assert abs(filters(hum)[2000:]).max()<1e-3 and abs(filters(tone)[2000:]).max()>.99

def test_loaders_cut_filtered_recordings():
    dls = load()
    assert dls.filters==filters and dls.rate==200 and 'filters' in dls.summary()
    assert load(filters=Filters(band=(5,80)), length=.2, step=.1, rate=200).filters.rate==200
    want = sliding_windows([filters(r) for r in recordings], 40, 20)[0]
    np.testing.assert_allclose(dls.train_ds.X[:], want, rtol=1e-6, atol=1e-6)
    raw = sliding_windows(recordings, 40, 20)[0]
    assert abs(raw-want).max()>500 # the filters change the signal
    df = pd.DataFrame(np.concatenate(recordings, 1).T, columns=['a','b'])
    df = df.assign(id=np.repeat(range(6), [r.shape[1] for r in recordings]))
    df['y'] = df.id%2
    of_table = TSDataLoaders.from_df(df, label='y', id='id', length=40, step=20, filters=filters, seed=0)
    np.testing.assert_allclose(of_table.train_ds.X[:], want, atol=3e-4)

@pytest.mark.parametrize('kwargs,error,words', [
    (dict(filters=Filters(notch=50)), ValueError, 'rate: expected the sampling rate of the recordings'),
    (dict(filters=Filters(band=(20,450)), rate=200, length=.2, step=.1), ValueError,
     'band: expected frequencies below 100 Hz, half of the 200 samples a second, got 450'),
    (dict(rate=100, length=.4, step=.2), ValueError, 'rate: expected 200 Hz, which the filters are made for, got 100'),
    (dict(filters='notch'), TypeError, 'filters: expected Filters such as Filters(notch=50, band=(20, 450)), got '),
])
def test_what_does_not_fit(kwargs, error, words):
    kwargs = {'length': 40, 'step': 20, **kwargs}
    with pytest.raises(error) as e: TSDataLoaders.from_recordings(recordings, labels, **{'filters': filters, **kwargs})
    assert str(e.value).startswith(words) and len(str(e.value))<300

def test_missing_value():
    gap = [r.copy() for r in recordings]
    gap[3][1,[70,75]] = np.nan
    with pytest.raises(ValueError) as e:
        TSDataLoaders.from_recordings(gap, labels, 40, filters=filters, missing='interpolate')
    assert str(e.value)==('recordings[3]: expected finite numbers where filters run, got 2 others, the first is nan in '
                          'channel 1 at sample 70; interpolate them, or cut the recording there')

def test_folder_and_pickle_keep_them(learn, tmp_path):
    folder = learn.save_pretrained(tmp_path/'m')
    config = json.loads((folder/'config.json').read_text())
    assert config['format']==3 and Filters(**config['filters'])==filters
    again = Predictor.from_pretrained(folder)
    assert again.filters==filters and again.facts()['filters']==str(filters)
    learn.export(tmp_path/'l.pkl')
    assert load_learner(tmp_path/'l.pkl').predictor().filters==filters
    plain = ts_learner(load(filters=None), nf=2).save_pretrained(tmp_path/'plain')
    config = json.loads((plain/'config.json').read_text())
    assert config['format']==1 and 'filters' not in config
    assert Predictor.from_pretrained(plain).filters is None

@pytest.mark.parametrize('hostile', [5, [], {'notch': 'x'}, {'notch': [1]*200}, {'order': 10**9, 'notch': 50}, {'q': 1},
    {'band': [80,5]}, {'band': [5]}, {'notch': 50, 'rate': -1}, {'notch': 50, 'rate': 10}, {}])
def test_hostile_folders(learn, tmp_path, hostile):
    folder = learn.save_pretrained(tmp_path/'m')
    config = json.loads((folder/'config.json').read_text())
    (folder/'config.json').write_text(json.dumps({**config, 'filters': hostile}))
    with pytest.raises(ValueError) as e: Predictor.from_pretrained(folder)
    assert 'config.json' in str(e.value) and len(str(e.value))<600

@pytest.mark.parametrize('cuts', [(), (7,7,100), range(0,340,13)])
def test_stream_is_the_filtered_recording(learn, tmp_path, cuts):
    predictor = Predictor.from_pretrained(learn.save_pretrained(tmp_path/'m'))
    stream = StreamingPredictor(predictor, 40, 20)
    got = [p.probs for chunk in np.split(recordings[2], cuts, axis=1) for p in stream.push(chunk)]
    X = sliding_windows(recordings[2], 40, 20, filters=filters, lazy=True)[0]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        np.testing.assert_allclose(got, predictor.predict_proba(X), atol=1e-6)
        np.testing.assert_allclose(learn.get_X_preds(X)[0], got, atol=1e-6)
        windows = predictor.predict_recordings(recordings[2], 40, 20)[0].windows
        np.testing.assert_allclose([p.probs for p in windows], got, atol=1e-6)
        learn.get_preds(dl=learn.dls.test_dl(X))

def test_windows_of_unknown_recordings(learn):
    raw = sliding_windows(recordings, 40, 20)[0]
    for ask in (learn.predictor().predict, learn.get_X_preds, learn.dls.test_dl):
        with pytest.warns(UserWarning, match='X: expected windows of recordings that went through'):
            ask(raw)
    other = sliding_windows(recordings, 40, 20, filters=Filters(notch=60, rate=200), lazy=True)[0]
    with pytest.raises(ValueError, match='filters: expected windows filtered as in training, by Filters'):
        learn.predictor().predict(other)
    with pytest.raises(ValueError, match='dl: expected series preprocessed as in training'):
        learn.series_of(load(filters=ALL[3]).valid)

def test_command(learn, tmp_path):
    folder = learn.save_pretrained(tmp_path/'m')
    pd.DataFrame(recordings[1].T, columns=['a','b']).to_csv(tmp_path/'r.csv', index=False)
    windows = '--length','40','--step','20','--out',str(tmp_path/'p.csv')
    main(['predict', str(folder), str(tmp_path/'r.csv'), *windows])
    X = sliding_windows(recordings[1], 40, 20, filters=filters, lazy=True)[0]
    got = pd.read_csv(tmp_path/'p.csv')[['prob_sit','prob_walk']].to_numpy()
    np.testing.assert_allclose(got, learn.predictor().predict_proba(X), atol=2e-6)

@pytest.mark.slow
def test_exported_file(learn, tmp_path):
    from xceptiontime.runtime.export import export_program
    with pytest.warns(UserWarning, match='filters: expected none in a file that takes windows'):
        path = export_program(learn, tmp_path/'m.pt2')
    extra = {'filters.json': ''}
    program = torch.export.load(path, extra_files=extra).module()
    assert Filters(**json.loads(extra['filters.json']))==filters
    X = sliding_windows(recordings[1], 40, 20, filters=filters, lazy=True)[0]
    want = learn.predictor().predict_proba(X)
    np.testing.assert_allclose(program(torch.from_numpy(X[:])), want, atol=1e-5)

@pytest.mark.parametrize('filters,has', [(filters,True), pytest.param(None, False, marks=pytest.mark.slow)])
def test_runtime_imports_scipy_only_where_there_are_filters(tmp_path, filters, has):
    folder = ts_learner(load(filters=filters), nf=2).save_pretrained(tmp_path/'m')
    code = ('import sys,numpy as np\nfrom xceptiontime.runtime import Predictor\n'
            'from xceptiontime.runtime.stream import StreamingPredictor\n'
            f's = StreamingPredictor(Predictor.from_pretrained({str(folder)!r}), 40)\nprint("scipy" in sys.modules)\n'
            's.push(np.ones((2,50)))\nprint(*(m in sys.modules for m in ("scipy","fastai","pandas")))')
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert run.stdout.split()==['False',str(has),'False','False']

def test_scipy_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'scipy.signal', None)
    with pytest.raises(ImportError, match=r"filters: expected scipy to be installed, got none; pip install 'xcept"):
        Filters(notch=50, rate=200)([1.,2.])

@pytest.mark.parametrize('one,sos', [
    (Filters(band=(None,40), rate=200), signal.butter(4, 40, 'lowpass', fs=200, output='sos')),
    (Filters(band=(10,None), order=6, rate=200), signal.butter(6, 10, 'highpass', fs=200, output='sos')),
    (Filters(envelope=6, rate=200), signal.butter(4, 6, 'lowpass', fs=200, output='sos')),
])
def test_values_of_one_stage_alone(one, sos):
    "All second-order sections; an envelope takes the absolute value by itself"
    x = recordings[1]-1000
    x = abs(x) if one.envelope else x
    want = [signal.sosfilt(sos, c, zi=signal.sosfilt_zi(sos)*c[0])[0] for c in x]
    np.testing.assert_allclose(one(recordings[1]-1000), want, atol=1e-9)

@pytest.mark.parametrize('filters', ALL)
def test_what_comes_later_changes_nothing_before(filters):
    x = recordings[0]
    later = np.concatenate([x[:,:150], -5*x[:,150:]], 1)
    np.testing.assert_array_equal(filters(later)[:,:150], filters(x)[:,:150])
    assert abs(filters(later)[:,150:]-filters(x)[:,150:]).max()>1 # the later change has an effect

def test_filters_begin_anew_after_a_gap(learn):
    p,x = learn.predictor(),recordings[2]
    stream = StreamingPredictor(p, 40, 20)
    stream.push(x[:,:50])
    stream.gap(10)
    want = p.predict_proba(sliding_windows(x[:,60:], 40, 20, filters=filters, lazy=True)[0])
    np.testing.assert_allclose([w.probs for w in stream.push(x[:,60:])], want, atol=1e-6)
