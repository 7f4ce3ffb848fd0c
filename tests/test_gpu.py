"What a GPU would have to wait for, and what would differ there, as far as a CPU can tell"
import numpy as np, pytest, torch
from contextlib import contextmanager
from fastai.callback.core import Callback
from fastai.learner import Recorder
from torch.utils._python_dispatch import TorchDispatchMode
from small import learner
from xceptiontime.train.callbacks import KeepFinite

BY_NAME = 'item','tolist','__bool__','__int__','__float__','__index__','cpu','numpy','nonzero','is_nonzero'

class _Operations(TorchDispatchMode):
    "Calls `fetched` for each operation whose value or shape the host has to know"
    def __init__(self, fetched):
        super().__init__()
        self.fetched = fetched
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masks = [o for a in args if isinstance(a, (list,tuple)) for o in a]
        by_mask = name.startswith('index') and any(isinstance(o, torch.Tensor) and o.dtype==torch.bool for o in masks)
        if by_mask or name in ('_local_scalar_dense','equal','nonzero','masked_select','unique_dim','_unique2'):
            self.fetched(name)
        return func(*args, **(kwargs or {}))

@contextmanager
def fetches(now=lambda name: name):
    "A list that grows by `now(name)` with each value that leaves a tensor; on a GPU the host would wait for it"
    seen,depth = [],[0]
    def spied(name, f):
        def spy(*args, **kwargs):
            if not depth[0]: seen.append(now(name))
            depth[0] += 1 # what it calls in turn is the same wait
            try: return f(*args, **kwargs)
            finally: depth[0] -= 1
        return spy
    with pytest.MonkeyPatch.context() as m, _Operations(lambda name: depth[0] or seen.append(now(name))):
        for name in BY_NAME: m.setattr(torch.Tensor, name, spied(name, getattr(torch.Tensor, name)))
        yield seen

def test_fetches_are_counted():
    x = torch.tensor([1.,2.])
    asking = [lambda: x.sum().item(), lambda: bool(x[0]>0), lambda: x.tolist(), lambda: x.cpu(), lambda: x[x>1],
              lambda: float(x[0]), lambda: x.equal(x), lambda: torch.zeros(2).index_put((x>1,), x[:1])]
    for f in asking:
        with fetches() as seen: f()
        assert len(seen)==1, seen
    with fetches() as seen: torch.where(x>1, x, 0).sum().add_(x[0])
    assert not seen

class _Spoil(Callback):
    "Makes the loss NaN from one batch on"
    def __init__(self, at): self.at = at
    def after_pred(self):
        if self.training and self.train_iter>=self.at: self.learn.pred = self.pred*float('nan')

def _fitted(learn, epochs, **kwargs):
    learn.remove_cbs([learn.progress])
    with learn.no_logging(): learn.fit(epochs, **kwargs)
    return learn

def _state(learn): return {k: t.clone() for k,t in learn.model.state_dict().items()}

@pytest.mark.parametrize('every,expected', [(1,[0,1,2,3,4,5]), (4,[3,5]), (16,[5])])
def test_loss_is_looked_at_every_so_many_batches(every, expected):
    "The host waits neither for the loss nor for the optimizer in the batches between"
    learn = learner(bs=2) # 6 batches
    learn.remove_cbs([Recorder,learn.progress]) # which take each loss
    learn.keep_finite.every = every
    at = ['before',None]
    class Place(Callback):
        order = -10
        def before_batch(self): at[:] = ['batch' if self.training else 'validation',self.iter]
        def after_train(self): at[:] = ['end',None]
    with fetches(lambda name: (*at,name)) as seen, learn.no_logging(): learn.fit(1, 1e-3, cbs=Place())
    assert [i for kind,i,_ in seen if kind=='batch']==[i for i in expected if i<5 or every==1]
    assert len([1 for kind,*_ in seen if kind=='end'])==(2 if every>1 else 1) # the rest of the losses, the weights

@pytest.mark.parametrize('at', [0,1,7])
def test_late_look_puts_the_same_weights_back(at):
    res = []
    for every in (1,3,16):
        learn = learner(bs=2)
        learn.keep_finite.every = every
        with pytest.raises(FloatingPointError) as e: _fitted(learn, 3, lr=1e-2, cbs=_Spoil(at))
        res.append((str(e.value), _state(learn)))
    words,state = res[0]
    assert f'got nan in epoch {at//6}, batch {at%6}; ' in words
    for w,s in res[1:]: assert w==words and all(torch.equal(s[k], state[k]) for k in state)

def test_interrupted_training_keeps_no_nan():
    "Ctrl-C before the look"
    class Interrupt(Callback):
        def before_batch(self):
            if self.train_iter==4: raise KeyboardInterrupt
    learn = learner(bs=2)
    learn.keep_finite.every = 16
    with pytest.raises(FloatingPointError, match='epoch 0, batch 2'):
        _fitted(learn, 3, lr=1e-2, cbs=[_Spoil(2),Interrupt()])
    assert all(t.isfinite().all() for t in _state(learn).values())

@pytest.mark.parametrize('every', [1,16])
def test_training_goes_on_after_a_loss_of_nan(every):
    "The optimizer's averages are those of a fresh one"
    learn = learner(bs=2)
    learn.keep_finite.every = every
    with pytest.raises(FloatingPointError): _fitted(learn, 1, lr=1e-2, cbs=_Spoil(1))
    before = _state(learn)
    assert not any('sqr_avg' in s for s in learn.opt.state.values())
    with learn.no_logging(): learn.fit(2, 1e-3)
    after = _state(learn)
    assert all(t.isfinite().all() for t in after.values()) and np.isfinite(learn.recorder.values[-1][0])
    assert not torch.equal(before['block.xception.0.bottleneck.weight'], after['block.xception.0.bottleneck.weight'])

def test_every_is_a_whole_number():
    with pytest.raises((TypeError,ValueError), match='every: expected a whole number'): KeepFinite(every=0)
