"A run that is killed at any moment continues to the same weights, and no file is half-written"
import multiprocessing, random, signal, time
from types import SimpleNamespace
import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.mixup import CutMix,MixUp
from fastai.callback.progress import CSVLogger
from fastai.callback.schedule import LRFinder
from fastai.callback.tracker import SaveModelCallback
from fastai.interpret import Interpretation
from fastai.learner import load_learner
from fastai.optimizer import SGD
from small import Stop, same
from torch import nn
from xceptiontime.data.augment import Jitter,TSCutMix,TSMixUp
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.sets import make_bumps
from xceptiontime.train import recipe # noqa: F401 - gives learners `fit_recipe`
from xceptiontime.train.checkpoint import Checkpoint, _set_optimizer
from xceptiontime.train.learner import ts_learner
from xceptiontime.train.optimizer import ForeachAdam

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
    "The weights after an undisturbed run"
    p = run(folder, **kwargs)
    p.join()
    assert p.exitcode==0
    return weights(folder)

def weights(folder): return torch.load(folder/'end.pt')

def started_run(folder, **kwargs):
    "A run that has started its process and is about to train"
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

@pytest.mark.slow
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
        if p.exitcode==0: # it has ended: the next run starts again
            assert same(weights(tmp_path/'whole'), weights(cut))
            runs += 1
            cut = tmp_path/f'{runs}'
    timed_run(cut)
    assert same(weights(tmp_path/'whole'), weights(cut))

@pytest.mark.slow
@pytest.mark.parametrize('num_workers', [0,2])
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
    "No progress bars and no lines"
    def __init__(self, learn): self.contexts = [learn.no_bar(), learn.no_logging()]
    def __enter__(self):
        for c in self.contexts: c.__enter__()
    def __exit__(self, *args):
        for c in self.contexts[::-1]: c.__exit__(*args)

class Full(Callback):
    "From the second epoch on, every write of a checkpoint raises an error of a full disk"
    looks_only = True
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
    assert not all(a.equal(b) for a,b in zip(start, learn.model.parameters())) # the weights were trained
    assert learn.logger==logger and {type(c) for c in learn.cbs}=={type(c) for c in cbs}
    assert len(learn.recorder.values)==1 # the one whole epoch
    with quiet(learn): learn.fit(1)
    assert len(learn.recorder.values)==1

@pytest.mark.slow
def test_another_number_of_passes(tmp_path):
    "A run with the same number of epochs, but more passes per epoch, is another run"
    def fit(steps):
        learn = small(tmp_path, n=14)
        with quiet(learn): learn.fit_recipe(dict(epochs=1, min_steps=steps), cbs=Checkpoint(tmp_path))
        return learn
    assert fit(80).n_epoch==40
    differs = r'got one that differs in .*passes \(2, now 3\); another run needs another folder'
    other = f'the run that is now started, {differs}'
    with pytest.raises(ValueError, match=other): fit(120)

# another run, and the same

X,y,_ = make_bumps(40, c_in=2, length=30, seed=0)
SPLITS = np.arange(30),np.arange(30,40)

def learner(path, X=X, y=y, splits=SPLITS, seed=0, dls=None, tfms=None, **kwargs):
    data = dict(bs=8, seed=seed, device='cpu', batch_tfms=tfms, **(dls or {}))
    dls = TSDataLoaders.from_arrays(X, y, splits, **data)
    return ts_learner(dls, **{'nf':1, 'seed':seed, 'path':path, **kwargs})

def train(learn, folder, epochs=2, lr=1e-2, cbs=(), **kwargs):
    with quiet(learn): learn.fit_one_cycle(epochs, lr, cbs=[*cbs, Checkpoint(folder)], **kwargs)
    return learn

@pytest.fixture(scope='module')
def done(tmp_path_factory):
    "The folder and the learner of a whole run"
    path = tmp_path_factory.mktemp('done')
    return path,train(learner(path), path/'run')

def frozen(path):
    learn = learner(path)
    learn.freeze()
    return learn

