"Loaders: each sample once per epoch, lazy windows, batches of similar lengths, unchanged global random states"
import os, pickle, random, subprocess, sys, tracemalloc
from functools import partial
import numpy as np, pandas as pd, pytest, torch
from fastcore.basics import chunked
from hypothesis import given, settings, strategies as st
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter, ItemGetter
from fasttransform import Transform
from xceptiontime.data.blocks import TSBlock, get_ts_dls
from xceptiontime.data import dataset
from xceptiontime.data.dataset import TSTensor
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.order import batch_cuts, similar_lengths
from xceptiontime.data.splits import get_splits
from xceptiontime.data.windows import MappedArray, Windows, crop_series, resample_series, sliding_windows
from xceptiontime.train.learner import ts_learner
from xceptiontime.runtime.predictor import Predictor

from_arrays = partial(TSDataLoaders.from_arrays, device='cpu')
from_recordings = partial(TSDataLoaders.from_recordings, device='cpu')
from_file = partial(TSDataLoaders.from_file, device='cpu')
from_df = partial(TSDataLoaders.from_df, device='cpu')

def raises(error, words): return pytest.raises(error, match=words)

def arrays(n=50, c=2, length=12):
    "Series whose first value is their index"
    X = np.random.default_rng(n).normal(size=(n,c,length)).astype(np.float32)
    X[:,0,0] = np.arange(n)
    return X, np.arange(n)%2

def unequal(n=50, c=2, least=3, most=20):
    X,y = arrays(n, c, most)
    return [x[:,:k] for x,k in zip(X, np.random.default_rng(0).integers(least, most, n))], y

def loaders(X, y, n_valid=10, **kw):
    "Loaders with the last series for validation"
    n = len(X)
    splits = np.arange(n-n_valid), np.arange(n-n_valid, n)
    return from_arrays(X, y, splits, **{**dict(scale=None, bs=8, seed=0), **kw})

def numbers(dl): return [b[0][:,0,0].int().tolist() for b in dl]

