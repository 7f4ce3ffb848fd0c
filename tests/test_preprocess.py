"Preprocess against pandas, scikit-learn and numpy in float64, in training, and in the model folder"
import json, math, warnings
from importlib.util import find_spec
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from searched import searched
from xceptiontime.data.windows import crop_series, resample_series
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing import values as values_room
from xceptiontime.processing.preprocess import (MISSING, SCALES, STATS, Preprocess, cropped, fill_missing, mu_law,
                                                mu_law_inverse, resampled)
from xceptiontime.processing.series import check_series
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.processing.tasks import Classification

fills = MISSING[1:]

@st.composite
def ragged(draw, missing=True):
    "Series (samples, channels, length) with lengths, arbitrary values in the padding, and missing values"
    shape = n,_,steps = draw(st.tuples(st.integers(1,6), st.integers(1,3), st.integers(1,12)))
    X = draw(arrays(np.float32, shape, elements=st.floats(-1e4, 1e4, width=32)))
    lengths = draw(st.none() | arrays(np.int64, n, elements=st.integers(1,steps)))
    if missing: X[draw(arrays(bool, shape, elements=st.booleans()))] = np.nan
    valid = np.ones(shape, bool)
    if lengths is not None: valid &= np.arange(steps)<lengths[:,None,None]
    X[~valid] = draw(st.sampled_from([0., np.nan, np.inf, 1e30]))
    return X,lengths,valid

def fitted(X, lengths, *args, **kw):
    "A fitted Preprocess; None if the series cannot be fitted, which must raise an error"
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try: return Preprocess(*args, **kw).fit(X, lengths)
        except ValueError as e:
            assert 'expected a value in each series' in str(e) or 'expected values in every channel' in str(e)
            return None

def run(pre, X, lengths):
    return pre(torch.from_numpy(X), None if lengths is None else torch.from_numpy(lengths)).numpy()

def by_pandas(s, how, mean):
    "Fill one channel of one series with pandas"
    s = pd.Series(s, dtype='float64')
    if how=='ffill': s = s.ffill()
    if how=='interpolate': s = s.interpolate('linear', limit_direction='both')
    return s.fillna(mean).to_numpy()

def check_channel(got, x, seen, how, mean):
    "Check one channel of one series: filled as by pandas, other values unchanged"
    np.testing.assert_allclose(got, by_pandas(x, how, mean), rtol=1e-5, atol=2e-3)
    assert (got[seen]==x[seen]).all()

@searched(ragged(), st.sampled_from(fills))
def test_fill_is_pandas(data, how):
    X,lengths,valid = data
    seen = valid & ~np.isnan(X)
    pre = fitted(X, lengths, how, None)
    if pre is None:
        assert not seen.any((1,2)).all() or not seen.any((0,2)).all()
        return
    res,c = run(pre, X, lengths),X.shape[1]
    assert res.shape[1]==pre.c_out
    for i,j in np.ndindex(len(X), c):
        n = X.shape[2] if lengths is None else lengths[i]
        mean = X[:,j][seen[:,j]].astype(np.float64).mean()
        check_channel(res[i,j,:n], X[i,j,:n], seen[i,j,:n], how, mean)
        assert (res[i,j,n:]==0).all()
        if how=='mask': np.testing.assert_array_equal(res[i,c+j], seen[i,j])

@searched(ragged(), st.sampled_from(fills), st.sampled_from(SCALES), st.sampled_from([None,255]))
def test_alone_or_padded(data, how, scale, mu):
    "A series in a padded batch gets the values that it gets alone, without NaN"
    X,lengths,_ = data
    pre = fitted(X, lengths, how, scale, mu)
    if pre is None or lengths is None: return
    res = run(pre, X, lengths)
    assert np.isfinite(res).all()
    for i,n in enumerate(lengths):
        np.testing.assert_allclose(res[i:i+1,:,:n], run(pre, X[i:i+1,:,:n], None), rtol=1e-4, atol=1e-4)