def renamed(y): return np.array(['no','yes'])[y]
OTHERS = dict(
    seed=('seed', lambda p: learner(p, seed=7)),
    splits=('splits, targets', lambda p: learner(p, splits=(np.arange(10,40),np.arange(10)))),
    targets=('targets', lambda p: learner(p, y=np.random.default_rng(0).permutation(y))),
    series=('series', lambda p: learner(p, X=X*100+50)),
    vocab=('outputs (without 0, without 1, with no, with yes)', lambda p: learner(p, y=renamed(y))),
    regression=('task', lambda p: learner(p, y=np.stack([y*.5,y*.25,y*.1], 1))),
    scale=("scale ('channel', now 'sample')", lambda p: learner(p, dls=dict(scale='sample'))),
    missing=('missing', lambda p: learner(p, dls=dict(missing='mean'))),
    balanced=('weights', lambda p: learner(p, dls=dict(weights='balanced'))),
    tfms=('batch_tfms', lambda p: learner(p, tfms=[Jitter(.1)])),
    loss=('loss', lambda p: learner(p, loss_func=nn.CrossEntropyLoss(label_smoothing=.1))),
    sgd=('optimizer', lambda p: learner(p, opt_func=SGD)),
    wd=('wd (0.01, now 0.1)', lambda p: learner(p, wd=.1)),
    frozen=('frozen', frozen),
    network=('network', lambda p: learner(p, nf=2)),
    head=('network', lambda p: learner(p, head='relu')))

@pytest.mark.parametrize('what', OTHERS)
def test_another_run_is_refused(done, what):
    told,make = OTHERS[what]
    file = done[0]/'run'/'checkpoint.pt'
    before = file.read_bytes()
    with pytest.raises(ValueError, match='differs in .*another run needs another folder') as e:
        train(make(done[0]), done[0]/'run')
    assert told in str(e.value) and len(str(e.value))<len(str(file))+300
    assert file.read_bytes()==before

def test_another_training_is_refused(done):
    path = done[0]
    def refused(what, *cbs, **kwargs):
        with pytest.raises(ValueError, match=what): train(learner(path), path/'run', cbs=cbs, **kwargs)
    refused(r'differs in lr \(0.01, now 0.02\);', lr=.02)
    refused(r'differs in epochs \(2, now 3\);', epochs=3)
    refused(r'differs in schedule;', pct_start=.5)
    refused(r'differs in wd \(0.01, now 0.1\);', wd=.1)
    refused('differs in callbacks', MixUp(.4))
    learn = learner(path)
    with quiet(learn), pytest.raises(ValueError, match='scheduled'): learn.fit(2, 1e-2, cbs=Checkpoint(path/'run'))

def test_settings_of_a_callback(tmp_path):
    train(learner(tmp_path), tmp_path, cbs=[MixUp(.4)])
    with pytest.raises(ValueError, match='differs in settings of mix_up;'):
        train(learner(tmp_path), tmp_path, cbs=[MixUp(.2)])

class Watch(Callback):
    "A callback that only observes, and declares it"
    looks_only = True

def same_weights(a, b): return same(a.model.state_dict(), b.model.state_dict())

def test_what_touches_no_weight_does_not_count(done):
    path,whole = done
    def goes_on(learn, *cbs):
        train(learn, path/'run', cbs=cbs)
        assert same_weights(learn, whole)
        assert learn.recorder.values[-1][:2]==whole.recorder.values[-1][:2]
        assert learn.trained['epochs']==2
    goes_on(learner(path), CSVLogger(path/'log.csv'))
    goes_on(learner(path), Watch())
    goes_on(learner(path, metrics=['f1_macro','accuracy']))
    goes_on(learner(path, seed=0, dls=dict(channels=['a','b'])))
    searched = learner(path)
    with quiet(searched): searched.fit(3, cbs=LRFinder(num_it=6)) # as lr_find does
    goes_on(searched)
    bars = learner(path)
    with bars.no_logging(): bars.fit_one_cycle(2, 1e-2, cbs=Checkpoint(path/'run'))
    assert same_weights(bars, whole)