def even(sizes, bs):
    "Batch sizes differ by at most one, and are at least 8 or `bs`, if there are as many series"
    n = sizes.sum()
    assert np.ptp(sizes)<=1 and sizes.min()>=min(8, bs, n)
    small = max(1, n//min(8, bs)) # number of batches of that size
    assert len(sizes)==min(small, -(-n//bs)) and (sizes.max()<=bs or len(sizes)==small)

@settings(max_examples=300, deadline=None)
@given(st.integers(1,2000), st.integers(1,300))
def test_batches_are_even(n, bs):
    cuts = batch_cuts(n, bs)
    assert (cuts[0],cuts[-1])==(0,n)
    even(np.diff(cuts), bs)

@settings(max_examples=100, deadline=None)
@given(st.integers(0,2000), st.integers(1,300))
def test_batches_as_fastai_has_them(n, bs):
    full,all_ = batch_cuts(n, bs, drop_last=True),batch_cuts(n, bs, even=False)
    parts = np.split(np.arange(n), all_)[1:-1]
    assert [p.tolist() for p in parts]==list(map(list, chunked(range(n), bs)))
    assert full.tolist()==[c for c in all_.tolist() if c%bs==0]

def test_only_training_batches_are_even():
    X,y = arrays(40)
    dls = loaders(X, y, 20, bs=16)
    def of(dl): return [len(b[0]) for b in dl]
    assert [of(dl) for dl in dls]==[[10,10],[16,4]] and [len(dl) for dl in dls]==[2,2]
    for n,dl in ([10,10],dls.train.new(shuffle=False)), ([16],dls.train.new(drop_last=True)): assert of(dl)==n
    for dl in (dls.train.in_order(), dls.test_dl(X[:20])): assert of(dl)==[16,4]
    assert [len(loaders(X, y, 40-n, bs=16).train) for n in (7,15,17,24)]==[1,1,2,2]

def test_batches_of_small_sets():
    def sizes(n, bs): return np.diff(batch_cuts(n, bs)).tolist()
    assert [sizes(n, 16) for n in (20,18,17,15,7)]==[[10,10],[9,9],[8,9],[15],[7]]
    assert (sizes(0, 16),sizes(9, 4),sizes(5, 1))==([],[4,5],[1]*5)

sizes = given(st.integers(4,80), st.integers(1,30), st.booleans(), st.integers(0,5))

def check_epochs(n, bs, ragged, seed):
    X,y = (unequal if ragged else arrays)(n)
    def make(): return loaders(X, y, 2, bs=bs, seed=seed, vocab=[0,1])
    dls = make()
    epochs = [numbers(dls.train) for _ in range(2)]
    for batches in epochs:
        assert sorted(sum(batches, []))==list(range(n-2))
        assert len(batches)==len(dls.train)
        even(np.array([len(b) for b in batches]), bs)
    assert numbers(make().train)==epochs[0]
    if n>30: assert epochs[0]!=epochs[1]
    assert sum(numbers(dls.valid), [])==[n-2,n-1]

@settings(max_examples=15, deadline=None)
@sizes
def test_each_training_sample_once_an_epoch(n, bs, ragged, seed): check_epochs(n, bs, ragged, seed)

@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@sizes
def test_each_training_sample_once_an_epoch_in_many_sizes(n, bs, ragged, seed): check_epochs(n, bs, ragged, seed)

def same_batches(loader, other):
    "Do the batches of two loaders have the same values, in tensors of the same classes?"
    for a,b in zip(loader, other, strict=True):
        assert [type(o) for o in a]==[type(o) for o in b]
        for o,p in zip(a, b, strict=True): np.testing.assert_array_equal(o.numpy(), p.numpy())

@pytest.mark.parametrize('make', [arrays,unequal])
def test_worker_processes_give_the_same(make):
    X,y = make(45) # 35 to train on: batches of 8 and 9
    alone,two = loaders(X, y),loaders(X, y, num_workers=2)
    for _ in range(2):
        same_batches(alone.train, two.train)

@pytest.mark.parametrize('num_workers', [0,2])
def test_global_random_state_stays(num_workers):
    X,y = arrays()
    def state():
        numpys = [o.tolist() if isinstance(o, np.ndarray) else o for o in np.random.get_state()]
        return random.getstate(), numpys, torch.get_rng_state().tolist()
    before = state()
    for seed in (0,None):
        dls = from_arrays(X, y, seed=seed, bs=8, num_workers=num_workers)
        for dl in (*dls, dls.test_dl(X)): assert len(list(dl))==len(dl)
    dls.one_batch()
    assert state()==before

@pytest.mark.parametrize('make', [arrays,unequal])
def test_arrays_stay_as_they_are_and_may_be_read_only(make):
    X,y = make()
    parts = X if isinstance(X, list) else [X]
    copy = [x.copy() for x in parts]
    if isinstance(X, np.ndarray): X.flags.writeable = False
    y.flags.writeable = False
    class Spoil(Transform):
        order = 5
        def encodes(self, x:torch.Tensor): return x.mul_(0)
    for scale in (None,'channel','sample'):
        dls = loaders(X, y, scale=scale, batch_tfms=[Spoil()])
        for dl in (*dls, dls.test_dl(X, y)):
            for b in dl: assert not b[0].any() and not b[-1].any()
        for a,b in zip(parts, copy): np.testing.assert_array_equal(a, b)
    assert (y==np.arange(50)%2).all()

def test_random_transforms_are_for_training():
    class Shift(Transform):
        order,split_idx = 5,0
        def encodes(self, x:torch.Tensor): return x+1000 if x.is_floating_point() else x
    X,y = arrays()
    dls = loaders(X, y, batch_tfms=[Shift()])
    assert min(sum(numbers(dls.train), []))==1000
    assert sum(numbers(dls.valid), [])==list(range(40,50))
    assert sum(numbers(dls.test_dl(X)), [])==list(range(50))

def test_a_batch_of_one_trains():
    X,y = arrays(19)
    learn = ts_learner(loaders(X, y, 2, bs=1), nf=4, seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit(2)
    assert len(learn.dls.train)==17 and torch.isfinite(learn.recorder.losses[-1])

# ---- unequal lengths

@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1,30), min_size=1, max_size=200), st.integers(1,20), st.integers(0,3))
def test_similar_lengths_is_an_order(lengths, bs, seed):
    for drop_last in (False,True):
        cuts = batch_cuts(len(lengths), bs, drop_last)
        order = similar_lengths(np.array(lengths), cuts, np.random.default_rng(seed))
        assert sorted(order)==list(range(len(lengths)))

def test_ragged_batches_of_8_and_9():
    "With two lengths, at most one series is in the wrong batch, for any order of batches"
    n,cuts = np.repeat([3,9], [8,9]),batch_cuts(17, 16)
    pairs = [np.split(n[similar_lengths(n, cuts, np.random.default_rng(i))], cuts[1:-1]) for i in range(20)]
    assert all(abs((a==3).sum()-(b==3).sum())>=7 for a,b in pairs)
    assert {a.mean()<b.mean() for a,b in pairs}=={True,False}

def test_ragged_batches_of_unlike_sizes():
    "Two of three batches are cut from one pool: all series of one are longer than those of the other"
    n,cuts = np.arange(32),[0,2,12,32]
    for i in range(40):
        batches = np.split(n[similar_lengths(n, np.array(cuts), np.random.default_rng(i))], cuts[1:-1])
        assert sorted(np.concatenate(batches))==[*n]
        assert any(a.max()<b.min() for a in batches for b in batches)

def test_weights_and_lengths_go_together():
    X,y = unequal(200, least=5, most=100)
    w = 1.+(np.arange(200)<50)*2
    def shares(**kw): # shares of the heavy series, and of data among all steps
        dls = loaders(X, y, length_channel=False, **kw)
        seen = [b for _ in range(20) for b in dls.train]
        heavy = [b[0][:,0,0].numpy()<50 for b in seen]
        return np.concatenate(heavy).mean(), sum(b[1].sum() for b in seen)/sum(b[0][:,0].numel() for b in seen)
    heavy,full = shares(weights=w)
    plain,full2 = shares()
    assert abs(heavy-150/290)<.03 and abs(plain-50/190)<.02
    assert min(full, full2)>.75
    half,_ = shares(weights='balanced')
    assert abs(half-50/190)<.1
    assert len(loaders(X, y, weights='balanced').train)==23 # of 8 or 9

@pytest.mark.parametrize('told', [False,True])
def test_a_batch_is_as_long_as_its_longest(told):
    X,y = unequal(200, least=5, most=100)
    dls = loaders(X, y, length_channel=told)
    for dl in dls:
        for x,n,_ in dl:
            assert x.shape[2]==n.max()
            for a,k in zip(x.numpy(), n.tolist()):
                i = int(a[0,0])
                np.testing.assert_array_equal(a[:2,:k], X[i])
                assert k==X[i].shape[1] and not a[:,k:].any()
    total = sum(x.shape[1] for x in X[:190])
    def steps(): return sum(len(x)*x.shape[2] for x,*_ in dls.train)
    got = [steps() for _ in range(4)]
    if told: # lengths are mixed, as BatchNorm removes what a batch has in common
        spreads = [n.float().std().item() for _,n,_ in dls.train]
        assert min(got)>1.25*total and np.median(spreads)>20
        return
    assert max(got)<1.25*total<1.6*total<190*99
    lengths = [[x.shape[2] for x,*_ in dls.train][:23] for _ in range(30)]
    mean = np.mean(lengths, axis=0) # of batch 0, 1, ... over epochs
    assert mean.max()-mean.min()<45 # batches are not sorted by length
    members = [{frozenset(b) for b in numbers(dls.train)} for _ in range(2)]
    assert len(members[0]&members[1])<3 # batches have other series in each epoch

def test_predictions_are_in_order():
    X,y = unequal(60, least=20, most=60)
    dls = loaders(X, y, scale='channel')
    learn = ts_learner(dls, nf=4, seed=0)
    want = learn.get_X_preds(X)[0].numpy()
    with learn.no_bar(), learn.no_logging():
        for dl,idxs in ((dls.train,slice(50)), (dls.valid,slice(50,60)), (dls.test_dl(X),slice(60))):
            np.testing.assert_allclose(learn.get_preds(dl=dl)[0].numpy(), want[idxs], atol=1e-5)
        np.testing.assert_array_equal(learn.get_preds(dl=dls.train)[1].numpy(), y[:50])

def test_equal_lengths_on_demand():
    X,_ = unequal(20, least=8)
    for x,r,c in zip(X, resample_series(X, 13), crop_series(X, 7, 'end')):
        old,new = np.linspace(0, 1, x.shape[1]),np.linspace(0, 1, 13)
        np.testing.assert_allclose(r, [np.interp(new, old, v) for v in x], atol=1e-5)
        np.testing.assert_array_equal(c, x[:,-7:])

@pytest.mark.parametrize('how', [{}, dict(resample=7), dict(crop=3)], ids=['own','resample','crop'])
def test_a_sample_in_words(how):
    "A series of the dataset has its raw values, its own length and its own target"
    X,y = unequal()
    words = np.array(['left','right'])[y]
    dls = loaders(X, words, **how)
    for ds,at in ((dls.train_ds,0), (dls.valid_ds,40), (dls.test_dl(X, words).dataset,0)):
        for i in range(10):
            x,n,target = ds.decode(ds[i])
            np.testing.assert_array_equal(x.numpy(), X[at+i])
            assert n==X[at+i].shape[1] and target==words[at+i]
    ds = dls.test_dl(X).dataset # without targets
    x,_ = ds.decode(ds[3])
    np.testing.assert_array_equal(x.numpy(), X[3])

def test_new_series_have_the_names_of_their_loaders():
    X,y = arrays()
    dls = loaders(X, y, channels=['a','b'], rate=50)
    ds = dls.test_dl(X, y).dataset
    assert ds.channels==['a','b'] and ds.rate==50

# ---- recordings

def make_recordings(tmp_path, kind, ns=(300,50,411), dtype=np.float32):
    recs = [(np.random.default_rng(n).normal(size=(3,n))*100).astype(dtype) for n in ns]
    if kind=='array': return recs, recs
    paths = [tmp_path/f'{i}.npy' for i in range(len(recs))]
    for p,r in zip(paths, recs): np.save(p, r)
    if kind=='path': return recs, [str(paths[0]), *paths[1:]]
    return recs, [np.load(p, mmap_mode='r') for p in paths]

@pytest.mark.parametrize('how,by_hand', [
    (dict(resample=20), lambda X: resample_series(X, 20)),
    (dict(crop=12), lambda X: crop_series(X, 12))], ids=['resample','crop'])
def test_equal_lengths_from_loader_to_folder(tmp_path, how, by_hand):
    "Loader, learner and model folder bring scaled series to one length as numpy does"
    rng = np.random.default_rng(0)
    X = [rng.normal(3, 2, (2,n)) for n in rng.integers(12, 40, 30)]
    dls = loaders(X, np.arange(30)%2, scale='channel', **how)
    steps = np.concatenate(X[:20], 1)
    Z = by_hand([(x-steps.mean(1, keepdims=True))/steps.std(1, keepdims=True) for x in X])
    for i,b in enumerate(dls.valid): np.testing.assert_allclose(b[0], Z[20:][i*8:i*8+8], atol=1e-5)
    assert dls.len==Z.shape[2] and all(len(b)==2 and b[0].shape[2]==dls.len for b in dls.train)
    learn = ts_learner(dls, nf=4, seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, 1e-3)
    with torch.no_grad(): want = learn.model.eval()(torch.from_numpy(Z)).softmax(1)
    learn.save_pretrained(tmp_path/'m')
    loaded = torch.from_numpy(Predictor.from_pretrained(tmp_path/'m').predict_proba(X))
    for got in (learn.get_X_preds(X)[0], loaded): torch.testing.assert_close(got, want, atol=1e-5, rtol=0)

slow = pytest.mark.slow
@pytest.mark.parametrize('kind,num_workers', [
    ('array',0), ('memmap',0), ('path',0), ('path',2),
    pytest.param('array', 2, marks=slow), pytest.param('memmap', 2, marks=slow)])
def test_recordings_as_materialised(tmp_path, kind, num_workers):
    recs,given_ = make_recordings(tmp_path, kind, dtype=np.int16)
    labels = [np.arange(r.shape[1])//7%3 for r in recs]
    args = dict(length=20, step=6, label='majority', pad=0.)
    X,y,g = sliding_windows(recs, labels=labels, **args)
    splits = get_splits(y, groups=g, valid_groups=[1])
    dls = from_recordings(given_, labels, valid_groups=[1], bs=16, seed=3, num_workers=num_workers, **args)
    want = from_arrays(X, y, splits, bs=16, seed=3)
    assert (dls.vars, dls.len, dls.c, len(dls.train_ds))==(3, 20, 3, len(splits[0]))
    train = X[splits[0]].astype(np.float64)
    np.testing.assert_allclose(dls.preprocess.mean.cpu(), train.mean((0,2)), rtol=1e-6)
    np.testing.assert_allclose(dls.preprocess.std, train.std((0,2)), rtol=1e-6)
    for a,b in zip(dls, want): same_batches(a, b)

def test_windows_are_never_all_there():
    rec = np.random.default_rng(0).normal(size=(4,100_000)).astype(np.float32)
    labels = np.arange(100_000)//1000%2
    n = (100_000-400)//8+1 # 12,451 windows would take 80 MB
    splits = np.arange(n-1000), np.arange(n-900, n)
    tracemalloc.start()
    dls = from_recordings(rec, labels, 400, 8, splits)
    for dl in dls:
        for b in dl: pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n*4*400*4>79e6 and peak<40e6

@pytest.mark.parametrize('kind', ['memmap','path'])
def test_pickle_does_not_copy_files(tmp_path, kind):
    recs,given_ = make_recordings(tmp_path, kind, ns=(200_000,))
    W = sliding_windows(given_, 50, 10_000, lazy=True)[0]
    data = pickle.dumps(W)
    assert len(data)<5000<recs[0].nbytes/100
    np.testing.assert_array_equal(pickle.loads(data)[:], W[:])

@settings(max_examples=60, deadline=None)
@given(st.data())
def test_parts_of_files_are_found_again(tmp_path_factory, data):
    a = np.arange(240, dtype=data.draw(st.sampled_from(['<f4','>f8','<i2','u1']))).reshape(2,6,20)
    path = tmp_path_factory.mktemp('m')/'a.npy'
    np.save(path, np.asfortranarray(a) if data.draw(st.booleans()) else a)
    m = np.load(path, mmap_mode=data.draw(st.sampled_from(['r','r+'])))
    part = m
    for axis in range(3):
        start,step = data.draw(st.none()|st.integers(0,1)),data.draw(st.sampled_from([None,1,2,-1,-2]))
        s = slice(start, None, step)
        part = part[(slice(None),)*axis+(s,)]
    if data.draw(st.booleans()): part = np.asarray(part).T
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(MappedArray.of(part))).open(), part)

