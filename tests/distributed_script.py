"""Train in several processes and write the batches and losses of each; started by `test_distributed`

    accelerate launch --multi_gpu --num_processes 2 tests/distributed_script.py DIR
"""
import json, sys
from pathlib import Path
import torch
from torch import nn
from fastai.callback.core import Callback
from fastai.torch_core import num_distrib, rank_distrib
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.sets import make_bumps
from xceptiontime.train.learner import TSLearner, ts_learner

EPOCHS,BS = 3,8
LR = 3e-3

class FixedNorm(Callback):
    "BatchNorm uses its running statistics"
    def before_train(self):
        for m in self.model.modules():
            if isinstance(m, nn.BatchNorm1d): m.eval()

class Seen(Callback):
    "Records the first value of each training series, the series in each batch, and each loss"
    order = 60
    def before_fit(self):
        self.series,self.batches = [],[]
        self.losses = []
    def before_train(self):
        self.series.append([])
        self.batches.append([])
    def after_loss(self):
        if self.training:
            self.series[-1] += [float(x[0,0]) for x in self.xb[0]]
            self.batches[-1].append(len(self.xb[0]))
            self.losses.append(self.loss.item())

class Spoil(Callback):
    "Makes the loss of the second process NaN in the last batch of the first epoch"
    def after_pred(self):
        if self.training and rank_distrib()==1 and self.iter==self.n_iter-1: self.learn.pred = self.pred*float('nan')

def stopped(learn):
    "What the learner says of a loss that is not finite in one process"
    try:
        with learn.distrib_ctx(),learn.no_logging(): learn.fit(EPOCHS, LR, cbs=Spoil())
    except FloatingPointError as e: return str(e)

class Halves(nn.Module):
    "Normalizes the two halves of a batch separately in one process, as two processes do"
    def __init__(self, model):
        super().__init__()
        self.model,self.head = model,model.head
    def forward(self, x):
        return torch.cat([self.model(o) for o in x.chunk(2)]) if self.training else self.model(x)

def learner(fixed, halves=False, ragged=False):
    "A learner with 36 series for training and 14 for validation, or 13 of unequal length (an odd number)"
    n = 49 if ragged else 50
    X,y,_ = make_bumps(n, 1, (24,40) if ragged else 40, noise=.2, seed=1)
    dls = TSDataLoaders.from_arrays(X, y, (range(36), range(36,n)), bs=BS, seed=0)
    learn = ts_learner(dls, seed=0, nf=4)
    if halves: learn = TSLearner(dls, Halves(learn.model), metrics=['accuracy'], opt_func=learn.opt_func)
    learn.add_cbs([Seen(), *([FixedNorm()] if fixed else [])])
    return learn

def result(learn):
    "The results as plain data"
    values = [[float(v) for v in row] for row in learn.recorder.values]
    return dict(series=learn.seen.series, batches=learn.seen.batches, losses=learn.seen.losses, values=values,
                weights=[p.tolist() for p in learn.model.parameters()])

if __name__=='__main__':
    import xceptiontime.train.distributed # noqa: F401 - gives learners `to_distributed`
    from xceptiontime.cli import main
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    res = dict(processes=num_distrib())
    kinds = dict(fixed=dict(fixed=True), own=dict(fixed=False), ragged=dict(fixed=True, ragged=True))
    for name,kw in kinds.items():
        learn = learner(**kw)
        with learn.distrib_ctx(),learn.no_logging(): learn.fit(EPOCHS, LR)
        res[name] = result(learn)
    res['stopped'] = stopped(learner(fixed=True))
    (out/f'{rank_distrib()}.json').write_text(json.dumps(res))
    sys.exit(main(['train', str(out/'bumps.ts'), '--out', str(out/'model'), '--epochs', '2', '--bs', '8']))