def in_blocks(monkeypatch, values):
    "Process this number of values at a time"
    monkeypatch.setattr(values_room, '_block', values)

scalers = dict(channel=(StandardScaler, 'mean_', 'scale_'), robust=(RobustScaler, 'center_', 'scale_'),
               minmax=(MinMaxScaler, 'data_min_', 'data_range_'))

def by_sklearn(v, scale):
    "Center and spread of a channel, by scikit-learn"
    cls,center,spread = scalers[scale]
    s = cls().fit(v[:,None])
    center,spread = (getattr(s, o)[0] for o in (center,spread))
    if scale=='robust':
        iqr = np.subtract(*np.percentile(v, [75,25]))
        if iqr<10*np.finfo(float).eps: spread = iqr # which scikit-learn treats as 0, and divides by 1
    return center,spread

tiny = np.array([[[1.5e-22,0]]], np.float32), None, np.ones((1,1,2), bool)
@searched(ragged(), st.sampled_from(list(scalers)), st.integers(1,40), first=[(tiny,'robust',1)])
def test_statistics_are_sklearns(data, scale, block):
    "Over the values that are not missing, with any block size"
    X,lengths,valid = data
    with pytest.MonkeyPatch.context() as m:
        in_blocks(m, block)
        pre = fitted(X, lengths, 'mean', scale)
    if pre is None: return
    seen = valid & ~np.isnan(X)
    center,spread = (getattr(pre, o) for o in STATS[scale])
    for j in range(X.shape[1]):
        v = X[:,j][seen[:,j]].astype(np.float64)
        want,size = by_sklearn(v, scale),np.abs(v).max()
        np.testing.assert_allclose(center[j], want[0], rtol=1e-6, atol=1e-6*size+1e-38)
        if want[1]>1e-6*size+1e-37:
            np.testing.assert_allclose(spread[j], want[1], rtol=1e-6 if want[1]>1e-3*size else 1e-3)

@pytest.mark.parametrize('scale', ['channel','robust','minmax'])
@pytest.mark.parametrize('mu', [None,2048])
def test_statistics_at_size(scale, mu, monkeypatch):
    "Within 1e-6 of numpy's float64, the same for any block size, NaN left out"
    rng = np.random.default_rng(1)
    size,level = [[1],[1e-6],[300],[1e3]],[[0],[1e-5],[-2e3],[1e6]]
    X = (rng.standard_t(3, size=(300,4,50))*size + level).astype(np.float32)
    X[rng.random(X.shape)<.1] = np.nan
    res = []
    for block in (1000,12345,2**20):
        in_blocks(monkeypatch, block)
        pre = Preprocess('mean', scale, mu).fit(X)
        res.append([getattr(pre, n).double().numpy() for n in STATS[scale]])
    for other in res[1:]: np.testing.assert_allclose(other, res[0], rtol=2e-7)
    v = X.astype(np.float64).transpose(1,0,2).reshape(4,-1) # (channels, values)
    np.testing.assert_allclose(pre.fill, np.nanmean(v, 1), rtol=1e-6)
    if mu: v = np.sign(v)*np.log(1+mu*np.abs(v))/np.log(1+mu)
    q1,q2,q3 = np.nanquantile(v, [.25,.5,.75], axis=1)
    low,high = np.nanmin(v, 1),np.nanmax(v, 1)
    want = dict(channel=(np.nanmean(v, 1), np.nanstd(v, 1)), robust=(q2, q3-q1), minmax=(low, high-low))[scale]
    for a,b in zip(res[0], want): np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6*np.nanstd(v, 1).min())

def test_nothing_is_made_up_at_the_ends():
    "Before the first and after the last value, interpolation repeats that value exactly"
    x = torch.full((1,1,2000), torch.nan)
    x[0,0,900:910] = torch.linspace(.1, .3, 10)
    z = fill_missing(x, ~x.isnan(), 'interpolate', 0.)
    assert (z[0,0,:900]==x[0,0,900]).all() and (z[0,0,910:]==x[0,0,909]).all()

