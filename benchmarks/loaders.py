"""Loaders and loops by hand: `python benchmarks/loaders.py [arrays] [recordings] [lengths]`, or all three

- arrays: 100,000 x 3 x 128, beside `torch.from_numpy(X[idx])` and, if tsai is installed, its `get_ts_dls`,
  whose time depends on the number of threads of torch: keep the default
- recordings: an epoch over a temporary file of 4 GB, its windows beside slices made by hand,
  and the private memory it takes (Linux)
- lengths: the share of padding in batches of series of unequal length
"""
import os, shutil, sys, tempfile, warnings
from importlib.util import find_spec
from statistics import median
from time import perf_counter
import numpy as np
import torch
with warnings.catch_warnings():
    warnings.simplefilter('ignore', FutureWarning)
    from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.sets import get_ucr, make_bumps

def seconds_a_batch(batches, most=None):
    "Mean over a pass, or over its first `most` batches, with the time for the order of the series"
    t = perf_counter()
    for n,_ in enumerate(batches, 1):
        if n==most: break
    return (perf_counter()-t)/n

def plain(X, y, idxs, bs):
    "Shuffled batches by a simple loop"
    order = np.random.permutation(idxs)
    for i in range(0, len(order), bs): yield torch.from_numpy(X[order[i:i+bs]]), torch.from_numpy(y[order[i:i+bs]])

def tsai_loaders(X, y, splits, bs):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        from tsai.data.core import get_ts_dls
        splits = tuple(o.tolist() for o in splits)
        return get_ts_dls(X, y, splits=splits, bs=bs, num_workers=0, device='cpu')

def ways_to_batches(X, y, splits, bs):
    "Functions that return the seconds per batch, by name"
    ways = {'by hand': lambda: seconds_a_batch(plain(X, y, splits[0], bs))}
    for scale in (None,'channel'):
        dls = TSDataLoaders.from_arrays(X, y, splits, bs=bs, scale=scale, seed=0, device='cpu')
        ways[f'from_arrays(scale={scale!r})'] = lambda dls=dls: seconds_a_batch(dls.train)
    if find_spec('tsai'):
        tdls = tsai_loaders(X, y, splits, bs)
        ways['tsai get_ts_dls'] = lambda: seconds_a_batch(tdls.train, 100)
    return ways

def arrays(rounds=7):
    rng = np.random.default_rng(0)
    X,y = rng.normal(size=(100_000,3,128)).astype(np.float32),rng.integers(0, 5, 100_000)
    splits = np.arange(99_936), np.arange(99_936, 100_000)
    print(f'threads of torch: {torch.get_num_threads()}')
    heads = ('ms a batch of 64','ms a batch of 512')
    print(f"{'100,000 x 3 x 128':34}" + ''.join(f'{o:>22}' for o in heads))
    res = {} # {batch size: {way: seconds of each round}}
    for bs in (64,512):
        ways = ways_to_batches(X, y, splits, bs)
        res[bs] = {k:[] for k in ways}
        for _ in range(rounds):
            for k,f in ways.items(): res[bs][k].append(f())
    for k in res[64]: print(f'{k:34}' + ''.join(f'{median(res[bs][k])*1e3:22.3f}' for bs in res))
    ours,hand = 'from_arrays(scale=None)','by hand'
    def each(bs, a, b, f): return median(f(x, z) for x,z in zip(res[bs][a], res[bs][b]))
    more = each(64, ours, hand, lambda a,b: a-b)*1e3
    print(f'over the loop by hand, batches of 64 {more:22.3f} ms  (goal: at most 0.15)')
    share = each(512, ours, hand, lambda a,b: b/a)
    print(f'share of its speed, batches of 512   {share:22.2f}     (goal: 0.6)')
    if find_spec('tsai'):
        times = each(64, ours, 'tsai get_ts_dls', lambda a,b: b/a)
        print(f"times tsai's batches/s, 64            {times:21.1f}     (goal: 30)")

def private_memory():
    "Bytes of this process that are not mapped files"
    with open('/proc/self/status') as f: return next(int(l.split()[1])*1024 for l in f if l.startswith('RssAnon'))

