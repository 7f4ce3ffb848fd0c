"""Recipes beside the default one: `python benchmarks/recipes.py --path DATA --csv benchmarks/recipes.csv`

Each candidate is judged by cross-validation inside the training part of each set; no test part is
looked at. Where a class has fewer series than there are folds, a fold holds back a random share of
each class instead, and a class of one series is never held back.

A fold goes over all sets before the next begins, and a set over all candidates. Each training adds
a row to the csv file; a run that was stopped goes on with the same command. `--summary` compares
the rows that are there with the default recipe: differences of accuracy and negative log
likelihood, wins, draws and losses over the sets, Wilcoxon's p, and the seconds of training as a
share of the default's.
"""
import argparse, csv, math, time, warnings
from collections import namedtuple
from pathlib import Path
import numpy as np
import torch
with warnings.catch_warnings():
    warnings.simplefilter('ignore', FutureWarning)
    from xceptiontime.bench.benchmark import scores_of
from torch import nn
from torch.optim.swa_utils import AveragedModel
from xceptiontime.bench.comparison import ablation
from xceptiontime.data.augment import Scaling, TimeWarp
from xceptiontime.data.sets import get_ucr
from xceptiontime.data.splits import get_splits
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.train.recipe import AverageWeights, get_recipe, recipe_learner

class FreshAverage(AverageWeights):
    "A running average whose decay grows from .1 to `decay`, and fresh statistics of BatchNorm for it"
    def before_fit(self):
        def mix(mean, new, t): return mean + (1-min(self.decay, (1+int(t))/(10+int(t))))*(new-mean)
        if self.averages: self.mean = AveragedModel(self.model, avg_fn=mix)

    @torch.no_grad()
    def after_fit(self):
        super().after_fit()
        norms = [m for m in self.model.modules() if isinstance(m, nn.BatchNorm1d)]
        for m in norms: m.reset_running_stats()
        self.model.train()
        for i,b in enumerate(self.dls.train, 1):
            for m in norms: m.momentum = 1/i # the mean over all batches
            self.model(*b[:-1])

def drop_channels(model):
    "Leaves out a fifth of the channels before the last layer, others in each step of training"
    model.head[-2] = nn.Sequential(nn.Dropout1d(.2), model.head[-2])

Candidate = namedtuple('Candidate', 'settings below cbs change', defaults=({}, math.inf, (), None))
# arguments of loaders and network, the size of sets it is for, callbacks, change of the network
CANDIDATES = dict(
    default=Candidate(),
    augment=Candidate(dict(batch_tfms=[Scaling(.1), TimeWarp(.2)])),
    average=Candidate(cbs=(FreshAverage,)),
    pool10=Candidate(dict(adaptive_size=10)),
    kernels=Candidate(dict(ks=(41,21,11))),
    sample=Candidate(dict(scale='sample')),
    narrow=Candidate(dict(nf=8), below=50),
    dropout=Candidate(change=drop_channels))
COLUMNS = ['set','candidate','fold','seed','accuracy','nll','seconds','steps','n_train','n_valid']
# quick ones first, those with few series last; Fungi has one series of each class
SETS = ['ItalyPowerDemand','MelbournePedestrian','JapaneseVowels',
        'DistalPhalanxOutlineAgeGroup','MiddlePhalanxOutlineCorrect',
        'ProximalPhalanxOutlineAgeGroup','ECG200','DistalPhalanxTW',
        'MiddlePhalanxOutlineAgeGroup','DistalPhalanxOutlineCorrect',
        'ProximalPhalanxOutlineCorrect','MiddlePhalanxTW','BasicMotions','GunPointAgeSpan',
        'GunPointMaleVersusFemale','GunPointOldVersusYoung','Chinatown','BME','GunPoint',
        'Adiac','ArrowHead','Coffee','DodgerLoopWeekend','DodgerLoopDay','Lightning7',
        'FaceFour','GestureMidAirD1','GestureMidAirD2','GestureMidAirD3',
        'PickupGestureWiimoteZ','OSULeaf','Ham','Meat','GesturePebbleZ2','Beef','Herring',
        'BeetleFly','BirdChicken','OliveOil','Car','Lightning2','ACSF1','DiatomSizeReduction']

def training_part(name, path):
    "Series and their classes"
    X,y,(train,_) = get_ucr(name, path)
    return (X[train] if isinstance(X, np.ndarray) else [X[i] for i in train]),y[train]