@pytest.mark.parametrize('scale', SCALES)
def test_values_too_small_to_divide_by(scale):
    X = np.zeros((4,1,6), np.float32)
    X[:,:,::2] = 1e-45
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        assert np.isfinite(run(Preprocess(scale=scale).fit(X), X, None)).all()

def test_by_sample_leaves_missing_out():
    rng = np.random.default_rng(2)
    X = (rng.normal(size=(20,2,30))*5 + rng.normal(size=(20,1,1))*1e3).astype(np.float32)
    X[rng.random(X.shape)<.3] = np.nan
    for how in fills:
        res = run(Preprocess(how, 'sample').fit(X), X, None)[:,:2]
        v = X.astype(np.float64)
        want = (v-np.nanmean(v, 2, keepdims=True))/np.nanstd(v, 2, keepdims=True)
        np.testing.assert_allclose(np.where(np.isnan(X), 0, res), np.nan_to_num(want), atol=2e-3)
        if how in ('mean','mask'): assert np.abs(res[np.isnan(X)]).max()<1e-3 # its own mean, not the training split's

@pytest.mark.parametrize('size', [1e-30,1e-12,1.,1e12,1e30])
def test_by_sample_at_any_size(size):
    x = (np.random.default_rng(3).normal(size=(3,2,40))*size).astype(np.float32)
    res = run(Preprocess(scale='sample').fit(x), x, None)
    np.testing.assert_allclose(res.std(2), 1, rtol=1e-5)

@pytest.mark.parametrize('value', [0.,.1,-3.3,1e-20,1e20])
@pytest.mark.parametrize('scale', SCALES[:-1])
def test_constant_stays_finite(value, scale):
    X = np.random.default_rng(0).normal(size=(9,2,1001)).astype(np.float32)
    X[:,1] = value
    with pytest.warns(UserWarning, match=r'channels \[1\]'): pre = Preprocess(scale=scale).fit(X)
    res = run(pre, X, None)
    assert np.isfinite(res).all() and np.abs(res[:,1]).max()==0

def test_robust_names_a_range_of_zero():
    X = np.zeros((10,1,20), np.float32)
    X[:,:,0] = 5
    with pytest.warns(UserWarning, match=r'got channels \[0\] with an interquartile range of 0'):
        pre = Preprocess(scale='robust').fit(X)
    np.testing.assert_array_equal(run(pre, X, None), X)

@searched(st.floats(-1e4, 1e4, width=32), st.floats(1e-3, 1e6), long=100)
def test_mu_law(x, mu):
    z = mu_law(torch.tensor(x, dtype=torch.float64), mu)
    assert z.item()==pytest.approx(math.copysign(math.log(1+mu*abs(x))/math.log(1+mu), x), rel=1e-6, abs=1e-9)
    assert mu_law_inverse(z, mu).item()==pytest.approx(x, rel=1e-6, abs=1e-9)

@pytest.mark.parametrize('missing', MISSING)
@pytest.mark.parametrize('scale', ['channel','robust','minmax',None])
@pytest.mark.parametrize('mu', [None,100.])
def test_inverse(missing, scale, mu):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30,2,20)).astype(np.float32)
    gone = rng.random(X.shape)<.2
    if missing!='raise': X[gone] = np.nan
    pre = Preprocess(missing, scale, mu).fit(X)
    res = pre.inverse(pre(torch.from_numpy(X))).numpy()
    assert res.shape==X.shape
    seen = ~np.isnan(X)
    np.testing.assert_allclose(res[seen], X[seen], atol=1e-4)
    assert np.isnan(res[~seen]).all() if missing=='mask' else np.isfinite(res).all()

@pytest.mark.parametrize('missing', fills)
def test_infinity_raises(missing):
    X = np.ones((4,1,5), np.float32)
    X[2,0,3] = -np.inf
    words = '1 value that is infinite .* in 1 of 4 series, the first in series 2, channel 0, step 3'
    with pytest.raises(ValueError, match=words): Preprocess(missing).fit(X)

