"Every transform and both mixes: values, padding, randomness, and a whole training"
import copy, pickle
from types import SimpleNamespace
import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from hypothesis import given, settings, strategies as st
from torch import nn
from xceptiontime.data.augment import (ChannelDropout, Jitter, MagnitudeWarp, Scaling, TimeCrop, TimeMask, TimeShift,
    TimeWarp, TSCutMix, TSMixUp)
from xceptiontime.data.dataset import TSTensor
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.train.learner import ts_learner

def TimeRoll(**kw): return TimeShift(roll=True, **kw)

transforms = [Jitter, Scaling, MagnitudeWarp, ChannelDropout, TimeShift, TimeRoll, TimeWarp, TimeCrop, TimeMask]
every = pytest.mark.parametrize('make', transforms, ids=lambda t: t.__name__)
mixes = pytest.mark.parametrize('mix', [TSMixUp,TSCutMix])

def fit(learn, *args):
    with learn.no_bar(), learn.no_logging(): learn.fit(*args)
    return learn

def padded(n, c, l, seed=0, least=4):
    "Series of unequal length, with large numbers in the padding"
    g = torch.Generator().manual_seed(seed)
    x,lengths = torch.randn(n, c, l, generator=g),torch.randint(least, l+1, (n,), generator=g)
    valid = torch.arange(l)<lengths[:,None,None]
    return torch.where(valid, x, 1e6),lengths,valid.expand(x.shape)

@every
def test_never_is_never_and_always_is_always(make):
    x = torch.randn(300,4,50)
    before = x.clone()
    assert torch.equal(make(p=0).apply(x), x)
    assert (make(p=1).apply(x)!=x).any(2).any(1).all()
    share = (make(p=.3).apply(x)!=x).any(2).any(1).float().mean()
    assert .18<share<.42
    assert torch.equal(x, before), 'the batch itself was changed'

@every
def test_padding(make):
    "The padding does not change, and its values do not change the series"
    x,lengths,valid = padded(200, 3, 40)
    t,res = make(p=1),[]
    for value in (1e6,-5.,float('nan'),float('inf')):
        t.reseed(0)
        z = t.apply(torch.where(valid, x, value), lengths)
        padding = z[~valid]
        assert torch.equal(padding.nan_to_num(7.), torch.full_like(padding, value).nan_to_num(7.))
        res.append(z[valid])
    assert all(torch.equal(res[0], o) for o in res)
    assert res[0].isfinite().all() and res[0].abs().max()<20
    assert (torch.where(valid, z, 0)!=torch.where(valid, x, 0)).any(2).any(1).all()

@every
def test_length_one(make):
    x = torch.randn(5,2,3)
    z = make(p=1).apply(x, torch.tensor([1,1,2,3,1]))
    assert z.isfinite().all() and torch.equal(z[0,:,1:], x[0,:,1:])
    assert make(p=1).apply(torch.randn(5,2,1)).isfinite().all()

@every
def test_seed(make):
    x = torch.randn(20,3,30)
    t = make(p=.5)
    t.reseed(5)
    a,b = t.apply(x),t.apply(x)
    assert not torch.equal(a, b)
    torch.manual_seed(1), np.random.seed(1)
    t.reseed(5)
    assert torch.equal(t.apply(x), a) and torch.equal(t.apply(x), b)

@every
def test_leaves_global_randomness_alone(make):
    x,t = torch.randn(20,3,30),make(p=.5)
    t.reseed(0)
    torch.manual_seed(0), np.random.seed(0)
    t.apply(x)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    assert torch.equal(state, torch.get_rng_state())

@every
def test_mask_channels(make):
    "Mask channels are warped in time too, and are 0 where values were removed"
    x = torch.randn(200,3,40)
    there = torch.ones(200,3,40)
    there[:,:,20:] = 0
    t = make(p=1)
    t.channels = 3
    z = t.apply(torch.cat([x, there], 1))
    values,masks = z[:,:3],z[:,3:]
    assert (values!=x).any(2).any(1).all() and masks.min()>=0 and masks.max()<=1
    name = type(t).__name__
    if name in ('Jitter','Scaling','MagnitudeWarp'): assert torch.equal(masks, there)
    elif name=='ChannelDropout': assert torch.equal((values==0).all(2), (masks==0).all(2))
    elif name=='TimeMask': assert (masks[:,:,:20]==0).any() and torch.equal(masks[:,0], masks[:,2])
    else: assert (masks!=there).any()

