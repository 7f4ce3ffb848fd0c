"A run that is killed at any moment goes on to the same weights, and nothing is ever half-written"
import multiprocessing, os, random, signal, threading, time
import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.mixup import MixUp
from xceptiontime.train.checkpoint import Checkpoint
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.sets import make_bumps
from xceptiontime.train.learner import ts_learner
import xceptiontime.train.recipe # gives learners `fit_recipe`

context = multiprocessing.get_context('forkserver') # each run in a process that has only imported things
context.set_forkserver_preload(['xceptiontime.checkpoint','fastai.callback.mixup'])

def script(folder, started=None, epochs=12, num_workers=0):
    "The run, from its first line; its weights go to `folder`/end.pt"
    torch.set_num_threads(1)
    X,y,_ = make_bumps(72, c_in=2, length=40, seed=0)
    dls = TSDataLoaders.from_arrays(X, y, (np.arange(48), np.arange(48,72)), bs=16, seed=0, device='cpu', num_workers=num_workers)
    learn = ts_learner(dls, nf=2, seed=0)
    if started is not None: started.set()
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, 1e-2, cbs=[MixUp(.4), Checkpoint(folder)])
    torch.save(learn.model.state_dict(), folder/'end.pt')

def run(folder, **kwargs):
    p = context.Process(target=script, args=(folder,), kwargs=kwargs)
    p.start()
    return p

def weights(folder): return torch.load(folder/'end.pt')
def same(a, b): return a.keys()==b.keys() and all(a[k].equal(b[k]) for k in a)

def timed_run(folder):
    "Seconds that training takes, without the start of its process"
    started = context.Event()
    p = run(folder, started=started)
    assert started.wait(120)
    start = time.perf_counter()
    p.join()
    assert p.exitcode==0
    return time.perf_counter()-start

def test_killed_at_random_moments(tmp_path, request):
    "Five kills; fifty with `pytest --flags slow`"
    seconds = timed_run(tmp_path/'whole')
    todo,seed = 50 if 'slow' in request.config.getoption('--flags') else 5,random.randrange(2**32)
    print('seed', seed)
    rng,runs,cut = random.Random(seed),0,tmp_path/'0'
    while todo:
        started = context.Event()
        p = run(cut, started=started)
        assert started.wait(120)
        p.join(rng.uniform(0, seconds/2))
        p.kill()
        p.join()
        todo -= p.exitcode==-signal.SIGKILL
        if cut.exists(): assert {f.name for f in cut.iterdir()} <= {'checkpoint.pt','.checkpoint-new.pt','end.pt'}
        if (cut/'checkpoint.pt').exists(): Checkpoint(cut).load()
        if p.exitcode==0: # it came to its end: the next run begins anew
            assert same(weights(tmp_path/'whole'), weights(cut))
            runs,cut = runs+1,tmp_path/f'{runs+1}'
    timed_run(cut)
    assert same(weights(tmp_path/'whole'), weights(cut))

@pytest.mark.parametrize('num_workers', [0,2])
def test_two_processes_same_seed(tmp_path, num_workers):
    for name in 'ab':
        p = run(tmp_path/name, epochs=2, num_workers=num_workers)
        p.join()
        assert p.exitcode==0
    assert same(weights(tmp_path/'a'), weights(tmp_path/'b'))

def small(tmp_path):
    X,y,_ = make_bumps(32, c_in=1, length=30, seed=0)
    dls = TSDataLoaders.from_arrays(X, y, (np.arange(24), np.arange(24,32)), bs=8, seed=0, device='cpu')
    return ts_learner(dls, nf=2, seed=0, path=tmp_path)

def test_full_disk_keeps_the_last_good_state(tmp_path):
    learn = small(tmp_path)
    with learn.no_bar(), learn.no_logging(): learn.fit(2, cbs=Checkpoint(tmp_path/'a'))
    before = (tmp_path/'a'/'checkpoint.pt').read_bytes()
    (tmp_path/'a'/'.checkpoint-new.pt').symlink_to('/dev/full') # every write to it says that the disk is full
    cb = Checkpoint(tmp_path/'a')
    cb.learn = learn
    with pytest.raises(OSError, match='expected room and leave to write checkpoint.pt.*kept'): cb.save()
    assert (tmp_path/'a'/'checkpoint.pt').read_bytes()==before

def test_folder_that_cannot_be(tmp_path):
    (tmp_path/'file').write_text('mine')
    learn = small(tmp_path)
    with learn.no_bar(), learn.no_logging(), pytest.raises(OSError, match='expected room and leave to write'): learn.fit(1, cbs=Checkpoint(tmp_path/'file'/'a'))
    assert (tmp_path/'file').read_text()=='mine'

class Interrupt(Callback):
    def after_batch(self):
        if self.training and self.train_iter==5: raise KeyboardInterrupt

def test_interrupt_ends_cleanly(tmp_path):
    learn = small(tmp_path)
    logger,cbs = learn.logger,list(learn.cbs)
    start = [p.detach().clone() for p in learn.model.parameters()]
    with learn.no_bar(), learn.no_logging(), pytest.raises(KeyboardInterrupt): learn.fit_one_cycle(4, 1e-2, cbs=Interrupt())
    assert not all(a.equal(b) for a,b in zip(start, learn.model.parameters())) # what was learned is there
    assert learn.logger==logger and {type(c) for c in learn.cbs}=={type(c) for c in cbs}
    assert len(learn.recorder.values)==1 # the one whole epoch
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    assert len(learn.recorder.values)==1

def test_another_number_of_passes(tmp_path):
    "A run of as many epochs, each of more passes over the series, is another run"
    X,y,_ = make_bumps(8, 1, 30, seed=0)
    def fit(steps):
        learn = ts_learner(TSDataLoaders.from_arrays(X, y, (range(6),range(6,8)), bs=6, seed=0, device='cpu'), nf=1, seed=0)
        with learn.no_bar(), learn.no_logging(): learn.fit_recipe(dict(epochs=1, min_steps=steps), cbs=Checkpoint(tmp_path))
        return learn
    assert fit(80).n_epoch==40
    with pytest.raises(ValueError, match='expected the run that is now started, with the same passes 3, got 2; another run needs another folder'): fit(120)
