"A run that is killed at any moment goes on to the same weights, and nothing is ever half-written"
import multiprocessing, random, signal, time
import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.mixup import MixUp
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.sets import make_bumps
from xceptiontime.train import recipe # noqa: F401 - gives learners `fit_recipe`
from xceptiontime.train.checkpoint import Checkpoint
from xceptiontime.train.learner import ts_learner

context = multiprocessing.get_context('forkserver') # each run in a process that has only imported things
context.set_forkserver_preload(['xceptiontime.train.checkpoint','xceptiontime.train.learner','fastai.callback.mixup'])

def script(folder, started=None, epochs=12, num_workers=0):
    "The run, from its first line; its weights go to `folder`/end.pt"
    torch.set_num_threads(1)
    X,y,_ = make_bumps(72, c_in=2, length=40, seed=0)
    splits = np.arange(48),np.arange(48,72)
    dls = TSDataLoaders.from_arrays(X, y, splits, bs=16, seed=0, device='cpu', num_workers=num_workers)
    learn = ts_learner(dls, nf=2, seed=0)
    if started is not None: started.set()
    with quiet(learn): learn.fit_one_cycle(epochs, 1e-2, cbs=[MixUp(.4), Checkpoint(folder)])
    torch.save(learn.model.state_dict(), folder/'end.pt')

def run(folder, **kwargs):
    p = context.Process(target=script, args=(folder,), kwargs=kwargs)
    p.start()
    return p

def whole_run(folder, **kwargs):
    "The weights after a run that nothing disturbs"
    p = run(folder, **kwargs)
    p.join()
    assert p.exitcode==0
    return weights(folder)

def weights(folder): return torch.load(folder/'end.pt')
def same(a, b): return a.keys()==b.keys() and all(a[k].equal(b[k]) for k in a)

def started_run(folder, **kwargs):
    "A run whose training begins now, without the start of its process"
    started = context.Event()
    p = run(folder, started=started, **kwargs)
    assert started.wait(120)
    return p

def timed_run(folder):
    "Seconds that training takes"
    p = started_run(folder)
    start = time.perf_counter()
    p.join()
    assert p.exitcode==0
    return time.perf_counter()-start

def test_killed_once(tmp_path):
    "A kill right after the second epoch's checkpoint; random moments are in the slow part"
    whole = whole_run(tmp_path/'whole', epochs=4)
    p = started_run(tmp_path/'cut', epochs=4)
    while not (tmp_path/'cut'/'checkpoint.pt').exists(): time.sleep(.002)
    p.kill()
    p.join()
    Checkpoint(tmp_path/'cut').load()
    assert same(whole, whole_run(tmp_path/'cut', epochs=4))

@pytest.mark.slow
def test_killed_at_random_moments(tmp_path, request):
    "Five kills; fifty with `pytest --flags slow`"
    seconds = timed_run(tmp_path/'whole')
    todo = 50 if 'slow' in request.config.getoption('--flags') else 5
    seed = random.randrange(2**32)
    print('seed', seed)
    rng,runs = random.Random(seed),0
    cut = tmp_path/'0'
    while todo:
        p = started_run(cut)
        p.join(rng.uniform(0, seconds/2))
        p.kill()
        p.join()
        todo -= p.exitcode==-signal.SIGKILL
        if cut.exists(): assert {f.name for f in cut.iterdir()} <= {'checkpoint.pt','.checkpoint-new.pt','end.pt'}
        if (cut/'checkpoint.pt').exists(): Checkpoint(cut).load()
        if p.exitcode==0: # it came to its end: the next run begins anew
            assert same(weights(tmp_path/'whole'), weights(cut))
            runs += 1
            cut = tmp_path/f'{runs}'
    timed_run(cut)
    assert same(weights(tmp_path/'whole'), weights(cut))

@pytest.mark.parametrize('num_workers', [0, pytest.param(2, marks=pytest.mark.slow)])
def test_two_processes_same_seed(tmp_path, num_workers):
    a,b = (whole_run(tmp_path/name, epochs=2, num_workers=num_workers) for name in 'ab')
    assert same(a, b)

def small(tmp_path, n=32, **kwargs):
    "A learner of a second"
    X,y,_ = make_bumps(n, c_in=1, length=30, seed=0)
    splits = np.arange(n-8),np.arange(n-8, n)
    dls = TSDataLoaders.from_arrays(X, y, splits, bs=8, seed=0, device='cpu')
    return ts_learner(dls, **{'nf':1, 'seed':0, 'path':tmp_path, **kwargs})

class quiet:
    "Neither bars nor lines"
    def __init__(self, learn): self.contexts = [learn.no_bar(), learn.no_logging()]
    def __enter__(self):
        for c in self.contexts: c.__enter__()
    def __exit__(self, *args):
        for c in self.contexts[::-1]: c.__exit__(*args)

class Full(Callback):
    "From the second epoch on, every write of a checkpoint says that the disk is full"
    def __init__(self, folder): self.folder = folder
    def after_epoch(self):
        if self.epoch!=1: return
        self.before = (self.folder/'checkpoint.pt').read_bytes()
        (self.folder/'.checkpoint-new.pt').symlink_to('/dev/full')

def test_full_disk_keeps_the_last_good_state(tmp_path):
    learn,full = small(tmp_path),Full(tmp_path/'a')
    told = pytest.raises(OSError, match='expected room and leave to write checkpoint.pt.*kept')
    with quiet(learn), told: learn.fit(3, cbs=[full, Checkpoint(tmp_path/'a')])
    assert (tmp_path/'a'/'checkpoint.pt').read_bytes()==full.before
    assert learn.this_run.kind=='idle'

def test_folder_that_cannot_be(tmp_path):
    (tmp_path/'file').write_text('mine')
    learn = small(tmp_path)
    with quiet(learn), pytest.raises(OSError, match='expected room and leave to write'):
        learn.fit(1, cbs=Checkpoint(tmp_path/'file'/'a'))
    assert (tmp_path/'file').read_text()=='mine'

class Interrupt(Callback):
    def after_batch(self):
        if self.training and self.train_iter==5:
            raise KeyboardInterrupt

def test_interrupt_ends_cleanly(tmp_path):
    learn = small(tmp_path)
    logger,cbs = learn.logger,list(learn.cbs)
    start = [p.detach().clone() for p in learn.model.parameters()]
    with quiet(learn), pytest.raises(KeyboardInterrupt): learn.fit_one_cycle(4, 1e-2, cbs=Interrupt())
    assert not all(a.equal(b) for a,b in zip(start, learn.model.parameters())) # what was learned is there
    assert learn.logger==logger and {type(c) for c in learn.cbs}=={type(c) for c in cbs}
    assert len(learn.recorder.values)==1 # the one whole epoch
    with quiet(learn): learn.fit(1)
    assert len(learn.recorder.values)==1

def test_another_number_of_passes(tmp_path):
    "A run of as many epochs, each of more passes over the series, is another run"
    def fit(steps):
        learn = small(tmp_path, n=14)
        with quiet(learn): learn.fit_recipe(dict(epochs=1, min_steps=steps), cbs=Checkpoint(tmp_path))
        return learn
    assert fit(80).n_epoch==40
    other = 'expected the run that is now started, with the same passes 3, got 2; another run needs another folder'
    with pytest.raises(ValueError, match=other): fit(120)
