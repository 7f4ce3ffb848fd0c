"New series for a trained model: columns are found by name, and numbers that float32 merges are refused"
from pathlib import Path
import numpy as np, pandas as pd
import pytest
import small
from small import close
from xceptiontime.cli import main
from xceptiontime.data.blocks import get_ts_dls
from xceptiontime.data.windows import sliding_windows
from xceptiontime.explain.attribution import attribute
from xceptiontime.runtime.stream import StreamingPredictor
from xceptiontime.train.estimator import XceptionTimeClassifier

X = small.X
def frames(*names): return [pd.DataFrame(x.T, columns=['emg','acc'])[list(names)] for x in X]
named,turned = frames('emg','acc'),frames('acc','emg')
other = [f.rename(columns={'acc':'gyr'}) for f in named]
nested = pd.DataFrame({k: [np.asarray(f[k]) for f in named] for k in ('acc','emg')}) # a cell holds a series

@pytest.fixture(scope='module')
def learn(): return small.learner(named)

def doors(learn):
    p = learn.predictor()
    yield lambda X: p.predict_proba(X)
    yield lambda X: learn.get_X_preds(X)[0].numpy()
    yield lambda X: learn.get_preds(dl=learn.dls.test_dl(X))[0].numpy()
    yield lambda X: learn.get_X_preds(X, with_input=True)[0].numpy()
    yield lambda X: attribute(p, X, 'occlusion')

@pytest.mark.slow
def test_columns_by_name(learn):
    assert learn.dls.channels==['emg','acc']
    for door in doors(learn):
        want = door(X)
        for given in (named, turned, nested, [*turned[:12], *named[12:]]): close(door(given), want, 1e-6)
        with pytest.raises(ValueError, match="X.*'emg', 'acc' as in the model, got 'emg', 'gyr'"):
            door(other)
        with pytest.raises(ValueError, match="as in the model, got 'emg', 'acc', 't'"):
            door([f.assign(t=1) for f in named])
        with pytest.raises(ValueError, match=r'got a DataFrame with .* \[X\] is one series'):
            door(turned[0])
    close(learn.predict(turned[0])[2], learn.predict(X[0])[2], 1e-6)
    unnamed = [pd.DataFrame(x.T) for x in X]
    close(learn.get_X_preds(unnamed)[0], learn.get_X_preds(X)[0], 0) # the container has no channel names

def test_columns_of_a_stream(learn):
    p = learn.predictor()
    a,b = (StreamingPredictor(p, 20).push(f) for f in (named[0], turned[0]))
    close(np.stack([o.probs for o in a]), np.stack([o.probs for o in b]), 0)
    with pytest.raises(ValueError, match="chunk.*as in the model, got 'emg', 'gyr'"):
        StreamingPredictor(p, 20).push(other[0])

def test_columns_of_an_estimator():
    clf = XceptionTimeClassifier(epochs=1, nf=1, ks=4, random_state=0).fit(named, small.classes)
    assert clf.predictor_.channels==['emg','acc']
    close(clf.predict_proba(turned), clf.predict_proba(named), 0)
    with pytest.raises(ValueError, match="as in the model, got 'emg', 'gyr'"): clf.predict(other)
    clf.fit(X, small.classes)
    assert clf.predictor_.channels is None
    want = clf.predict_proba(X[:,::-1])
    close(clf.predict_proba(turned), want, 0) # without names, columns keep their order
    assert np.abs(want-clf.predict_proba(X)).max()>1e-3