def fold_of(y, fold, folds):
    "Series to train on, and series held back"
    names,at,n = np.unique(y, return_inverse=True, return_counts=True)
    if n.min()>=folds: return get_splits(y, n_splits=folds, seed=fold//folds)[fold%folds]
    if (n<2).all():
        raise ValueError(f'y: expected a class of two series or more, got {len(names)} of one')
    several = np.flatnonzero(n[at]>1)
    size = max((n>1).sum(), round(len(several)/folds))
    train,valid = get_splits(y[several], valid_size=int(size), seed=fold)
    return np.concatenate([several[train], np.flatnonzero(n[at]==1)]),several[valid]

def trained(candidate, X, y, splits, seed, steps):
    "Results of a candidate on the series held back"
    r,c = get_recipe(),CANDIDATES[candidate]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        learn = recipe_learner(X, y, splits, XceptionTime, r, seed, device='cpu', **c.settings)
    if c.change: c.change(learn.model)
    longer = dict(epochs=math.ceil(steps/len(learn.dls.train))) if steps else {}
    start = time.thread_time()
    with learn.no_bar(),learn.no_logging(): learn.fit_recipe(r, cbs=[f() for f in c.cbs], **longer)
    seconds = time.thread_time()-start
    scores = learn.predictor().scores([X[i] for i in splits[1]]).double()
    target = learn.dls.task.encode(y[splits[1]])
    scores = scores_of(torch.softmax(scores, 1).numpy(), target)
    return dict(accuracy=scores['accuracy'], nll=scores['nll'], seconds=round(seconds, 1),
                steps=len(learn.recorder.losses), n_train=len(splits[0]), n_valid=len(splits[1]))

def read(path):
    import pandas as pd
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)

def units(args):
    "Each training that has no row yet, a set's in a row"
    done = set(read(args.csv)[COLUMNS[:4]].itertuples(index=False, name=None))
    for fold in range(args.repeats*args.folds):
        for name in args.sets:
            todo = [(name,c,fold,seed) for c in args.candidates for seed in args.seeds]
            if todo := [u for u in todo if u not in done]: yield name,fold,todo

def run(args):
    start = time.perf_counter()
    for name,fold,todo in units(args):
        try:
            X,y = training_part(name, args.path)
            splits = fold_of(y, fold, args.folds)
        except (OSError,ValueError) as e:
            print(f'{name}: {e}')
            continue
        for unit in todo:
            if len(y)>=CANDIDATES[unit[1]].below: continue
            if time.perf_counter()-start>args.max_seconds: return
            row = dict(zip(COLUMNS, unit))|trained(unit[1], X, y, splits, 100*fold+unit[3], args.steps)
            new = not args.csv.exists()
            with args.csv.open('a', newline='') as f:
                w = csv.DictWriter(f, COLUMNS)
                if new: w.writeheader()
                w.writerow({k: f'{v:.6g}' if isinstance(v, float) else v for k,v in row.items()})
            print(*(row[k] for k in COLUMNS[:7]), sep='\t', flush=True)

def summary(args):
    "Each candidate beside the default, over the folds that have both"
    rows = read(args.csv)
    unit = rows['fold'].astype(str)+'.'+rows['seed'].astype(str)
    rows = rows.assign(recipe=rows['candidate'], seed=unit)
    print(ablation(rows, 'default').round(4).to_string())

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--path', help='folder with the data sets; a cache if not given')
    p.add_argument('--csv', type=Path, default=Path('recipes.csv'), help='table of results')
    p.add_argument('--sets', nargs='+', default=SETS)
    p.add_argument('--candidates', nargs='+', default=list(CANDIDATES), choices=CANDIDATES)
    p.add_argument('--folds', type=int, default=3)
    p.add_argument('--repeats', type=int, default=1, help='times that a set is divided into folds')
    p.add_argument('--seeds', type=int, nargs='+', default=[0])
    p.add_argument('--steps', type=int, help='batches of each training; as in the recipe if not given')
    p.add_argument('--max-seconds', type=float, default=math.inf, help='no training begins after')
    p.add_argument('--summary', action='store_true', help='compare the rows that are there, train nothing')
    args = p.parse_args()
    torch.set_num_threads(1)
    summary(args) if args.summary else run(args)
