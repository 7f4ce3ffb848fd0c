"NaN in all channels at the end of a series is padding everywhere: predictions do not depend on its length"
import numpy as np, pandas as pd, torch
import pytest
from hypothesis import given, settings, strategies as st
import small
from searched import searched
from small import close
from xceptiontime.data.blocks import get_ts_dls
from xceptiontime.data.formats import read_series, write_ts
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.windows import sliding_windows
from xceptiontime.explain.attribution import attribute
from xceptiontime.processing.series import crop_series, resample_series
from xceptiontime.runtime.stream import StreamingPredictor
from xceptiontime.train.estimator import XceptionTimeClassifier
from xceptiontime.train.learner import ts_learner

def ragged(n=12, c=2, seed=0, gaps=False):
    "Series of unequal length; with `gaps`, some values are missing, also the last ones of one channel"
    rng = np.random.default_rng(seed)
    Xs = [rng.normal(size=(c,int(k))).astype(np.float32) for k in rng.integers(9, 21, n)]
    for x in Xs if gaps else ():
        x[rng.random(x.shape)<.2] = np.nan
        x[0,-3:] = np.nan
        x[-1,-1] = 1
    return Xs

def padded(Xs, steps):
    "Series as one array, with as many `steps` of NaN behind the longest"
    return small.padded(Xs, max(x.shape[1] for x in Xs)+steps)