def test_fit_takes_what_is_cut_lazily():
    "Needs only shape, length and indexing by an array, and reads each series once"
    X = np.random.default_rng(0).normal(size=(1000,2,30)).astype(np.float32)
    class Lazy:
        shape,asked = X.shape,[]
        def __len__(self): return len(X)
        def __getitem__(self, i):
            assert isinstance(i, np.ndarray)
            self.asked.append(i)
            return X[i]
    lazy,rows = Lazy(),np.arange(0,1000,3)
    pre = Preprocess().fit(lazy, None, rows)
    np.testing.assert_array_equal(np.concatenate(lazy.asked), rows)
    np.testing.assert_array_equal(pre.mean, Preprocess().fit(X[rows]).mean)

# ---------------------------------------------------------------- the model folder

def folder(path, pre):
    "A model folder around `pre`"
    torch.manual_seed(0)
    model = XceptionTime(pre.c_out, 2, nf=4).eval()
    return Predictor(model, Classification(['a','b']), pre).save_pretrained(path)

@pytest.mark.parametrize('missing', MISSING)
@pytest.mark.parametrize('scale', SCALES)
def test_folder_round_trip(tmp_path, missing, scale):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20,3,40)).astype(np.float32)
    if missing!='raise': X[rng.random(X.shape)<.1] = np.nan
    pre = Preprocess(missing, scale, 255).fit(X)
    p = Predictor.from_pretrained(folder(tmp_path/'m', pre))
    assert p.preprocess.settings()==pre.settings()==json.loads((tmp_path/'m'/'config.json').read_text())['preprocess']
    assert (run(p.preprocess, X, None)==run(pre, X, None)).all()
    res = p.predict_proba(X)
    assert np.isfinite(res).all() and res.shape==(20,2)
    again = Preprocess(**pre.settings())
    again.load_state_dict(pre.state_dict())
    assert (run(again, X, None)==run(pre, X, None)).all()

def test_folder_from_before(tmp_path):
    "The first model folders have no names of channels and no µ-law"
    X = np.random.default_rng(0).normal(3, 2, size=(20,3,40)).astype(np.float32)
    for scale in ('channel','sample',None):
        pre = Preprocess(scale=scale).fit(X)
        path = folder(tmp_path/str(scale), pre)
        config = json.loads((path/'config.json').read_text())
        config['preprocess'] = dict(missing='raise', scale=scale)
        (path/'config.json').write_text(json.dumps(config))
        p = Predictor.from_pretrained(path)
        assert p.preprocess.c_in==3 and (run(p.preprocess, X, None)==run(pre, X, None)).all()

misfits = [dict(c_in=2), dict(c_in=6), dict(missing='mask'), dict(c_in='3'), dict(c_in=[3]), dict(mu=-1), dict(mu='x'),
           dict(power=2)]
@pytest.mark.parametrize('edit', misfits)
def test_folder_that_does_not_fit(tmp_path, edit):
    X = np.random.default_rng(0).normal(size=(20,3,40)).astype(np.float32)
    path = folder(tmp_path/'m', Preprocess().fit(X))
    config = json.loads((path/'config.json').read_text())
    config['preprocess'] |= edit
    (path/'config.json').write_text(json.dumps(config))
    with pytest.raises(ValueError, match='config.json'): Predictor.from_pretrained(path)

# ---------------------------------------------------------------- one graph, and training

quick = [('mean','channel'),('ffill','sample'),('interpolate','channel'),('mask','sample')]
@pytest.mark.parametrize('missing,scale', [pytest.param(m, s, marks=[pytest.mark.slow]*((m,s) not in quick))
                                           for m in fills for s in ('channel','sample')])