@pytest.mark.parametrize('kind', ['long.csv','long.parquet','nested.parquet'])
def test_columns_of_the_command(learn, kind, tmp_path, capsys):
    learn.save_pretrained(tmp_path/'m')
    def written(frames, name):
        df = pd.concat([f.assign(who=i) for i,f in enumerate(frames)])
        if kind.startswith('nested'):
            df = pd.DataFrame({k: [np.asarray(f[k]) for f in frames] for k in frames[0].columns})
        path = tmp_path/f'{name}.{kind.split(".")[1]}'
        df.to_csv(path, index=False) if kind.endswith('csv') else df.to_parquet(path)
        return str(path)
    how = ['--id','who'] if kind.startswith('long') else []
    def answers(path):
        assert main(['predict', str(tmp_path/'m'), path, *how])==0
        return [l.split(',')[-3:] for l in capsys.readouterr().out.splitlines()[1:]]
    want = learn.get_X_preds(X)[0].numpy()
    for given in (named, turned): close(np.array(answers(written(given, 'a')), float), want, 1e-5)
    path = written(other, 'b')
    assert main(['predict', str(tmp_path/'m'), path, *how])==2
    said = f"{path}: expected the channels 'emg', 'acc' as in the model, got 'emg', 'gyr'"
    if how: said = f"--columns: expected one of the columns 'emg', 'gyr', 'who' of '{Path(path).name}', got 'acc'"
    assert capsys.readouterr().err==f'xceptiontime predict: {said}\n'

def test_a_row_a_step_without_id(learn, tmp_path, capsys):
    learn.save_pretrained(tmp_path/'m')
    turned[0].to_csv(tmp_path/'one.csv', index=False)
    assert main(['predict', str(tmp_path/'m'), str(tmp_path/'one.csv')])==2
    assert "--id: expected the column that names the series, as" in capsys.readouterr().err

position = 473977420+np.arange(24*2*40).reshape(24,2,40)%60
merged = r'expected values that float32 can tell apart \(.*\), got 473977420 and 473977421, both'

ragged = [x[:,:30+i] for i,x in enumerate(position[:9])]

@pytest.mark.parametrize('X', [position, position.astype(float), list(position), ragged, position.astype(object)],
                         ids=['int','float','list','ragged','objects'])
def test_merged_numbers(learn, X):
    p = learn.predictor()
    for f in (p.predict, learn.get_X_preds, learn.dls.test_dl, lambda X: attribute(p, X, 'occlusion')):
        with pytest.raises(ValueError, match='X: '+merged): f(X)
    with pytest.raises(ValueError, match='chunk: '+merged): StreamingPredictor(p, 20).push(X[0])
    with pytest.raises(ValueError, match='X: '+merged): learn.predict(X[0])
    if len(X)==24:
        with pytest.raises(ValueError, match='X: '+merged): get_ts_dls(X, small.classes, small.splits)

def test_merged_numbers_in_an_estimator():
    clf = XceptionTimeClassifier(epochs=1, nf=1, ks=4, random_state=0)
    for given in (position, position[:,0], pd.DataFrame(position[:,0])):
        with pytest.raises(ValueError, match='X: '+merged): clf.fit(given, small.classes)
    clf.fit(X[:,0], small.classes)
    with pytest.raises(ValueError, match='X: '+merged): clf.predict(position[:,0])

@pytest.mark.parametrize('scale', ['channel','robust','minmax',None])
def test_a_quiet_series_is_no_fault(scale):
    "The differences that float32 loses are small beside the variation of the channel in training"
    rng = np.random.default_rng(0)
    pressure = 101325+rng.normal(size=(24,1,40))*500
    quiet = 101325+rng.normal(size=(1,1,40))*.01
    learn = small.learner(pressure, scale=scale)
    probs = learn.get_X_preds(quiet)[0]
    assert probs.shape==(1,3) and probs.isfinite().all()
    close(probs, learn.get_X_preds(quiet.astype(np.float32))[0], 1e-6)
    with pytest.raises(ValueError, match='float32 can tell apart'): small.learner(np.repeat(quiet, 24, 0))

def test_lazy_windows_are_answered(learn):
    "A batch at a time, with the same predictions"
    recs = [np.random.default_rng(i).normal(size=(2,90)) for i in range(3)]
    p = learn.predictor()
    W,A = (sliding_windows(recs, 30, 7, lazy=lazy)[0] for lazy in (True, False))
    close(p.predict_proba(W), p.predict_proba(A), 1e-6)
    close(learn.get_X_preds(W, with_input=True)[0], A, 0)