@settings(max_examples=60, deadline=None)
@given(st.integers(1,6), st.integers(1,20), st.floats(.01,1), st.booleans(), st.integers(0,2**32))
def test_shift_is_roll_or_edge(n, l, share, roll, seed):
    x,lengths,valid = padded(n, 2, l, seed, least=1)
    t = TimeShift(share, roll, p=1)
    t.reseed(seed)
    z = t.apply(x, lengths)
    for a,b,k in zip(x, z, lengths):
        a,b = a[:,:k],b[:,:k]
        most = max(1, round(share*int(k)+1e-9))
        shifts = [s for s in range(-most-1, most+2) if s]
        def moved(s):
            if roll: return a.roll(s, 1)
            i = torch.arange(len(a[0]))-s
            return a[:,i.clamp(0, int(k)-1)]
        assert any(torch.equal(b, moved(s)) for s in shifts)

def test_shift_spreads():
    x = torch.arange(100.).expand(4000,1,100)
    z = TimeShift(.1, roll=True, p=1).apply(x)
    shift = (-z[:,0,0]+50)%100-50
    counts = torch.stack([(shift==s).sum() for s in range(-10,11)])
    assert counts[10]==0 and counts.sum()==4000 and counts[counts>0].min()>120

def test_scaling_and_warp_are_by_channel():
    x = torch.ones(2000,2,50)
    z = Scaling(.3, p=1).apply(x)[:,:,0]
    assert abs(np.corrcoef(z.T.numpy())[0,1])<.1
    assert z.std().item()==pytest.approx(.3, abs=.02) and z.mean().item()==pytest.approx(1, abs=.02)
    z = MagnitudeWarp(.3, p=1).apply(x)
    assert abs(np.corrcoef(z[:,:,0].T.numpy())[0,1])<.1 and (z.std(2)>0).all()

def test_same_at_every_length():
    "Warps, crops and curves use the length of each series: padded or alone, the numbers are the same"
    x = torch.randn(1,2,30)
    wide = torch.cat([x, torch.full((1,2,12), 9.)], 2)
    for make in (MagnitudeWarp, TimeWarp, TimeCrop, TimeMask, TimeShift, Scaling):
        t = make(p=1)
        t.reseed(3)
        a = t.apply(x)
        t.reseed(3)
        torch.testing.assert_close(t.apply(wide, torch.tensor([30]))[:,:,:30], a)

@pytest.mark.parametrize('make,words', [
    (lambda: Jitter(0), 'std: expected a number above 0, got 0'),
    (lambda: Scaling(-1), 'std'),
    (lambda: TimeShift(2), 'share: expected a number above 0 and up to 1, got 2'),
    (lambda: TimeWarp(knots=1), 'knots: expected a whole number of 2 or more'),
    (lambda: TimeWarp(knots=2.5), 'knots: expected a whole number of 2 or more'),
    (lambda: TimeWarp(knots=True), 'knots: expected a whole number of 2 or more'),
    (lambda: MagnitudeWarp(knots=1), 'knots: expected a whole number of 2 or more'),
    (lambda: MagnitudeWarp(knots=2.5), 'knots: expected a whole number of 2 or more'),
    (lambda: MagnitudeWarp(knots=True), 'knots: expected a whole number of 2 or more'),
    (lambda: TimeCrop(0), 'least'),
    (lambda: TimeMask(True), 'share'),
    (lambda: Jitter(p=-.1), 'p: expected'),
    (lambda: ChannelDropout(float('nan')), 'share'),
    (lambda: TSMixUp(0), 'alpha'),
    (lambda: TSCutMix('x'), 'alpha')])
def test_arguments(make, words):
    with pytest.raises(ValueError, match=words): make()

# ---------------------------------------------------------------- in loaders

