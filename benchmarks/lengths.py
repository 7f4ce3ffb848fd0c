"""Four treatments of series of unequal length: `python benchmarks/lengths.py`

- masks: each series as it is, with the padding masked
- length channel: masks, and a channel with the length; batches of any lengths
- resampled: each series resampled to the longest length
- padded: each series padded with the training mean to the longest length

And `--ways mixed`: masks in batches of any lengths, for the effect of the batches alone.
Evaluated by cross-validation inside the training parts; test parts are not used. In the sets after `--halve`,
pairs of values are replaced by their mean, which halves the time.
"""
import argparse, math, warnings
import numpy as np
import torch
with warnings.catch_warnings():
    warnings.simplefilter('ignore', FutureWarning)
    from xceptiontime.data.loaders import TSDataLoaders
    import xceptiontime.train.recipe # noqa: F401 (it gives a Learner `fit_recipe`)
from xceptiontime.data.sets import get_ucr
from xceptiontime.data.splits import get_splits
from xceptiontime.train.learner import ts_learner

SETS = ['GestureMidAirD1','GestureMidAirD2','GestureMidAirD3','GesturePebbleZ2','PickupGestureWiimoteZ',
        'JapaneseVowels']
WAYS = ['masks','length channel','resampled','padded']

def training_part(name, path, halve):
    "Series (channels, length_i) and their classes"
    X,y,(train,_) = get_ucr(name, path)
    X = [x[:,~np.isnan(x).all(0)] for x in (X[i] for i in train)]
    if halve: X = [x[:,:x.shape[1]//2*2].reshape(len(x), -1, 2).mean(2) for x in X]
    return X,y[train]

def in_the_way(way, X, train):
    "The series and the arguments of the loaders for a treatment"
    longest = max(x.shape[1] for x in X)
    if way=='resampled': return X,dict(resample=longest)
    if way!='padded': return X,dict(length_channel=way=='length channel')
    mean = np.concatenate([X[i] for i in train], 1).mean(1, keepdims=True) # (channels, 1)
    return np.stack([np.concatenate([x, mean.repeat(longest-x.shape[1], 1)], 1) for x in X]),{}

def right(way, X, y, splits, seed, args):
    "The number of held-back series that are predicted correctly"
    X,how = in_the_way(way, X, splits[0])
    dls = TSDataLoaders.from_arrays(X, y, splits, bs=16, seed=seed, device='cpu', **how)
    if way=='mixed':
        train = dls.train
        train.get_idxs = lambda: np.random.default_rng(train.rng.getrandbits(64)).permutation(train.n)
    learn = ts_learner(dls, nf=args.nf, seed=seed)
    with learn.no_bar(),learn.no_logging():
        learn.fit_recipe(epochs=math.ceil(args.steps/len(dls.train)))
    return int((learn.get_X_preds([X[i] for i in splits[1]])[2]==y[splits[1]]).sum())

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--sets', nargs='+', default=SETS)
    p.add_argument('--ways', nargs='+', default=WAYS, choices=[*WAYS,'mixed'])
    p.add_argument('--data', help='folder with the data sets; a cache if not given')
    p.add_argument('--steps', type=int, default=1500)
    p.add_argument('--nf', type=int, default=16)
    p.add_argument('--folds', type=int, default=5)
    p.add_argument('--halve', nargs='*', default=[], metavar='SET', help='sets of which two values become one')
    args = p.parse_args()
    torch.set_num_threads(1)
    print('set', 'series', 'steps', *args.ways, sep='\t')
    for name in args.sets:
        X,y = training_part(name, args.data, name in args.halve)
        n = [x.shape[1] for x in X]
        folds = get_splits(y, n_splits=args.folds, seed=0)
        found = [sum(right(w, X, y, s, i, args) for i,s in enumerate(folds)) for w in args.ways]
        print(name, len(X), f'{min(n)}-{max(n)}', *(f'{k/len(X):.3f}' for k in found), sep='\t', flush=True)
