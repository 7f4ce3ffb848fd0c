"""Recipes compared with the default recipe: `python benchmarks/recipes.py --path DATA --csv benchmarks/recipes.csv`

Each candidate is evaluated by cross-validation inside the training part of each set; test parts are
not used. If a class has fewer series than there are folds, a fold holds back a random share of each
class instead, and a class of one series is never held back.

The loop is over folds, then sets, then candidates. Each training adds a row to the csv file; the same
command continues an interrupted run. With `--minutes`, a set begins only if it will end in time, so
the sets in the file have all candidates. `--workers` is the
number of processes, each with one thread; with two devices, one number for each:

    python benchmarks/recipes.py --device cuda cpu --workers 8 4 --minutes 10

Then each set goes to the next device that is free. `seconds` are the processor time of the training's
thread on a CPU, and elapsed time on a GPU, which the trainings share.

`--summary` compares the rows with the default recipe: differences of accuracy and
negative log likelihood, wins, draws and losses over the sets, Wilcoxon's p, and the seconds of
training as a share of the default's. Only rows of the same device are compared. Keep short trainings
(`--steps`) in a file of their own: a row counts as done, whatever its number of batches.
"""
import argparse, csv, math, time, warnings
from collections import namedtuple
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import lru_cache,partial
from multiprocessing import active_children, get_context
from pathlib import Path
import numpy as np
import torch
with warnings.catch_warnings():
    warnings.simplefilter('ignore', FutureWarning)
    from xceptiontime.bench.benchmark import scores_of
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from xceptiontime.bench.comparison import ablation
from xceptiontime.data.augment import Scaling, TimeWarp
from xceptiontime.data.sets import get_ucr
from xceptiontime.data.splits import get_splits
from xceptiontime.models.layers import BatchNorm1d
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.train.recipe import AverageWeights, get_recipe, recipe_learner

class FreshAverage(AverageWeights):
    "A running average whose decay grows from .1 to `decay`, and fresh statistics of BatchNorm for it"
    def before_fit(self):
        self.steps = 0 # number of averaged steps
        def mix(means, new, _):
            torch._foreach_lerp_(means, new, 1-min(self.decay, (1+self.steps)/(10+self.steps)))
        if self.averages: self.mean = AveragedModel(self.model, multi_avg_fn=mix)

    def after_step(self):
        super().after_step()
        self.steps += 1

    @torch.no_grad()
    def after_fit(self):
        super().after_fit()
        norms = [m for m in self.model.modules() if isinstance(m, nn.BatchNorm1d)]
        for m in norms: m.reset_running_stats()
        self.model.train()
        for i,b in enumerate(self.dls.train, 1):
            for m in norms: m.momentum = 1/i # the mean over all batches
            self.model.forward(*b[:-1]) # without a CUDA graph, which would keep the momentum of its first step

def drop_channels(model):
    "Drops a fifth of the channels before the last layer, at random in each step of training"
    model.head[-2] = nn.Sequential(nn.Dropout1d(.2), model.head[-2])

def norm_modules(model):
    "BatchNorm and a ReLU after each module, as in InceptionTime; before a shortcut is added, BatchNorm alone"
    nf = model.init_args['nf']
    for i,m in enumerate(model.block.xception):
        m.norm = nn.Sequential(BatchNorm1d(nf*4*2**i), *[nn.ReLU()]*(i%2==0))
        m.register_forward_hook(lambda m, x, out: m.norm(out))