def test_what_is_not_in_the_file_is_pickled(tmp_path):
    np.save(tmp_path/'a.npy', np.zeros((2,30), np.float32))
    m = np.load(tmp_path/'a.npy', mmap_mode='c')
    m[:] = 1
    W = sliding_windows(m, 10, lazy=True)[0]
    assert (pickle.loads(pickle.dumps(W))[:]==1).all()

def test_more_files_than_may_be_open(tmp_path, monkeypatch):
    monkeypatch.setattr(Windows, 'max_open', 5)
    for i in range(40): np.save(tmp_path/f'{i}.npy', np.full((1,30), i, np.float32))
    def count(): return len(os.listdir('/proc/self/fd'))
    before = count()
    files = [tmp_path/f'{i}.npy' for i in range(40)]
    dls = from_recordings(files, [i%2 for i in range(40)], 10, scale=None, bs=7)
    seen = sorted(v for dl in dls for b in dl for v in b[0][:,0,5].int().tolist())
    assert seen==[i for i in range(40) for _ in range(3)]
    assert count()-before<=6

def test_windows_in_two_splits():
    rec,labels = np.random.default_rng(0).normal(size=(2,200)),np.arange(200)//10%2
    n = (200-20)//5+1
    def make(gap, **kw):
        return from_recordings(rec, labels, 20, 5, (np.arange(n//2-gap), np.arange(n//2, n)), **kw)
    assert len(make(3).train_ds)==n//2-3
    with raises(ValueError, 'got 90 to 94 of recording 0'): make(2)
    with raises(ValueError, '[gG]roup'): make(3, groups=['me'])
    with raises(ValueError, 'splits: expected index arrays where all windows are of one .*, got None'):
        from_recordings(rec, labels, 20)

not_numbers = r'recordings\[0\]: expected the path of a .npy file of numbers'
@pytest.mark.parametrize('bad,error,words', [
    (dict(recordings='none.npy'), FileNotFoundError, 'none.npy'),
    (dict(recordings=['x.npz']), ValueError, not_numbers),
    (dict(recordings=['objects.npy']), ValueError, not_numbers),
    (dict(recordings=['text.npy']), TypeError, 'real numbers'),
    (dict(recordings=['cube.npy']), ValueError, r'\(channels, time\)'),
    (dict(stepp=3), TypeError, 'stepp'),
    (dict(splits=([0],[1]), valid_groups=[1]), ValueError, 'splits: expected None'),
    (dict(recordings=[np.full((1,40), np.nan)]*12), ValueError, 'NaN'),
    (dict(recordings=[np.full((1,40), 1e300)]*12), ValueError, 'too large for float32'),
])
def test_recordings_that_cannot_be(tmp_path, monkeypatch, bad, error, words):
    monkeypatch.chdir(tmp_path)
    np.savez('x.npz', a=np.zeros((2,30)))
    np.save('objects.npy', np.array([{},2], dtype=object))
    np.save('text.npy', np.array([['a','b']]))
    np.save('cube.npy', np.zeros((2,3,4)))
    rec = [np.random.default_rng(i).normal(size=(1,40)) for i in range(12)]
    kw = {**dict(recordings=rec, length=10), **bad}
    several = isinstance(kw['recordings'], list)
    labels = [i%2 for i in range(len(kw['recordings']))] if several else 0
    with raises(error, words): from_recordings(labels=labels, **kw)

def test_new_windows_are_predicted():
    rec = [np.random.default_rng(i).normal(size=(1,200)).astype(np.float32) for i in range(4)]
    dls = from_recordings(rec, [0,1,0,1], 20, groups=[0,0,1,1], seed=0)
    learn = ts_learner(dls, nf=4, seed=0)
    W,y,_ = sliding_windows(rec, 20, 7, labels=[0,1,0,1], lazy=True)
    with learn.no_bar(): p = learn.get_preds(dl=dls.test_dl(W, y))[0].numpy()
    np.testing.assert_allclose(p, learn.get_X_preds(W[:])[0].numpy(), atol=1e-5)
    two_channels = sliding_windows(np.zeros((2,40)), 20, lazy=True)[0]
    with raises(ValueError, 'X: expected 1 channel, got 2'): dls.test_dl(two_channels)

# ---- files, DataBlock, tsai

def test_from_file_is_from_arrays(tmp_path):
    X,y = arrays(30, 1)
    rows = [[f't{i}' for i in range(12)]+['who'], *([*map(float, x[0]), f'c{k}'] for x,k in zip(X, y))]
    file,other = tmp_path/'a.csv',tmp_path/'b.csv'
    file.write_text('\n'.join(','.join(map(str, r)) for r in rows))
    dls = from_file(file, label='who', seed=1, bs=4)
    want = from_arrays(X, [f'c{k}' for k in y], seed=1, bs=4)
    for a,b in zip(dls, want): same_batches(a, b)
    other.write_text(file.read_text().replace('who','whom'))
    with raises(ValueError, 'who'): from_file(file, other, label='who')
    with raises(ValueError, 'expected a target for each series'): from_file(file, columns=['t0','t1'])
    for typo in ('lable','bacth_size'):
        with raises(TypeError, typo): from_file(file, **{typo:'who'})

def test_datablock_and_from_dblock_agree():
    X,y = arrays(40)
    block = DataBlock((TSBlock(scale='sample'), CategoryBlock), get_x=ItemGetter(0), get_y=ItemGetter(1),
                      splitter=IndexSplitter(range(30,40)))
    items = list(zip(X, np.where(y, 'one', 'none')))
    plain = block.dataloaders(items, bs=8, device='cpu')
    fast = TSDataLoaders.from_dblock(block, items, bs=8, device='cpu')
    assert list(plain.vocab)==fast.vocab.tolist()
    for (x,t),(x2,t2) in zip(plain.valid, fast.valid, strict=True):
        np.testing.assert_allclose(x.numpy(), x2.numpy(), atol=1e-6)
        assert t.tolist()==t2.tolist()

def test_get_ts_dls_without_scaling_gives_the_numbers():
    X,y = arrays()
    splits = [list(range(40)), list(range(40,50))]
    dls = get_ts_dls(X, y, splits=splits, bs=16, device='cpu')
    np.testing.assert_array_equal(torch.cat([b[0] for b in dls.valid]).numpy(), X[40:])
    assert sorted(sum(numbers(dls.train), []))==list(range(40))
    with raises(TypeError, 'batchsize'): get_ts_dls(X, y, splits=splits, batchsize=16)

workers = """
import multiprocessing, sys
import numpy as np
if __name__=='__main__':
    multiprocessing.set_start_method(sys.argv[1])
    from xceptiontime.data.loaders import TSDataLoaders
    X = np.arange(40, dtype=np.float32).repeat(6).reshape(40,2,3)
    splits = np.arange(32),np.arange(32,40)
    how = dict(bs=8, seed=0, device='cpu', scale=None)
    def order(n):
        dls = TSDataLoaders.from_arrays(X, np.arange(40)%2, splits, num_workers=n, **how)
        return [b[0][:,0,0].tolist() for b in dls.train]
    assert order(2)==order(0) and len(order(0))==4
"""
@pytest.mark.slow # three processes and their workers
@pytest.mark.parametrize('method', ['fork','forkserver','spawn'])
def test_workers_however_they_are_started(method, tmp_path):
    (tmp_path/'script.py').write_text(workers)
    command = [sys.executable, tmp_path/'script.py', method]
    res = subprocess.run(command, capture_output=True, text=True)
    assert res.returncode==0, res.stderr

def _pickled(ds, spawned, monkeypatch):
    monkeypatch.setattr(dataset, 'get_spawning_popen', lambda: object() if spawned else None)
    return pickle.dumps(ds)

def test_a_spawned_process_maps_the_file(tmp_path, monkeypatch):
    "Other pickles hold the series, as their file may be deleted"
    X,y = arrays(1000)
    np.save(tmp_path/'X.npy', X)
    ds = loaders(np.load(tmp_path/'X.npy', mmap_mode='r'), y).train_ds
    small,whole = (_pickled(ds, o, monkeypatch) for o in (True,False))
    assert len(small)<len(whole)-X.nbytes*.9
    for data in (small,whole): np.testing.assert_array_equal(pickle.loads(data).X, X)
    held = loaders(X, y).train_ds
    np.testing.assert_array_equal(pickle.loads(_pickled(held, True, monkeypatch)).X, X)

def test_one_batch_transform_needs_no_list():
    class Twice(Transform):
        def encodes(self, x:TSTensor): return x*2
    X,y = arrays(20)
    def first(tfms): return loaders(X, y, scale='channel', batch_tfms=tfms).valid.one_batch()[0].numpy()
    for tfms in (Twice(), [Twice()]): np.testing.assert_allclose(first(tfms), 2*first(None), rtol=1e-6)

def test_splits_by_name():
    "Arguments of get_splits in place of splits, with the groups and seed of the loader"
    X,y = arrays(40)
    g = np.repeat(list('abcd'), 10)
    dls = from_arrays(X, y, dict(valid_groups=['b'], test_groups=['d']), groups=g)
    assert [set(g[dl.dataset.idxs]) for dl in dls]==[{'a','c'},{'b'},{'d'}]
    dls,want = from_arrays(X, y, dict(valid_size=.5), seed=3),get_splits(y, valid_size=.5, seed=3)
    for a,b in zip(dls, want, strict=True): assert a.dataset.idxs.tolist()==b.tolist()
    with raises(ValueError, 'splits: expected one division into training and validation, got n_splits=3'):
        from_arrays(X, y, dict(n_splits=3))
    with raises(TypeError, r"splits: expected arguments of get_splits .*, got 'valid'"):
        from_arrays(X, y, dict(valid=.5))
    recs = from_recordings(list(X), y, 6, splits=dict(valid_size=.25), groups=g, seed=0)
    assert len(recs.valid_ds)==20

def test_splits_of_any_sequence():
    "Tuples, lists and ranges are indices, not coordinates; each fold can be used"
    X,_ = arrays(12)
    y = np.random.default_rng(0).normal(size=(12,2))
    for parts in ((0,1,2,3),(4,5)), ([0,1,2,3],[4,5]), (range(4),range(4,6)):
        dls = from_arrays(X, y, parts)
        assert [dl.dataset.idxs.tolist() for dl in dls]==[[0,1,2,3],[4,5]]
        np.testing.assert_allclose(dls.valid.one_batch()[1].numpy(), y[4:6], rtol=1e-6)
    with raises(ValueError, 'splits: expected one division into training and validation, got 3 folds'):
        from_arrays(X, y, get_splits(y, n_splits=3, seed=0))

def test_splits_know_the_task():
    "Whole numbers of a regression are not treated as classes, and whole floats of a classification are"
    X,_ = arrays(40)
    dls = from_arrays(X, np.arange(40), task='regression', seed=0)
    assert {i//10 for i in dls.valid_ds.idxs}=={0,1,2,3} # small and large values
    y = np.r_[np.zeros(36), np.ones(4)]
    for seed in range(5):
        dls = from_arrays(X, y, task='classification', seed=seed)
        assert (dls.valid_ds.idxs>=36).sum()==1

@pytest.mark.parametrize('end', ['csv','parquet'])
def test_groups_of_a_table_with_a_gap_at_its_start(tmp_path, end):
    "With groups as a column, the first step of a series may be missing; a column of a saved index is ignored"
    import pandas as pd
    df = pd.DataFrame(np.random.default_rng(0).normal(size=(20,6)), columns=[f't{i}' for i in range(6)])
    df = df.assign(g=np.repeat(list('abcde'), 4), y=['u','v']*10)
    df.loc[3,'t0'] = np.nan
    p = tmp_path/f't.{end}'
    df.to_csv(p, index=False) if end=='csv' else df.to_parquet(p)
    how = dict(missing='mean', seed=0)
    a = from_file(p, label='y', groups='g', **how)
    b = from_df(df, label='y', groups='g', **how)
    assert a.train_ds.idxs.tolist()==b.train_ds.idxs.tolist() and a.len==6
    if end=='csv':
        df.to_csv(p)
        with raises(ValueError, 'an index'): from_file(p, label='y', groups='g', **how)
        df.to_csv(p, index=False, header=False)
        c = from_file(p, label=7, groups=6, header=False, **how)
        assert c.train_ds.idxs.tolist()==a.train_ds.idxs.tolist()

def test_groups_that_are_also_ids(tmp_path):
    import pandas as pd
    v = np.random.default_rng(0).normal(size=100)
    df = pd.DataFrame(dict(i=np.repeat(np.arange(20), 5), v=v, y=np.repeat(['u','v']*10, 5)))
    df.to_csv(tmp_path/'t.csv', index=False)
    for load,table in ((from_df,df), (from_file,tmp_path/'t.csv')):
        dls = load(table, label='y', id='i', groups='i', seed=0)
        assert dls.channels==['v'] and len(dls.valid_ds)==4

def test_steps_of_two_tables_in_one_order(tmp_path):
    import pandas as pd
    df = pd.DataFrame(np.random.default_rng(0).normal(size=(8,4)), columns=list('abcd'))
    df = df.assign(y=['u','v']*4)
    train,valid = tmp_path/'train.csv',tmp_path/'valid.csv'
    df.to_csv(train, index=False)
    df[list('dbcay')].to_csv(valid, index=False)
    def load(**kw): return from_file(train, valid, label='y', scale=None, **kw)
    with raises(ValueError, "expected the column 'a' where .*train.csv' has it, got 'd'"): load()
    x = load(columns=list('abcd')).valid.one_batch()[0][:,0].numpy()
    np.testing.assert_allclose(x, df[list('abcd')], rtol=1e-6)
    df.drop(columns='d').to_csv(valid, index=False) # shorter series with the same steps
    assert load().valid.one_batch()[0].shape[2]==3

def test_recordings_with_whole_numbers_to_learn():
    rec = [np.random.default_rng(i).normal(size=(2,50)) for i in range(8)]
    dls = from_recordings(rec, list(range(10,90,10)), 10, task='regression', seed=0)
    assert dls.task.name=='regression' and len(dls.train_ds)+len(dls.valid_ds)==40

# ---- targets of recordings and tables

RECS = [np.random.default_rng(i).normal(size=(1,60+i)) for i in range(10)]

@pytest.mark.parametrize('labels,task,c', [
    (np.random.default_rng(0).normal(size=(10,2)), 'regression', 2),
    (np.random.default_rng(0).normal(size=(10,2)).tolist(), 'regression', 2),
    (pd.DataFrame(np.random.default_rng(0).normal(size=(10,2)), columns=['p','q']), 'regression', 2),
    ([['a'],['a','b']]*5, 'multilabel', 2),
    ([{'a'},{'a','b'}]*5, 'multilabel', 2),
    (np.array([[1,0,1],[0,0,1]]*5), 'multilabel', 3),
    (np.array([b'a',b'b']*5), 'classification', 2),
    (pd.Series(['a','b']*5, dtype='string'), 'classification', 2),
    ([np.repeat(['a','b'], [30,30+i]) for i in range(10)], 'classification', 2),
])
def test_targets_of_recordings(labels, task, c):
    dls = from_recordings(RECS, labels, 20, seed=0, scale=None)
    assert (dls.task.name,dls.c)==(task,c)
    of = {round(float(r[0,t]), 4): i for i,r in enumerate(RECS) for t in range(0, 60, 20)}
    if task!='regression': return
    want = np.asarray(labels, np.float32)
    for x,y in dls.valid: # each window has the numbers of its recording
        got = [of[round(float(v), 4)] for v in x[:,0,0]]
        np.testing.assert_array_equal(y.numpy(), want[got])

@pytest.mark.parametrize('labels,error,words', [
    (['a',None]*5, ValueError, 'labels: expected one for each recording, got None for recording 1, 5 such in all'),
    (pd.Series([*'ababababa',None]), ValueError, 'labels: expected one for each recording, got nan for recording 9'),
    ([['a','a']]*10, ValueError, r'labels\[0\]: expected one for each of 60 samples, got 2'),
    ([np.zeros(59+i) for i in range(10)], ValueError, r'labels\[0\]: expected one for each of 60 samples, got 59'),
    ([['a']*59+[None],*[['a']*(60+i) for i in range(1, 10)]], ValueError,
     r'labels\[0\]: expected a target for each sample, got None for sample 59, 1 such in all'),
])
def test_labels_of_recordings_that_cannot_be(labels, error, words):
    with raises(error, words): from_recordings(RECS, labels, 20)

def test_labels_as_many_as_samples():
    short = [r[:,:2] for r in RECS]
    with pytest.warns(UserWarning, match='labels: 10 lists as long as their recordings are read as one label per'):
        assert from_recordings(short, [['a','c'],['b','a']]*5, 2).task.name=='classification'
    assert from_recordings(short, [{'a','c'},{'b','a'}]*5, 2).task.name=='multilabel'

def test_classes_in_the_order_of_a_categorical():
    sizes = pd.Series(pd.Categorical(['S','L','M','L','S','M']*5, ['S','M','L','XL'], ordered=True))
    X = np.random.default_rng(0).normal(size=(30,1,20))
    assert from_arrays(X, sizes, seed=0).vocab.tolist()==['S','M','L']
    assert from_df(pd.DataFrame(X[:,0]).assign(size=sizes), label='size', seed=0).vocab.tolist()==['S','M','L']
    numbers = pd.Categorical([9,10]*15, ordered=True)
    assert from_df(pd.DataFrame(X[:,0]).assign(n=numbers), label='n', seed=0).vocab.tolist()==['9','10']
    dls = from_recordings(RECS, pd.Categorical(['S','L']*5, ['S','L'], ordered=True), 20, seed=0)
    assert dls.vocab.tolist()==['S','L']
    learn = ts_learner(dls, nf=2, seed=0)
    assert learn.predictor().task.vocab.tolist()==['S','L']
    assert from_arrays(X, sizes.astype(str), seed=0).vocab.tolist()==['L','M','S'] # sorted

def test_lists_of_whole_numbers_stay_labels_in_each_split():
    "Lists with the same number of labels in a split are not treated as rows of zeros and ones"
    y = [[0],[0,1],[1,0],[0,1]]
    dls = from_arrays(np.zeros((4,1,9))+np.arange(9), y, ([0,1],[2,3]), scale=None)
    assert dls.valid.one_batch()[1].tolist()==[[1,1],[1,1]]
    assert dls.test_dl(np.ones((2,1,9)), [[1],[0]]).one_batch()[1].tolist()==[[0,1],[1,0]]

def test_a_label_for_each_step():
    "The advice in the error works"
    X,y = np.random.default_rng(0).normal(size=(12,2,30)),np.repeat(np.arange(12)[:,None]%2, 30, 1)
    with raises(ValueError, r'one for each of its 30 steps; TSDataLoaders.from_recordings\(X, y, length\)'):
        from_arrays(X, y)
    dls = from_recordings(X, y, 10, seed=0)
    assert (dls.task.name,dls.len,sum(len(dl.dataset) for dl in dls))==('classification',10,36)
    assert from_arrays(X, y, seed=0, task='multilabel').c==30

def test_words_for_one_channel_and_for_kinds_of_arrays():
    X,y = np.random.default_rng(0).normal(size=(4,1,20)),['a','b']*2
    splits = np.array([0,1]),np.array([2,3])
    dls = TSDataLoaders.from_arrays(X, y, splits)
    assert "preprocessing  1 channel, missing='raise'" in dls.summary()
    with raises(TypeError, 'X: expected real numbers, got text'):
        TSDataLoaders.from_arrays(np.array([['a','b']]*4), y, splits)
    with raises(TypeError, 'y: expected numbers, got text'):
        TSDataLoaders.from_arrays(X, y, splits, task='regression')