y = np.array(['rest','fist']*6)
splits = np.arange(8), np.arange(8,12)
def made(c, **kwargs):
    learn = ts_learner(TSDataLoaders.from_arrays(ragged(c=c), y, splits, device='cpu', **kwargs), nf=2, seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    return learn
learners = {(c,m): made(c, missing=m) for c in (1,2) for m in ('raise','interpolate')}

def doors(A):
    "Padded series in each kind of container"
    yield from (A, A.astype(np.float64), torch.tensor(A), list(A), [pd.DataFrame(x.T) for x in A])
    yield np.ma.masked_invalid(A)
    yield [x[:,:x.shape[1]-i%3] if np.isnan(x[:,-2:]).all() else x for i,x in enumerate(A)] # some with less padding
    objects = np.empty(len(A), object)
    objects[:] = list(A)
    yield from (objects, pd.Series(list(A)))
    if A.shape[1]==1: yield from (A[:,0], pd.DataFrame(A[:,0]), A[:,0].tolist())

cases = st.tuples(st.integers(0, 40), st.sampled_from(list(learners)), st.integers(0, 99))

@searched(cases, quick=15, long=150)
def test_answers(case):
    steps,(c,missing),seed = case
    learn = learners[c,missing]
    predictor = learn.predictor()
    Xs = ragged(c=c, seed=seed, gaps=missing!='raise')
    want = np.concatenate([predictor.predict_proba([x]) for x in Xs]) # each alone
    A = padded(Xs, steps)
    for X in doors(A): close(predictor.predict_proba(X), want, 1e-5)
    close(learn.get_X_preds(A)[0].numpy(), want, 1e-5)
    close(learn.get_preds(dl=learn.dls.test_dl(A))[0].numpy(), want, 1e-5)
    for x,w in zip(A, want): close(learn.predict(x)[2].numpy(), w, 1e-5)
    inputs = learn.get_X_preds(A, with_input=True)[0]
    assert inputs.shape==(12, c, max(x.shape[1] for x in Xs)) and (inputs[0,:,Xs[0].shape[1]:]==0).all()

def written(A, folder):
    "Padded series in a file of each format: (path, arguments of its reader)"
    n,c,steps = A.shape
    np.savez(folder/'a.npz', X=A, y=y)
    yield folder/'a.npz',{}
    long = pd.DataFrame(A.transpose(0,2,1).reshape(-1, c), columns=[f'c{i}' for i in range(c)])
    long = long.assign(who=np.repeat([f's{i}' for i in range(n)], steps), label=np.repeat(y, steps))
    long.to_csv(folder/'long.csv', index=False)
    long.to_parquet(folder/'long.parquet')
    yield from ((folder/f'long.{o}', dict(id='who', label='label')) for o in ('csv','parquet'))
    head = f'@univariate {str(c==1).lower()}\n@equalLength true\n@classLabel true fist rest\n@data\n'
    def text(x): return ','.join('?' if np.isnan(o) else repr(float(o)) for o in x)
    lines = [':'.join(map(text, a))+f':{o}' for a,o in zip(A, y)]
    (folder/'a.ts').write_text(head+'\n'.join(lines))
    write_ts(folder/'b.ts', A, y)
    yield from ((folder/o, {}) for o in ('a.ts','b.ts'))
    if c>1: return
    wide = pd.DataFrame(A[:,0]).rename(columns=str).assign(label=y)
    wide.to_csv(folder/'wide.csv', index=False)
    wide.to_parquet(folder/'wide.parquet')
    yield from ((folder/f'wide.{o}', dict(label='label')) for o in ('csv','parquet'))
    tabs = (text(a[0]).replace(',', '\t').replace('?', 'NaN') for a in A)
    (folder/'a.tsv').write_text('\n'.join(f'{o}\t{t}' for t,o in zip(tabs, y)))
    names = ''.join(f'@attribute t{i} numeric\n' for i in range(steps))
    rows = '\n'.join(f'{text(a[0])},{o}' for a,o in zip(A, y))
    (folder/'a.arff').write_text(f'@relation r\n{names}@attribute l {{fist,rest}}\n@data\n{rows}')
    yield from ((folder/o, {}) for o in ('a.tsv','a.arff'))

@pytest.mark.parametrize('c', [1,2])
@pytest.mark.parametrize('steps', [0,7])
@pytest.mark.parametrize('gaps', [False,True])
def test_readers(c, steps, gaps, tmp_path):
    Xs = ragged(c=c, gaps=gaps)
    for path,how in written(padded(Xs, steps), tmp_path):
        X,labels = read_series(path, **how)
        assert isinstance(X, list) and labels.tolist()==y.tolist()
        for a,b in zip(X, Xs, strict=True): np.testing.assert_array_equal(a, b, err_msg=path.name)
    equal = padded([x[:,:9] for x in ragged(c=c)], steps)
    for path,how in written(equal, tmp_path):
        np.testing.assert_array_equal(read_series(path, **how)[0], equal[:,:,:9], err_msg=path.name)

def test_a_series_without_a_value(tmp_path):
    "Each function names the series by index or line; a series in no split is ignored"
    A = padded(ragged(c=1), 3)
    A[5] = np.nan
    for path,how in _broken(A, tmp_path):
        with pytest.raises(ValueError, match=f'{path.name}.*: expected a series with at least one value, got missing '
                                             'values only'): read_series(path, **how)
    learn = learners[1,'interpolate']
    told = 'X: expected a value in each series, got 1 of .* without any, .* series 5'
    for f in (learn.predictor().predict, learn.get_X_preds, learn.dls.test_dl,
              lambda X: TSDataLoaders.from_arrays(X, y, splits)):
        with pytest.raises(ValueError, match=told): f(A)
    with pytest.raises(ValueError, match=r'X\[5\]: expected a value at some step'): resample_series(A, 9)
    dls = TSDataLoaders.from_arrays(A, y, (np.arange(5), np.arange(6,12)))
    assert dls.len==max(x.shape[1] for i,x in enumerate(ragged(c=1)) if i!=5)

def _broken(A, folder):
    np.savez(folder/'a.npz', X=A, y=y)
    pd.DataFrame(A[:,0]).rename(columns=str).assign(label=y).to_csv(folder/'wide.csv', index=False)
    steps = A.shape[2]
    pd.DataFrame(dict(who=np.repeat(range(12), steps), x=A.ravel())).to_csv(folder/'long.csv', index=False)
    return (folder/'a.npz',{}), (folder/'wide.csv',dict(label='label')), (folder/'long.csv',dict(id='who'))

@pytest.mark.parametrize('scale', ['channel','sample','robust','minmax',None])
def test_training(scale):
    "Statistics, shapes and weights are those of the series without padding"
    Xs = ragged()
    def state(X):
        dls = TSDataLoaders.from_arrays(X, y, splits, device='cpu', scale=scale, seed=0)
        learn = ts_learner(dls, nf=2, seed=0)
        with learn.no_bar(), learn.no_logging(): learn.fit(1)
        return [dls.len, *dls.preprocess.buffers(), *learn.model.parameters()]
    want = state(Xs)
    for X in (padded(Xs, 0), padded(Xs, 25), list(padded(Xs, 3))):
        for a,b in zip(state(X), want, strict=True): assert a==b if isinstance(a, int) else torch.equal(a, b)

def test_other_doors():
    Xs,A = ragged(),padded(ragged(), 6)
    learn = learners[2,'raise']
    assert get_ts_dls(A, y, splits).train_ds.lengths.tolist()==[x.shape[1] for x in Xs]
    np.testing.assert_array_equal(resample_series(A, 30), resample_series(Xs, 30))
    np.testing.assert_array_equal(crop_series(A, 9, 'end'), crop_series(Xs, 9, 'end'))
    maps,alone = attribute(learn, A, n_steps=8),attribute(learn, Xs, n_steps=8)
    assert maps.shape==A.shape
    for a,b in zip(maps, alone):
        close(a[:,:b.shape[1]], b, 1e-5)
        assert not a[:,b.shape[1]:].any()
    clf = XceptionTimeClassifier(epochs=1, nf=1, ks=4, random_state=0).fit(A, y)
    close(clf.predict_proba(Xs), clf.predict_proba(A), 1e-5)
    table = padded(ragged(c=1), 2)[:,0]
    clf = XceptionTimeClassifier(epochs=1, nf=1, ks=4, random_state=0).fit(table, y)
    close(clf.predict_proba(ragged(c=1)), clf.predict_proba(table), 1e-5)

@settings(max_examples=20, deadline=None)
@given(st.integers(0,30), st.integers(0,99))
def test_recordings(steps, seed):
    "A recording ends with its last value; a gap within it is missing data, in a stream and in `Windows`"
    rng = np.random.default_rng(seed)
    rec = rng.normal(size=(2,60))
    rec[:,10:14],rec[0,-3:] = np.nan,np.nan
    labels = np.repeat(['a','b'], 30)
    long = np.pad(rec, ((0,0),(0,steps)), constant_values=np.nan)
    late = np.append(labels, ['c']*steps)
    want,got = (sliding_windows(r, 9, 4, labels=l, lazy=True) for r,l in ((rec, labels), (long, late)))
    np.testing.assert_array_equal(got[0][:], want[0][:])
    assert got[1].tolist()==want[1].tolist() and len(want[0])==13
    predictor = learners[2,'interpolate'].predictor()
    stream = StreamingPredictor(predictor, 9, 4).push(rec)
    close(np.stack([p.probs for p in stream]), predictor.predict_proba(got[0]), 1e-5)

def test_recordings_in_files(tmp_path):
    rec = np.random.default_rng(0).normal(size=(2,50)).astype(np.float32)
    np.save(tmp_path/'r.npy', np.pad(rec, ((0,0),(0,70000)), constant_values=np.nan))
    dls = TSDataLoaders.from_recordings([str(tmp_path/'r.npy'), rec, rec], list('aba'), 10,
                                        splits=([0,1,5,6], [10]), device='cpu')
    assert len(dls.train_ds.X)==15 and dls.train_ds.lengths is None

def test_the_rest_of_a_recording():
    "The last window, padded with NaN, is a shorter series, also if it is cut later"
    recs = [np.random.default_rng(i).normal(size=(2,23+i)).astype(np.float32) for i in range(4)]
    how = dict(length=10, labels=list('abab'), pad=np.nan)
    X,labels,_ = sliding_windows(recs, **how)
    lazy,*_ = sliding_windows(recs, **how, lazy=True)
    assert lazy.lengths.tolist()==[10,10,3,10,10,4,10,10,5,10,10,6]
    def made(X): return TSDataLoaders.from_arrays(X, labels, (np.arange(6), np.arange(6,12)), device='cpu', seed=0)
    a,b = made(X),made(lazy)
    for p,q in zip(a.preprocess.buffers(), b.preprocess.buffers()): assert torch.equal(p, q)
    for p,q in zip(a.valid.one_batch(), b.valid.one_batch(), strict=True): assert torch.equal(p, q)
    predictor = ts_learner(b, nf=2, seed=0).predictor()
    close(predictor.predict_proba(lazy), predictor.predict_proba(X), 1e-6)
