"Small series of every kind of target, small learners for them, and the command"
import numpy as np, pytest, torch
from fastai.callback.core import Callback
from torch import nn
from xceptiontime.cli import main
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.train.learner import ts_learner

X = np.random.default_rng(0).normal(size=(24,2,40)).astype(np.float32)
ragged = [x[:,:20+i%5*4] for i,x in enumerate(X)]
splits = np.arange(12), np.arange(12, 24)
classes = np.arange(24)%3
two_labels = np.c_[classes==0, classes<2].astype(int)

def learner(X=X, y=classes, **kwargs):
    arch = {k: kwargs.pop(k) for k in ('arch','adaptive_size','head','n_networks','loss_func') if k in kwargs}
    return ts_learner(TSDataLoaders.from_arrays(X, y, splits, **{'device':'cpu', **kwargs}), nf=2, seed=0, **arch)

class Linear(nn.Module):
    "A linear network, whose importances are known"
    def __init__(self, c_in, c_out):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.,0.,-2.,.5]))
        self.head = nn.Identity()
    def forward(self, x, lengths=None): return (x[:,0,:4]*self.weight).sum(1, keepdim=True)

class OfX(nn.Module):
    "A network that takes no lengths"
    def __init__(self, c_in, c_out):
        super().__init__()
        self.body,self.head = nn.Conv1d(c_in, 8, 3),nn.Linear(8, c_out)
    def forward(self, x): return self.head(self.body(x).mean(2))

class Stop(Callback):
    "Ends a training before a batch, like Ctrl-C or an error"
    looks_only = True
    def __init__(self, at, error=RuntimeError, epochs=None):
        self.at,self.error = at,error
        self.epochs = epochs # number of epochs of the training to end; any training if None
    def before_batch(self):
        if self.training and self.train_iter==self.at and self.epochs in (None,self.n_epoch):
            raise self.error('stop')

def padded(Xs, length, content=np.nan):
    "Series of unequal length as one array (series, channels, length)"
    res = np.full((len(Xs),len(Xs[0]),length), content, np.float32)
    for r,x in zip(res, Xs): r[:,:x.shape[1]] = x
    return res

def same(a, b):
    "Do both have the same names with bit-identical numbers?"
    return a.keys()==b.keys() and all(a[k].equal(b[k]) for k in a)

def close(a, b, atol): np.testing.assert_allclose(a, b, rtol=0, atol=atol)

def adds_up(a, diff):
    "The sum equals the difference to 1 %; or to a thousandth of the sum of absolute values, if the difference is tiny"
    assert (np.abs(a.sum((1,2))-diff) <= .011*np.abs(diff) + 1e-3*np.abs(a).sum((1,2))).all()

def onnx_session(path):
    "An ONNX Runtime session on the CPU; the test is skipped without that package"
    runtime = pytest.importorskip('onnxruntime')
    return runtime.InferenceSession(str(path), providers=['CPUExecutionProvider'])

def interrupted(f, at, calls):
    "`f`, but call number `at` raises KeyboardInterrupt; `calls` collects the length of each first argument"
    def call(X, *args):
        calls.append(len(X))
        if len(calls)==at:
            raise KeyboardInterrupt
        return f(X, *args)
    return call

def call(*args):
    "Run the command in this process; returns its exit code"
    try: return main([str(a) for a in args])
    except SystemExit as e: return e.code