def test_without_a_seed_a_run_goes_on(tmp_path):
    a = train(learner(tmp_path, seed=None), tmp_path)
    assert same_weights(a, train(learner(tmp_path, seed=None), tmp_path))

def tuned(path, folder, at=-1):
    learn = learner(path)
    with quiet(learn): learn.fine_tune(2, cbs=[Stop(at, epochs=2), Checkpoint(path/folder)])
    return learn

def test_fine_tune_has_two_phases(tmp_path):
    whole = tuned(tmp_path, 'whole')
    assert {f.name for f in (tmp_path/'whole').iterdir()}=={'checkpoint.pt','checkpoint-2.pt'}
    for at in (1,5):
        with pytest.raises(RuntimeError): tuned(tmp_path, f'cut{at}', at)
        cut = tuned(tmp_path, f'cut{at}')
        assert same_weights(cut, whole) and cut.trained==whole.trained
    assert whole.trained['epochs']==3
    assert same_weights(tuned(tmp_path, 'whole'), whole)
    plain = learner(tmp_path)
    with quiet(plain): plain.fine_tune(2)
    assert same_weights(plain, whole)

def test_two_fits_are_two_runs(tmp_path):
    def fits(*cbs):
        learn = learner(tmp_path)
        with quiet(learn):
            for _ in range(2): learn.fit(1, 1e-2, cbs=list(cbs))
        return learn
    plain = fits()
    for _ in range(2): # the second time, no epoch is left
        assert same_weights(fits(Checkpoint(tmp_path/'a')), plain)

@pytest.mark.parametrize('error', [KeyboardInterrupt,RuntimeError])
def test_a_learner_goes_on_with_the_run_that_it_began(tmp_path, error):
    whole,learn = train(learner(tmp_path), tmp_path/'whole'),learner(tmp_path)
    with pytest.raises(error): train(learn, tmp_path/'cut', cbs=[Stop(5, error)])
    train(learn, tmp_path/'cut')
    assert same_weights(learn, whole) and learn.trained==whole.trained

def test_only_a_training_touches_a_checkpoint(done):
    path,file = done[0],done[0]/'run'/'checkpoint.pt'
    before = file.read_bytes()
    learn = learner(path, cbs=Checkpoint(path/'run'))
    start = [p.detach().clone() for p in learn.model.parameters()]
    with quiet(learn):
        loss = learn.validate()[0]
        learn.get_preds()
        learn.export('learn.pkl')
    loaded = load_learner(path/'learn.pkl')
    with quiet(loaded): assert loaded.validate(dl=loaded.dls.test_dl(X[30:], y[30:]))[0]==pytest.approx(loss)
    assert file.read_bytes()==before
    assert all(a.equal(b) for a,b in zip(start, learn.model.parameters()))

def test_lazy_windows_and_unequal_lengths(tmp_path):
    rec = np.random.default_rng(0).normal(size=(4,2,300)).astype(np.float32)
    np.save(tmp_path/'a.npy', rec[0])
    def windows(*recs):
        recs = [tmp_path/'a.npy', *recs]
        data = dict(bs=8, seed=0, valid_groups=[0], groups=[0,1,2,3], device='cpu')
        return ts_learner(TSDataLoaders.from_recordings(recs, [0,1,0,1], 30, **data), nf=1, seed=0, path=tmp_path)
    whole = train(windows(*rec[1:]), tmp_path/'w')
    assert same_weights(whole, train(windows(*rec[1:]), tmp_path/'w'))
    with pytest.raises(ValueError, match='differs in series, statistics'):
        train(windows(*rec[1:3], rec[3]+1), tmp_path/'w')
    ragged = [x[:,:20+i%10] for i,x in enumerate(X)]
    whole = train(learner(tmp_path, X=ragged), tmp_path/'r')
    assert same_weights(whole, train(learner(tmp_path, X=ragged), tmp_path/'r'))
    with pytest.raises(ValueError, match='series'):
        train(learner(tmp_path, X=[x[:,1:] for x in ragged]), tmp_path/'r')

