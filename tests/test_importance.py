"Importance beyond the page: other tasks, series of unequal length, memory maps, and scikit-learn's importance"
import numpy as np, pytest, torch
from fastai.metrics import Perplexity
from sklearn.base import BaseEstimator
from sklearn.inspection import permutation_importance as by_sklearn
from torch.nn import functional as F
from small import Linear, X, classes, close, learner, ragged, splits
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.windows import Windows
from xceptiontime.explain.attribution import attribute
from xceptiontime.explain.importance import permutation_importance
from xceptiontime.train.learner import TSLearner, ts_learner

def same(a, b): np.testing.assert_array_equal(a, b)

def test_as_scikit_learn():
    "A series of four steps and one channel is a table of four columns"
    T = np.random.default_rng(5).normal(size=(30,4)).astype(np.float32)
    y = T@[1.,0.,-2.,.5] + np.random.default_rng(6).normal(0, .3, 30)
    dls = TSDataLoaders.from_arrays(T, y, (np.arange(5),np.arange(5,30)), scale=None, device='cpu')
    learn = TSLearner(dls, Linear(1, 1))
    class Estimator(BaseEstimator):
        def fit(self, X, y): return self
        def predict(self, X): return learn.predictor().predict(X.astype(np.float32))
    def scoring(e, X, y): return -np.sqrt(np.mean((e.predict(X)-y)**2))
    want = by_sklearn(Estimator(), T[5:], y[5:], scoring=scoring, n_repeats=100, random_state=0)
    got = permutation_importance(learn, 'time', 'rmse', spans=4, n_repeats=100, seed=0)
    assert got.names==['0','1','2','3']
    se = np.hypot(want.importances_std, got.drops.std(1))/100**.5
    assert (np.abs(want.importances_mean-got.mean)<=4*se+1e-6).all()
    close(got.drops.std(1), want.importances_std, .15*want.importances_std.max())
    close(got.mean[1], 0, 1e-7)
    close(got.base, -scoring(Estimator(), T[5:], y[5:]), 1e-5)
    a = attribute(learn, T[:3]) # the attribution of a linear model is known
    np.testing.assert_allclose(a, T[:3]*[1,0,-2,.5]*dls.task.std, atol=1e-5)
    np.testing.assert_allclose(attribute(learn, T[:3], 'occlusion', window=1), a, atol=1e-5)