def dls(tfms=None, ragged=False, seed=0, **kw):
    rng = np.random.default_rng(0)
    y = np.arange(48)%2
    X = (rng.normal(size=(48,2,40)) + np.sin(np.arange(40)/(2+2*y[:,None,None]))).astype(np.float32)
    if ragged: X = [x[:,:n] for x,n in zip(X, rng.integers(12, 41, 48))]
    splits = np.arange(32), np.arange(32, 48)
    return TSDataLoaders.from_arrays(X, y, splits, batch_tfms=tfms, bs=16, seed=seed, **kw)

@pytest.mark.usefixtures('closed')
@pytest.mark.parametrize('ragged', [False,True])
@every
def test_in_loaders(make, ragged):
    "Training batches are changed, except order, targets and lengths; validation and new series are not"
    plain,d = dls(ragged=ragged),dls([make(p=1)], ragged)
    for b,p in zip(d.train, plain.train):
        assert isinstance(b[0], TSTensor) and (b[0]!=p[0]).any()
        for o,q in zip(b[1:], p[1:]): assert torch.equal(o, q) and type(o) is type(q)
    for b,p in zip(d.valid, plain.valid): assert all(torch.equal(o, q) for o,q in zip(b, p))
    new = np.random.default_rng(1).normal(size=(5,2,40)).astype(np.float32)
    assert torch.equal(d.test_dl(new).one_batch()[0], plain.test_dl(new).one_batch()[0])
    d.show_batch(max_n=2)

def test_epochs_differ_and_resume():
    "The random state of the loader determines the changes, also after resuming"
    d = dls([Jitter(p=1)])
    first = [b[0].clone() for b in d.train]
    state = d.train.rng.getstate()
    second = [b[0].clone() for b in d.train]
    assert not torch.equal(torch.cat(first).sort(0)[0], torch.cat(second).sort(0)[0])
    other = dls([Jitter(p=1)], seed=99)
    other.train.rng.setstate(state)
    assert all(torch.equal(a, b[0]) for a,b in zip(second, other.train))

def test_transforms_survive_copies():
    t = TimeShift(.3, p=1)
    t.reseed(1)
    x = torch.randn(4,2,30)
    for other in (copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
        t.reseed(1), other.reseed(1)
        assert torch.equal(other.apply(x), t.apply(x)) and 'TimeShift' in repr(other)

@pytest.mark.usefixtures('closed')
def test_missing_mask_in_loaders():
    rng = np.random.default_rng(0)
    X,y = rng.normal(size=(40,2,30)).astype(np.float32),np.arange(40)%2
    X[rng.random(X.shape)<.2] = np.nan
    splits,tfms = (np.arange(30),np.arange(30,40)),[Jitter(.5, p=1)]
    d = TSDataLoaders.from_arrays(X, y, splits, missing='mask', batch_tfms=tfms, seed=0)
    x = d.train.one_batch()[0]
    assert x.shape[1]==d.vars==4 and d.test_dl(X[:3]).one_batch()[0].shape==(3,4,30)
    assert set(x[:,2:].unique().tolist())=={0.,1.}
    d.show_batch(max_n=2)

# ---------------------------------------------------------------- mixes

class Batches(Callback):
    "Keeps the batches of training and the shares"
    order = 100
    def __init__(self, mix): self.mix,self.seen = mix,[]
    def before_batch(self):
        if self.training: self.seen.append((self.xb, self.yb, self.mix.yb1, self.mix.lam.clone()))

@mixes
@pytest.mark.parametrize('ragged', [False,True])
def test_mix_in_training(mix, ragged):
    cb = mix()
    seen = Batches(cb)
    d = dls(ragged=ragged)
    learn = ts_learner(d, nf=4, cbs=[cb,seen], seed=0)
    loss_func = learn.loss_func
    fit(learn, 2, 1e-3)
    assert learn.loss_func is loss_func
    assert np.isfinite(np.array(learn.recorder.losses)).all() and len(seen.seen)==4
    learn.validate()
    for xb,yb,yb1,lam in seen.seen:
        assert lam.shape==yb[0].shape and (lam>=.5).all() and (lam<=1).all() and (lam<1).any()
        if ragged:
            x,lengths = (o.as_subclass(torch.Tensor) for o in xb)
            padding = torch.arange(x.shape[2])>=lengths[:,None]
            assert (x[padding[:,None].expand(x.shape)]==0).all() # no data there

@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0,2**31), n=st.integers(2,8), l=st.integers(1,20), mix=st.sampled_from([TSMixUp,TSCutMix]))
def test_mix_values(seed, n, l, mix):
    "As in a loop: values are mixed only where both series have data, and the share is computed from the rest"
    g = np.random.default_rng(seed)
    x = torch.from_numpy(g.normal(size=(n,2,l)).astype(np.float32))
    lengths = torch.from_numpy(g.integers(1, l+1, n))
    pair = torch.from_numpy(g.permutation(n))
    share = torch.from_numpy(g.uniform(.5, 1, n).astype(np.float32))
    common = torch.minimum(lengths, lengths[pair])
    cb = mix()
    cb.rng = np.random.default_rng(seed)
    z,lam = cb.mix(x, x[pair], share, lengths, common)
    for i in range(n):
        c = int(common[i])
        assert torch.equal(z[i,:,c:], x[i,:,c:])
        if mix is TSMixUp:
            torch.testing.assert_close(z[i,:,:c], share[i]*x[i,:,:c] + (1-share[i])*x[pair[i],:,:c])
            own = (share[i]*c + int(lengths[i])-c)/int(lengths[i])
        else:
            other = (z[i]==x[pair[i]]).all(0) & (z[i]!=x[i]).any(0)
            if pair[i]!=i:
                assert other[:c].int().diff().abs().sum()<=2 and ((z[i]==x[i]).all(0)|other).all()
                assert int(other.sum())==round(float((1-share[i])*c))
            own = 1-round(float((1-share[i])*c))/int(lengths[i])
        assert lam[i].item()==pytest.approx(float(own), abs=1e-6)