def write_recordings(folder, gb, c, parts=4):
    "Paths of recordings of repeated noise, which fit the cache of the disk"
    n = gb*2**30//(4*c)
    paths = [f'{folder}/{i}.npy' for i in range(parts)]
    for i,path in enumerate(paths):
        m = np.lib.format.open_memmap(path, 'w+', np.float32, (c, n//parts))
        noise = np.random.default_rng(i).normal(size=2**16).astype(np.float32)
        for row in m:
            for j in range(0, len(row), len(noise)): row[j:j+len(noise)] = noise[:len(row)-j]
        m.flush()
        del m
    return paths

def windows_by_hand(paths, W, idxs, bs):
    "Shuffled batches of the windows `idxs`, sliced from the files"
    files = [np.load(p, mmap_mode='r').view(np.ndarray) for p in paths]
    order = np.random.permutation(idxs)
    for i in range(0, len(order), bs):
        o = order[i:i+bs]
        at = zip(W.rec[o].tolist(), W.start[o].tolist())
        yield torch.from_numpy(np.stack([files[r][:,s:s+W.length] for r,s in at]))

def recordings(gb=4, c=8, length=256, rounds=3):
    folder = tempfile.mkdtemp(dir=os.environ.get('TMPDIR'))
    try:
        if shutil.disk_usage(folder).free<1.5*gb*2**30:
            return print(f'recordings: skipped, as less than {1.5*gb} GB are free in the temporary folder')
        paths = write_recordings(folder, gb, c)
        def make(scale):
            return TSDataLoaders.from_recordings(paths, [0,1,0,1], length, groups=[0,0,1,1], valid_groups=[1],
                                                 scale=scale, device='cpu', bs=64, seed=0)
        start,t = private_memory(),perf_counter()
        dls = make('channel')
        print(f'{gb} GB in {len(paths)} files, {len(dls.train_ds.X):,} windows of {c} x {length}: '
              f'{perf_counter()-t:.1f} s until the loaders stand')
        top = private_memory()
        for dl in dls:
            for k,b in enumerate(dl):
                if k%50==0: top = max(top, private_memory())
        print(f'an epoch over both splits: private memory grew by {(top-start)/1e6:.0f} MB  (goal: below 300)')
        dls = make(None)
        ratios = []
        for _ in range(rounds):
            hand = seconds_a_batch(windows_by_hand(paths, dls.train_ds.X, dls.train_ds.idxs, 64))
            ours = seconds_a_batch(dls.train)
            ratios.append(hand/ours)
        print(f'windows/s {64/ours:,.0f}, {median(ratios):.2f} times those of slices by hand  (goal: 0.7)')
    finally: shutil.rmtree(folder)

def lengths(bs=64):
    print(f"{'padding, share of all steps':34}{'to the longest of all':>22}{'shuffled':>12}{'from_arrays':>12}")
    sets = {'10,000 of 50 to 100 steps': make_bumps(10_000, length=(50,100), seed=0)[:2]}
    if find_spec('aeon'): sets |= {k:get_ucr(k)[:2] for k in ('JapaneseVowels','PickupGestureWiimoteZ')}
    for name,(X,y) in sets.items():
        n = np.array([x.shape[1] for x in X])
        splits = np.arange(len(X)-10), np.arange(len(X)-10, len(X))
        dls = TSDataLoaders.from_arrays(X, y, splits, vocab=np.unique(y), bs=bs, seed=0)
        order = np.random.default_rng(0).permutation(len(X)-10)
        steps = sum(len(o)*n[o].max() for o in np.split(order, range(bs, len(order), bs)))
        shuffled = 1-n[order].sum()/steps
        data,steps = np.array([(b[1].sum(), b[0][:,0].numel()) for b in dls.train]).sum(0)
        print(f'{name:34}{1-n.mean()/n.max():22.1%}{shuffled:12.1%}{1-data/steps:12.1%}')

PARTS = dict(arrays=arrays, recordings=recordings, lengths=lengths)

if __name__=='__main__':
    for part in sys.argv[1:] or PARTS: PARTS[part]()