def test_ragged_importance():
    "By hand, with the other series stretched to the length of this one"
    learn = learner(ragged)
    by_loss = dict(metric=F.cross_entropy, n_repeats=2, seed=4)
    got = permutation_importance(learn, bs=5, **by_loss)
    xs = [ragged[i] for i in splits[1]]
    order,ys = np.random.default_rng(4).permutation(12),classes[splits[1]]
    new = [x.copy() for x in xs]
    for x,j in zip(new, order):
        for t in range(x.shape[1]): x[0,t] = xs[j][0,t*xs[j].shape[1]//x.shape[1]]
    def loss(xs): return F.cross_entropy(learn.predictor().scores(xs), torch.tensor(ys)).item()
    close(got.drops[0,0], loss(new)-loss(xs), 1e-5)
    time = permutation_importance(learn, 'time', spans=4, **by_loss)
    assert time.names==['0%-25%','25%-50%','50%-75%','75%-100%'] and (time.drops!=0).any(1).all()
    with pytest.raises(ValueError, match='spans: expected a number of equal parts'):
        permutation_importance(learn, 'time', spans=[(0,3)])

def test_shortest_of_the_split():
    "A short series among those for training does not limit the spans of the validation split"
    data = [ragged[0][:,:5], *ragged[1:]]
    learn = learner(data)
    assert len(permutation_importance(learn, 'time', spans=20, n_repeats=2).names)==20
    with pytest.raises(ValueError, match='spans: expected 1 to 20, the steps of the shortest series, got 21'):
        permutation_importance(learn, 'time', spans=21)
    with pytest.raises(ValueError, match='spans: expected 1 to 5, '):
        permutation_importance(learn, 'time', dl=learn.dls.train)

def test_names_of_new_series():
    "A loader of new series has the same channel names"
    learn = learner(channels=['left','right'])
    new = learn.dls.test_dl(X[12:], classes[12:])
    a = permutation_importance(learn, n_repeats=2, seed=0)
    b = permutation_importance(learn, dl=new, channels=['left','right'], n_repeats=2, seed=0)
    assert a.names==b.names==['left','right']
    same(a.drops, b.drops)

def test_memmap_is_read_in_batches(tmp_path):
    "The same numbers from a file as from memory, with at most a batch in memory"
    signal = np.random.default_rng(2).normal(size=(2,600)).astype(np.float32)
    np.save(tmp_path/'a.npy', signal)
    np.save(tmp_path/'b.npy', -signal)
    args = ['x','y'],40
    split = np.arange(0, 30, 2),np.arange(1, 30, 2)
    mapped = TSDataLoaders.from_recordings([tmp_path/'a.npy',tmp_path/'b.npy'], *args, splits=split, device='cpu')
    inside = TSDataLoaders.from_recordings([signal,-signal], *args, splits=split, device='cpu')
    most = []
    class Spy(Windows):
        def __getitem__(self, i):
            most.append(np.size(i))
            return super().__getitem__(i)
    spy = mapped.valid_ds.X
    assert isinstance(spy, Windows) and mapped.train_ds.X is spy
    mapped.valid_ds.X = Spy(spy.recordings, spy.rec, spy.start, spy.length, spy.pad)
    def drops(dls):
        learn = ts_learner(dls, nf=2, seed=0)
        return permutation_importance(learn, metric=F.cross_entropy, n_repeats=2, seed=0, bs=4).drops
    same(drops(mapped), drops(inside))
    assert max(most)==4 and len(most)==2*4*(1+2*2)

def test_memmap_stays_as_it_is(tmp_path, learn):
    mm = np.lib.format.open_memmap(tmp_path/'x.npy', 'w+', np.float32, X.shape)
    mm[:] = X
    mapped = learner(np.load(tmp_path/'x.npy', mmap_mode='r'))
    assert np.shares_memory(mapped.dls.valid_ds.X, mapped.dls.train_ds.X)
    before = mm.copy()
    same(permutation_importance(mapped, seed=0).drops, permutation_importance(learn, seed=0).drops)
    same(mm, before)

def test_metrics_and_loaders(learn):
    def importance(learn, *args, **kw): return permutation_importance(learn, *args, n_repeats=2, seed=0, **kw)
    assert importance(learn).metric=='accuracy' # the metric of the learner
    assert importance(learn, metric='f1_macro').metric=='f1_macro'
    r = learner(y=10+X.mean((1,2)))
    for o in (learn, r): # the importance by the loss
        perplexed = importance(o, metric=Perplexity())
        close(perplexed.base, np.exp(o.validate()[0]), 1e-5)
        assert perplexed.metric=='perplexity'
    other = learn.dls.test_dl(X[:5], classes[:5])
    imp = importance(learn, 'time', dl=other, spans=[(0,10),(30,40)], names=['start','end'])
    assert imp.names==['start','end'] and imp.base==(learn.predictor().predict(X[:5])==classes[:5]).mean()
    assert importance(r).metric=='rmse' # lower is better
    def squares(values, y): return ((values-y)**2).mean()
    up,down = (importance(r, metric=squares, higher_is_better=h).drops for h in (True,False))
    close(up, -down, 1e-7)

def test_what_does_not_fit(learn):
    r = learner(y=X.mean((1,2)))
    def squares(values, y): return ((values-y)**2).mean()
    no_spans = r'spans: expected a number, or a list of \(start, stop\) within 0 to 40, got '
    no_channels = 'channels: expected a list with some of 0, 1, got '
    one_of = 'channels: expected some of 0, 1, or lists of them, got '
    for kw,words in (
        (dict(metric=squares), 'higher_is_better: expected True or False for the metric'),
        (dict(n_repeats=1), 'n_repeats: expected a whole number of 2 or more, got 1'),
        (dict(over='steps'), "over: expected 'channel' or 'time', got 'steps'"),
        (dict(spans=3), "spans: expected only with over='time'"),
        (dict(over='time', spans=41), 'spans: expected 1 to 40'),
        (dict(over='time', spans=[(5,50)]), no_spans+r'\[\(5, 50\)\]'),
        (dict(over='time', spans=(0,10)), no_spans+r'\(0, 10\)'),
        (dict(over='time', spans=[]), no_spans+r'\[\]'),
        (dict(over='time', spans=[(0,.5)]), no_spans),
        (dict(over='time', spans=2.5), no_spans),
        (dict(channels=0), no_channels+'0'),
        (dict(channels='left'), no_channels+"'left'"),
        (dict(channels=[]), no_channels+r'\[\]'),
        (dict(channels=[[]]), one_of+r'\[\]'),
        (dict(bs=0), 'bs: expected a whole number of 1 or more, got 0'),
        (dict(names=['a']), 'names: expected one for each of 2 parts, got 1'),
        (dict(dl=r.dls.test_dl(X[:2])), 'dl: expected series with targets'),
        (dict(confidence=95), 'confidence: expected a number between 0 and 1'),
        (dict(metric='accuracy'), 'metrics: expected for regression some of')):
        with pytest.raises(ValueError, match=words): permutation_importance(r, **kw)
    with pytest.raises(TypeError, match='learn: expected a TSLearner, got Predictor'):
        permutation_importance(learn.predictor())

def test_importance_leaves_nothing(learn):
    learn.model.train()
    kept,nums = X.copy(),torch.get_rng_state()
    state = {k: t.clone() for k,t in learn.model.state_dict().items()}
    permutation_importance(learn, n_repeats=2, seed=0)
    assert learn.model.training and all(t.equal(state[k]) for k,t in learn.model.state_dict().items())
    assert all(p.grad is None for p in learn.model.parameters())
    assert torch.get_rng_state().equal(nums)
    same(X, kept)

def test_numbers_of_numpy(learn):
    a = permutation_importance(learn, 'time', spans=3, n_repeats=2, seed=0, bs=7)
    b = permutation_importance(learn, 'time', spans=np.int64(3), n_repeats=2, seed=0, bs=np.int64(7))
    assert a.names==b.names==['0-12','13-26','27-39']
    same(a.drops, b.drops)