@pytest.mark.parametrize('loss,target', [
    (nn.CrossEntropyLoss(), torch.tensor([0,2,1,1])), (nn.MSELoss(), torch.randn(4,3)),
    (nn.BCEWithLogitsLoss(), torch.rand(4,3)), (nn.L1Loss(), torch.randn(4,3))])
def test_mixed_loss(loss, target):
    "The loss of a mixed batch is the mean of both targets' losses by their shares, whatever the loss"
    pred,other = torch.randn(4,3),target[[2,3,1,0]]
    share = [.5,.7,.9,1.]
    cb = TSMixUp()
    cb.learn,cb.old_lf = SimpleNamespace(training=True),loss
    cb.lam,cb.yb1 = torch.tensor(share),(other,)
    def of(y): return [loss(pred[i:i+1], y[i:i+1]).item() for i in range(4)]
    want = np.mean([s*a + (1-s)*b for s,a,b in zip(share, of(target), of(other))])
    assert cb.lf(pred, target).item()==pytest.approx(want, rel=1e-5)
    assert loss.reduction=='mean'

@mixes
def test_mix_seed(mix):
    def weights(seed):
        learn = ts_learner(dls([Jitter(), TimeWarp()]), nf=4, cbs=[mix()], seed=seed)
        fit(learn, 1, 1e-3)
        return torch.cat([p.detach().flatten() for p in learn.model.parameters()])
    a = weights(1)
    assert torch.equal(a, weights(1)) and not torch.equal(a, weights(2))

@mixes
@pytest.mark.parametrize('task', ['multilabel','regression'])
def test_mix_in_other_tasks(mix, task):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40,2,30)).astype(np.float32)
    y = rng.integers(0, 2, (40,3)) if task=='multilabel' else X.mean((1,2))*50
    splits = np.arange(30), np.arange(30, 40)
    dls = TSDataLoaders.from_arrays(X, y, splits, task=task, bs=10, seed=0)
    learn = fit(ts_learner(dls, nf=4, cbs=[mix()], seed=0), 1, 1e-3)
    assert np.isfinite(np.array(learn.recorder.losses)).all() and len(learn.recorder.losses)==3