def hand_made_filters(c_in):
    "The 17 filters of H-InceptionTime (c_in, steps): they answer to a rise, a fall and a peak of different lengths"
    for steps in (2,4,8,16,32,64):
        rise = torch.ones(steps)
        rise[::2] = -1
        yield rise.expand(c_in, -1)
        yield -rise.expand(c_in, -1)
        if steps==2: continue
        slope = torch.arange(1., steps//4+1).div(steps//4)**2
        up_and_down = torch.cat([slope, slope.flip(0)])
        yield torch.cat([-up_and_down, 2*up_and_down, -up_and_down]).expand(c_in, -1)

class HandMade(XceptionTime):
    "The network with the responses of the filters of H-InceptionTime as further channels"
    def __init__(self, c_in, c_out):
        filters = [w[None] for w in hand_made_filters(c_in)] # not trained
        super().__init__(c_in+len(filters), c_out, head='linear')
        self.filters = filters

    def forward(self, x, lengths=None):
        responses = torch.cat([F.conv1d(x, w.to(x), padding='same') for w in self.filters], 1).relu()
        return super().forward(torch.cat([x, responses], 1), lengths)

def plus(**options):
    "tsai's XceptionTimePlus with some of its options, and a linear last layer as in the default recipe"
    from tsai.models.XceptionTimePlus import XceptionTimePlus
    class Plus(XceptionTimePlus):
        def __init__(self, c_in, c_out):
            super().__init__(c_in, c_out, **options)
            self.head[3] = nn.Conv1d(self.head_nf//4, c_out, 1)
    return Plus

Candidate = namedtuple('Candidate', 'settings recipe sizes cbs change arch',
                       defaults=({}, {}, (1,math.inf), (), None, lambda: XceptionTime))
# arguments of loaders and network, changes of the recipe, the least and largest training part it is for,
# callbacks, change of the network, and a function that returns the class of the network
OURS = dict(
    default=Candidate(),
    augment=Candidate(dict(batch_tfms=[Scaling(.1), TimeWarp(.2)])),
    average=Candidate(cbs=(FreshAverage,)),
    pool10=Candidate(dict(adaptive_size=10)),
    kernels=Candidate(dict(ks=(41,21,11))),
    sample=Candidate(dict(scale='sample')),
    narrow=Candidate(dict(nf=8), sizes=(1,49)),
    longer=Candidate(recipe=dict(epochs=150, min_steps=1500), sizes=(241,math.inf)), # others have 150 epochs already
    dropout=Candidate(change=drop_channels),
    hand_made=Candidate(arch=lambda: HandMade),
    norm=Candidate(change=norm_modules))
TSAI = dict( # options of its XceptionTimePlus
    coord=dict(coord=True),
    instance=dict(norm='Instance'),
    silu=dict(act=nn.SiLU),
    concat_pool=dict(concat_pool=True),
    norm_act=dict(norm_act=True),
    zero_norm=dict(norm_act=True, zero_norm=True))
CANDIDATES = OURS|{k: Candidate(arch=partial(plus, **options)) for k,options in TSAI.items()}
COLUMNS = ['set','candidate','fold','seed','accuracy','nll','seconds','steps','n_train','n_valid','device']
# small sets first; without Fungi, which has one series of each class
SETS = ['ItalyPowerDemand','Chinatown','JapaneseVowels','MelbournePedestrian',
        'DistalPhalanxOutlineAgeGroup','MiddlePhalanxOutlineCorrect',
        'ProximalPhalanxOutlineAgeGroup','DistalPhalanxTW','MiddlePhalanxOutlineAgeGroup',
        'DistalPhalanxOutlineCorrect','ProximalPhalanxOutlineCorrect','MiddlePhalanxTW',
        'ECG200','BasicMotions','BME','GunPointAgeSpan','GunPointMaleVersusFemale',
        'GunPointOldVersusYoung','GunPoint','Adiac','ArrowHead','Coffee','DodgerLoopWeekend',
        'DodgerLoopDay','Lightning7','DiatomSizeReduction','FaceFour','GestureMidAirD1',
        'GestureMidAirD2','GestureMidAirD3','PickupGestureWiimoteZ','OSULeaf','Ham','Meat',
        'GesturePebbleZ2','Beef','Herring','BeetleFly','BirdChicken','OliveOil','Car',
        'Lightning2','ACSF1']

@lru_cache(None)
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

def trained(candidate, X, y, splits, seed, steps, device):
    "Train a candidate; returns its results on the series held back"
    c = CANDIDATES[candidate]
    r = get_recipe(**dict(epochs=1, min_steps=steps) if steps else c.recipe)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        arch = c.arch()
        learn = recipe_learner(X, y, splits[:1], arch, r, seed, device=device,
                               cuda_graphs=None if arch is XceptionTime else True, **c.settings)
    if c.change: c.change(learn.model)
    clock = time.thread_time if device=='cpu' else time.perf_counter
    start = clock()
    with learn.no_bar(),learn.no_logging(): learn.fit_recipe(r, cbs=[f() for f in c.cbs])
    steps = len(learn.recorder.losses)
    scores = learn.predictor().scores([X[i] for i in splits[1]]).double()
    seconds = clock()-start
    scores = scores_of(torch.softmax(scores, 1).numpy(), learn.dls.task.encode(y[splits[1]]))
    return dict(accuracy=scores['accuracy'], nll=scores['nll'], seconds=round(seconds, 1), steps=steps,
                n_train=len(splits[0]), n_valid=len(splits[1]),
                device='cpu' if device=='cpu' else torch.cuda.get_device_name())

def work(unit, device, args):
    "Train once and return the row"
    torch.set_num_threads(1)
    name,candidate,fold,seed = unit
    X,y = training_part(name, args.path)
    res = trained(candidate, X, y, fold_of(y, fold, args.folds), 100*fold+seed, args.steps, device)
    return dict(zip(COLUMNS, unit))|res

def read(path):
    import pandas as pd
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)

def write(row, path):
    new = not path.exists()
    with path.open('a', newline='') as f:
        w = csv.DictWriter(f, COLUMNS)
        if new: w.writeheader()
        w.writerow({k: f'{v:.6g}' if isinstance(v, float) else v for k,v in row.items()})
    print(*(row[k] for k in COLUMNS[:7]), sep='\t', flush=True)

def fits(candidate, n):
    least,most = CANDIDATES[candidate].sizes
    return least<=n<=most

def units(args):
    "The trainings without a row, by set and fold"
    done = set(read(args.csv)[COLUMNS[:4]].itertuples(index=False, name=None))
    # with --steps all have as many epochs
    candidates = [c for c in args.candidates if not (args.steps and CANDIDATES[c].recipe)]
    for fold in range(args.repeats*args.folds) if args.only is None else args.only:
        for name in args.sets:
            todo = [(name,c,fold,seed) for seed in args.seeds for c in candidates]
            if not (todo := [u for u in todo if u not in done]): continue
            try:
                _,y = training_part(name, args.path)
                fold_of(y, fold, args.folds)
            except (OSError,ValueError) as e: print(f'{name}: {e}')
            else: yield [u for u in todo if fits(u[1], len(y))]

class Plan:
    "The trainings in order, as long as there is time for a whole set"
    def __init__(self, args):
        self.sets,self.workers = units(args),sum(args.workers)
        self.longest = 0
        self.end = time.perf_counter()+60*args.minutes
    def left(self): return self.end-time.perf_counter()
    def begins(self):
        for todo in self.sets:
            if self.left()<1.5*self.longest*math.ceil(len(todo)/self.workers): return
            yield from todo
    def note(self, row): self.longest = max(self.longest, row['seconds'])

def rows_here(plan, args):
    "Rows of trainings one after another"
    for unit in plan.begins(): yield work(unit, args.device[0], args)

def rows_of_workers(plan, args):
    "Rows of trainings in several processes, which end when the time is up"
    pools = [(device,n,ProcessPoolExecutor(n, get_context('spawn')),plan.begins())
             for device,n in zip(args.device, args.workers)]
    busy = {}
    try:
        while True:
            for device,n,pool,begins in pools:
                while sum(d==device for _,d in busy.values())<n and (unit := next(begins, None)):
                    busy[pool.submit(work, unit, device, args)] = unit,device
            time_left = None if plan.left()==math.inf else max(0, plan.left())
            ended = wait(busy, time_left, FIRST_COMPLETED).done
            if not ended: return # all is done, or the time is up
            for f in ended:
                unit,_ = busy.pop(f)
                if e := f.exception(): print(*unit, f'{type(e).__name__}: {e}', sep='\t', flush=True)
                else: yield f.result()
    finally:
        for p in active_children(): p.terminate()
        for _,_,pool,_ in pools: pool.shutdown(cancel_futures=True)

def run(args):
    plan = Plan(args)
    for row in (rows_here if args.workers==[1] else rows_of_workers)(plan, args):
        write(row, args.csv)
        plan.note(row)

def summary(args):
    "Each candidate compared with the default, over the folds with both"
    rows = read(args.csv)
    unit = rows[['fold','seed','device']].astype(str).agg('.'.join, axis=1)
    rows = rows.assign(recipe=rows['candidate'], seed=unit)
    print(ablation(rows, 'default').round(4).to_string())

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--path', help='folder with the data sets; a cache if not given')
    p.add_argument('--csv', type=Path, default=Path('recipes.csv'), help='table of results')
    p.add_argument('--sets', nargs='+', default=SETS)
    p.add_argument('--candidates', nargs='+', default=list(OURS), choices=CANDIDATES)
    p.add_argument('--folds', type=int, default=3)
    p.add_argument('--repeats', type=int, default=1, help='times that a set is divided into folds')
    p.add_argument('--only', type=int, nargs='+', metavar='FOLD', help='folds to train on; all if not given')
    p.add_argument('--seeds', type=int, nargs='+', default=[0])
    p.add_argument('--steps', type=int, help='batches of each training; as in the recipe if not given')
    p.add_argument('--device', nargs='+', default=['cpu'], help='one or two: cpu, cuda')
    p.add_argument('--workers', type=int, nargs='+', default=[1], help='processes for each device')
    p.add_argument('--minutes', type=float, default=math.inf, help='time for all')
    p.add_argument('--summary', action='store_true', help='compare the rows that are there, train nothing')
    args = p.parse_args()
    if len(args.workers)!=len(args.device): p.error('--workers: expected one number for each device')
    torch.set_num_threads(1)
    summary(args) if args.summary else run(args)