def test_one_graph(missing, scale):
    "No step depends on the values: what torch.export records at one size gives the same at others"
    rng = np.random.default_rng(0)
    def data(*shape):
        X = rng.normal(size=shape).astype(np.float32)
        X[rng.random(shape)<.3] = np.nan
        X[0,1] = np.nan
        return torch.from_numpy(X)
    pre = Preprocess(missing, scale).fit(data(30,2,40).numpy())
    dims = {0: torch.export.Dim('batch'), 2: torch.export.Dim('length')}
    args = data(4,2,40),torch.tensor([40,3,2,9])
    graph = torch.export.export(pre, args, dynamic_shapes=(dims, {0: dims[0]})).module()
    for n,l in ((4,40), (2,17), (9,100)):
        x,lengths = data(n,2,l),torch.from_numpy(rng.integers(1, l+1, n))
        torch.testing.assert_close(graph(x, lengths), pre(x, lengths))

GUNPOINT = Path(find_spec('aeon').submodule_search_locations[0])/'datasets'/'data'/'GunPoint'

@pytest.mark.slow
@pytest.mark.usefixtures('closed')
@pytest.mark.parametrize('missing', [*fills])
def test_gunpoint_with_a_tenth_missing(missing):
    "Each treatment of missing values learns GunPoint without 10 % of its values, much better than the larger class"
    from xceptiontime.data.formats import read_series
    from xceptiontime.data.loaders import TSDataLoaders
    from xceptiontime.train.learner import ts_learner
    parts = [read_series(GUNPOINT/f'GunPoint_{o}.ts') for o in ('TRAIN','TEST')]
    X,y = (np.concatenate(o) for o in zip(*parts))
    splits = np.arange(50),np.arange(50,60) # the rest of the test part is for the evaluation
    X = X.astype(np.float32)
    X[np.random.default_rng(0).random(X.shape)<.1] = np.nan
    dls = TSDataLoaders.from_arrays(X, y, splits, missing=missing, bs=8, seed=0)
    learn = ts_learner(dls, nf=4, seed=0)
    assert learn.model.init_args['c_in']==dls.vars==(2 if missing=='mask' else 1)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(15, 1e-2)
    assert np.isfinite(np.array(learn.recorder.losses)).all()
    probs,_,labels = learn.get_X_preds(X[50:])
    majority = max(np.unique(y[50:], return_counts=True)[1])/150
    assert (labels==y[50:]).mean()>majority+.2
    assert np.isfinite(probs.numpy()).all()
    learn.dls.show_batch(max_n=2)

@searched(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(1, 60), st.booleans(), long=100)
def test_one_length(lengths, length, padded):
    "Resampled like numpy's linear interpolation, cropped like a slice; padding has no effect"
    Xs = [np.random.default_rng(n).normal(size=(2,n)) for n in lengths]
    def by_numpy(v): return [np.interp(np.linspace(0, len(c)-1, length), np.arange(len(c)), c) for c in v]
    for o in [Xs] if padded else [[x] for x in Xs]:
        steps = [x.shape[1] for x in o]
        n = None if len(set(steps))==1 else torch.tensor(steps)
        x = torch.full((len(o), 2, max(steps)), float('nan'), dtype=torch.float64)
        for r,v in zip(x, o): r[:,:v.shape[1]] = torch.from_numpy(v)
        np.testing.assert_allclose(resampled(x, length, n), [by_numpy(v) for v in o], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(resample_series(o, length), [by_numpy(v) for v in o], rtol=1e-6, atol=1e-6)
        k = min(length, *steps)
        kept = [v[:,(v.shape[1]-k)//2:][:,:k] for v in o]
        np.testing.assert_array_equal(cropped(x, k, n), kept)
        np.testing.assert_array_equal(crop_series(o, k), np.float32(kept))

def test_masks_of_a_list_are_kept():
    x = np.ma.array([[1.,2,3]], mask=[[0,1,0]])
    for X in ([x,x], (x,x), np.ma.stack([x,x]), [x,x[:,:2]]):
        np.testing.assert_array_equal(check_series(X)[0][0], [[1,np.nan,3]])

def test_a_list_the_wrong_way_round():
    hint = r'if that is \(length, channels\), \[x.T for x in X\] turns them$'
    with pytest.raises(ValueError, match=r'with 17 channels as in X\[0\], got shape \(14, 2\); '+hint):
        check_series([np.ones((17,2)),np.ones((14,2))])