# an error in a training, and what cannot be trained or answered

class Break(Callback):
    "An error or Ctrl-C after the backward pass of a mixed loss"
    def __init__(self, error): self.error = error
    def after_backward(self):
        if self.train_iter==2:
            raise self.error('broken')

@pytest.mark.parametrize('error', [RuntimeError,KeyboardInterrupt])
@pytest.mark.parametrize('mix', [TSMixUp,TSCutMix,MixUp])
def test_an_error_leaves_the_learner_as_it_was(tmp_path, mix, error):
    learn = learner(tmp_path)
    loss_func,logger = learn.loss_func,learn.logger
    cbs = list(learn.cbs)
    with pytest.raises(error): learn.fit(1, cbs=[mix(), Break(error)])
    assert learn.loss_func is loss_func and learn.logger==logger and learn.this_run.kind=='idle'
    assert {type(c) for c in learn.cbs}=={type(c) for c in cbs}
    assert all(p.grad is None or not p.grad.any() for p in learn.model.parameters())
    losses = learn.get_X_preds(X, y, with_loss=True)[-1]
    assert losses.shape==(40,) and losses.isfinite().all()
    with quiet(learn):
        learn.fit(1)
        learn.fit(1, cbs=mix())

class EarlyInterrupt(Callback):
    "Ctrl-C before the first batch"
    def before_epoch(self): raise KeyboardInterrupt

@pytest.mark.parametrize('cb,stop', [(MixUp,EarlyInterrupt), (SaveModelCallback,EarlyInterrupt),
                                     (SaveModelCallback,Interrupt)])
def test_ctrl_c_is_told_before_what_comes_of_it(tmp_path, cb, stop):
    "Ctrl-C is raised, not the error of a callback that ends without beginning or loads a file not saved"
    learn = small(tmp_path, n=56)
    loss_func = learn.loss_func
    with quiet(learn), pytest.raises(KeyboardInterrupt): learn.fit(1, cbs=[cb(), stop()])
    assert learn.loss_func is loss_func and learn.this_run.kind=='idle'
    with quiet(learn): learn.fit(1)

def test_mixing_that_cannot_be(tmp_path):
    def refused(what, learn, *cbs):
        with pytest.raises(ValueError, match=what): learn.fit(1, cbs=list(cbs))
    refused('one callback that mixes series, .* got TSMixUp, TSCutMix', learner(tmp_path), TSMixUp(), TSCutMix())
    refused('got TSMixUp, MixUp', learner(tmp_path, cbs=TSMixUp()), MixUp())
    refused('expected TSCutMix .* got CutMix, which is for images', learner(tmp_path), CutMix())
    ragged = learner(tmp_path, X=[x[:,:20+i%10] for i,x in enumerate(X)])
    refused('expected TSMixUp to mix series of unequal length, got MixUp', ragged, MixUp())

def test_losses_without_targets(tmp_path):
    learn = learner(tmp_path)
    told = 'dl: expected series with targets.*got none; test_dl takes a y'
    with pytest.raises(ValueError, match=told): learn.get_preds(dl=learn.dls.test_dl(X), with_loss=True)
    with pytest.raises(ValueError, match=told): Interpretation.from_learner(learn, dl=learn.dls.test_dl(X))
    with quiet(learn): assert len(learn.get_preds(dl=learn.dls.test_dl(X, y), with_loss=True)[2])==40

def test_an_optimizer_goes_on_where_its_weights_are():
    "A file is read to the CPU, whatever the device of the run"
    p = nn.Parameter(torch.zeros(2, device='meta'))
    opt = ForeachAdam([p], lr=.1)
    _set_optimizer(SimpleNamespace(opt=opt), dict(state=[dict(grad_avg=torch.ones(2), step=3)], hypers=opt.hypers))
    assert opt.state[p]['grad_avg'].device==p.device and opt.state[p]['step']==3
