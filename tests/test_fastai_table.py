"Methods of a Learner, callbacks and interpretations of fastai: each works on series, or its error says why not"
import inspect, math, sys
from types import SimpleNamespace
import numpy as np
import pytest
import torch
from fastai.callback import (channelslast, core, data, fp16, hook, mixup, preds, progress, rnn, schedule,
                             tracker, training)
from fastai.callback.core import Callback
from fastai.interpret import ClassificationInterpretation, Interpretation
from fastai.learner import Learner, load_learner
from fastai.metrics import accuracy
from xceptiontime.data.augment import Jitter
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.sets import make_bumps
from xceptiontime.explain import plots # noqa: F401 - `plot_top_losses` of series
from xceptiontime.train.learner import ts_learner

X,y,_ = make_bumps(24, c_in=2, length=30, seed=0)
SPLITS = np.arange(16),np.arange(16,24)

def learner(path='.', cbs=None, batch_tfms=None, **kwargs):
    dls = TSDataLoaders.from_arrays(X, y, SPLITS, bs=8, seed=0, device='cpu', batch_tfms=batch_tfms)
    learn = ts_learner(dls, nf=2, seed=0, cbs=cbs, path=path, metrics=accuracy, **kwargs)
    learn.remove_cb(learn.progress)
    learn.logger = lambda *_: None
    return learn

def weights(learn): return torch.cat([p.detach().flatten() for p in learn.model.parameters()])

def trained(learn, *args, fit='fit', **kwargs):
    "The change of the weights, which are finite"
    before = weights(learn)
    getattr(learn, fit)(*args, **kwargs)
    assert weights(learn).isfinite().all()
    return (weights(learn)-before).abs().max().item()

METHODS = {}
CALLBACKS = {}
INTERPRETATION = {}

def row(table, *names):
    "Enter a check in the table, under its names"
    def add(f):
        table.update(dict.fromkeys(names, f))
        return f
    return add

def each(table):
    "A test for each check of a table"
    checks = sorted(set(table.values()), key=lambda f: f.__name__)
    return pytest.mark.parametrize('check', checks, ids=lambda f: f.__name__)

@row(METHODS, 'add_cb','add_cbs','remove_cb','remove_cbs','added_cbs','removed_cbs','ordered_cbs')
def of_callbacks(learn, path):
    seen = []
    class See(Callback):
        order = 5
        def after_batch(self): seen.append(self.training)
    cb = See()
    n = len(learn.cbs)
    with learn.added_cbs([cb]):
        assert learn.see is cb and cb in learn.ordered_cbs('after_batch')
        learn.fit(1)
        with learn.removed_cbs([cb]): learn.fit(1)
    assert seen==[True,True,False] and len(learn.cbs)==n and not hasattr(learn, 'see')
    learn.add_cbs([cb]).remove_cbs([cb]).add_cb(cb).remove_cb(See)
    assert len(learn.cbs)==n

@row(METHODS, 'all_batches','one_batch','x','y','create_opt','show_training_loop')
def of_the_loop(learn, path):
    events = []
    class See(Callback):
        def before_batch(self): events.append((tuple(self.x.shape), len(self.y)))
    learn.fit(1, cbs=See())
    assert events==[((8,2,30),8)]*3
    learn.create_opt()
    assert len(learn.opt.param_lists)==2 # body and head
    learn.show_training_loop()

@row(METHODS, 'fit','fit_one_cycle','fit_flat_cos','fit_sgdr','fine_tune')
def of_training(learn, path):
    for fit,args in dict(fit=(1,), fit_one_cycle=(1,), fit_flat_cos=(1,), fit_sgdr=(1,1), fine_tune=(1,)).items():
        other = learner()
        assert trained(other, *args, fit=fit)>1e-4
        assert math.isfinite(other.recorder.values[-1][1]) and len(other.recorder.values)==1

@row(METHODS, 'lr_find')
def of_the_search(learn, path):
    before = weights(learn)
    found = learn.lr_find(num_it=6, show_plot=False)
    assert 1e-8<found.valley<10 and torch.equal(weights(learn), before)

@row(METHODS, 'freeze','freeze_to','unfreeze')
def of_freezing(learn, path):
    learn.freeze()
    first = learn.model.block.xception[0].bottleneck.weight
    before = first.detach().clone()
    assert not first.requires_grad and trained(learn, 1)>0 and torch.equal(first, before)
    learn.freeze_to(0)
    assert first.requires_grad
    learn.freeze()
    learn.unfreeze()
    assert first.requires_grad and trained(learn, 1)>0 and not torch.equal(first, before)

@row(METHODS, 'get_preds','predict','validate','loss_not_reduced','validation_context','metrics')
def of_predictions(learn, path):
    learn.fit(1, 1e-2)
    probs,targets,answers,losses = learn.get_preds(with_decoded=True, with_loss=True)
    assert np.array_equal(targets, y[SPLITS[1]]) and torch.equal(answers, probs.argmax(1))
    by_hand = -probs[range(8),targets].log()
    assert torch.allclose(losses, by_hand, atol=1e-5)
    loss,acc = learn.validate()
    assert loss==pytest.approx(by_hand.mean().item(), abs=1e-5)
    assert acc==pytest.approx((probs.argmax(1)==targets).float().mean().item())
    label,index,p = learn.predict(X[16])
    assert label==probs[0].argmax() and index==label and torch.allclose(p, probs[0], atol=1e-5)
    with learn.validation_context(), learn.loss_not_reduced():
        assert learn.loss_func(torch.zeros(3,2), torch.tensor([0,1,0])).shape==(3,)
    assert [m.name for m in learn.metrics]==['accuracy']

@row(METHODS, 'tta')
def of_tta(learn, path):
    "The mean of the plain prediction and those with the transforms of training, computed by hand"
    learn = learner(batch_tfms=Jitter(2., p=1.))
    learn.fit(1, 1e-2)
    plain = learn.get_preds()[0]
    dl = learn.dls.valid.in_order()
    dl.dataset.split_idx = 0
    changed = []
    for i in range(3):
        dl.rng.seed(i)
        changed.append(Learner.get_preds(learn, dl=dl, reorder=False)[0]) # of fastai
    mean = torch.stack(changed).mean(0)
    assert (mean-plain).abs().max()>1e-4 and not torch.equal(changed[0], changed[1])
    got,targets = learn.tta(n=3, beta=.25)
    assert torch.allclose(got, .75*mean+.25*plain, atol=1e-6) and np.array_equal(targets, y[SPLITS[1]])
    assert torch.equal(learn.get_preds()[0], plain) # without the transforms

@row(METHODS, 'save','load','export')
def of_files(learn, path):
    learn.fit(1)
    was,probs = weights(learn),learn.get_preds()[0]
    learn.save('one')
    learn.fit(1)
    learn.load('one')
    assert torch.equal(weights(learn), was)
    learn.export('l.pkl')
    again = load_learner(path/'l.pkl')
    assert torch.allclose(again.get_X_preds(X[SPLITS[1]])[0], probs, atol=1e-5)

@row(METHODS, 'no_bar','no_mbar','no_logging')
def of_silence(learn, path):
    learn = ts_learner(learn.dls, nf=1)
    with learn.no_logging(), learn.no_bar(): learn.fit(1)
    with learn.no_logging(), learn.no_mbar(): learn.fit(1)
    assert hasattr(learn, 'progress') and len(learn.recorder.values)==1

@row(METHODS, 'show_results','summary')
def of_pictures(learn, path):
    learn.show_results()
    text = str(learn.summary())
    assert f"Total params: {sum(p.numel() for p in learn.model.parameters()):,}" in text

@row(METHODS, 'to_bf16','to_detach','to_fp16','to_fp32','to_non_native_fp16','to_non_native_fp32',
     'to_channelslast','to_contiguous')
def of_precision(learn, path):
    assert learn.to_detach(torch.zeros(2, requires_grad=True)).requires_grad is False
    assert hasattr(learn.to_fp16(), 'mixed_precision') and not hasattr(learn.to_fp32(), 'mixed_precision')
    assert trained(learn.to_bf16(), 1)>0
    learn.to_fp32()
    assert hasattr(learn.to_non_native_fp16(), 'non_native_mixed_precision')
    assert not hasattr(learn.to_non_native_fp32(), 'non_native_mixed_precision')

def fitted(cb, n=2, lr=1e-3, **kwargs):
    "A learner trained with one more callback"
    learn = learner(**kwargs)
    assert trained(learn, n, lr, cbs=cb)>0
    return learn

@row(CALLBACKS, 'TrainEvalCallback','ProgressCallback')
def always_there(path):
    assert hasattr(learner(), 'train_eval')
    assert isinstance(ts_learner(learner().dls, nf=1).progress, progress.ProgressCallback)

@row(CALLBACKS, 'ChannelsLast','FetchPredsCallback','CollectDataCallback')
def changes_nothing(path):
    plain = weights(fitted([]))
    fetch,collect = core.FetchPredsCallback(),data.CollectDataCallback()
    for cb in (channelslast.ChannelsLast(), fetch, collect): assert torch.equal(weights(fitted(cb)), plain)
    assert fetch.preds[0].shape==(8,2)
    assert collect.data[0][0][0].shape==(8,2,30)

@row(CALLBACKS, 'GatherPredsCallback')
def gathers(path):
    learn,cb = learner(),core.GatherPredsCallback()
    learn.validate(cbs=cb)
    assert torch.allclose(cb.preds.softmax(1), learn.get_preds()[0], atol=1e-5)

@row(CALLBACKS, 'MixedPrecision','NonNativeMixedPrecision')
def half(path):
    assert trained(learner().to_bf16(), 1)>0
    cb = fp16.MixedPrecision(amp_mode=fp16.AMPMode.BF16)
    assert trained(learner(cbs=cb), 1)>0

@row(CALLBACKS, 'HookCallback','ActivationStats')
def hooks(path):
    cb = hook.ActivationStats(with_hist=False)
    learn = fitted(cb, 1)
    assert len(cb.stats)==2 and all(math.isfinite(o['mean']) for o in cb.stats[0] if o is not None)
    assert len(learn.recorder.values)==1

@row(CALLBACKS, 'MixHandler','MixUp')
def mixes(path):
    assert not torch.equal(weights(fitted(mixup.MixUp(.4))), weights(fitted([])))

@row(CALLBACKS, 'CutMix')
def cuts(path):
    with pytest.raises(ValueError, match='cbs: expected TSCutMix to mix series, got CutMix, which is for images'):
        learner().fit(1, cbs=mixup.CutMix())

@row(CALLBACKS, 'MCDropoutCallback')
def drops(path):
    def head(ni, c_out, steps):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(.5), torch.nn.Linear(ni*steps, c_out))
    learn,plain = learner(custom_head=head),learner()
    with learn.added_cbs([preds.MCDropoutCallback()]):
        a,b = learn.get_preds()[0],learn.get_preds()[0]
    assert not torch.equal(a, b) and torch.equal(learn.get_preds()[0], learn.get_preds()[0])
    with plain.added_cbs([preds.MCDropoutCallback()]):
        assert torch.equal(plain.get_preds()[0], plain.get_preds()[0]) # no dropout

@row(CALLBACKS, 'ShowGraphCallback','CSVLogger')
def writes(path):
    learn = fitted(progress.CSVLogger(), 2, path=path)
    lines = (path/'history.csv').read_text().splitlines()
    assert lines[0].startswith('epoch,train_loss,valid_loss,accuracy') and len(lines)==3
    assert float(lines[2].split(',')[2])==pytest.approx(learn.recorder.values[1][1], abs=1e-4)
    shown = ts_learner(learn.dls, nf=1)
    with shown.no_logging(): shown.fit(1, cbs=progress.ShowGraphCallback())
    assert len(shown.recorder.losses)==2

@row(CALLBACKS, 'ModelResetter','RNNCallback','RNNRegularizer')
def for_recurrent_networks(path):
    "They need the states of a recurrent network"
    for cb in (rnn.ModelResetter, rnn.RNNCallback, rnn.RNNRegularizer):
        for cbs in (cb, cb()):
            with pytest.raises(TypeError, match=f'got {cb.__name__} for recurrent ones; .* leave it out'):
                learner().fit(1, cbs=cbs)
    learn = learner()
    resets = []
    learn.model.reset = lambda: resets.append(1)
    learn.fit(1, cbs=rnn.ModelResetter())
    assert len(resets)>=3 # before training, before validation and at the end

@row(CALLBACKS, 'ModelToHalf')
def to_half_alone(path):
    with pytest.raises(TypeError, match='got ModelToHalf alone; learn.to_fp16'):
        learner().fit(1, cbs=fp16.ModelToHalf())
    with pytest.raises(AssertionError, match='requires a GPU'): learner().to_non_native_fp16().fit(1)

@row(CALLBACKS, 'ParamScheduler','LRFinder')
def schedules(path):
    learn = fitted(schedule.ParamScheduler({'lr': schedule.SchedLin(1e-2, 1e-3)}))
    assert learn.recorder.lrs[0]==pytest.approx(1e-2) and learn.recorder.lrs[-1]<5e-3

@row(CALLBACKS, 'TerminateOnNaNCallback')
def stops_at_nan(path):
    "`KeepFinite`, which each learner has, raises an error first"
    class Spoil(Callback):
        def before_batch(self): self.learn.xb = self.xb[0]*float('nan'),
    with pytest.raises(FloatingPointError): learner().fit(1, cbs=[Spoil(), tracker.TerminateOnNaNCallback()])

@row(CALLBACKS, 'TrackerCallback','EarlyStoppingCallback','ReduceLROnPlateau','SaveModelCallback')
def tracks(path):
    assert len(fitted(tracker.EarlyStoppingCallback(min_delta=9, patience=1), 9).recorder.values)==2
    learn = fitted(tracker.ReduceLROnPlateau(min_delta=9, patience=1, factor=10), 3)
    assert learn.opt.hypers[-1]['lr']<2e-4
    learn = fitted(tracker.SaveModelCallback(), 3, 3e-2, path=path)
    best = min(v[1] for v in learn.recorder.values)
    assert learn.validate()[0]==pytest.approx(best, abs=1e-5)

@row(CALLBACKS, 'ShortEpochCallback','GradientAccumulation','GradientClip','BnFreeze')
def trains_otherwise(path):
    assert len(fitted(training.ShortEpochCallback(.5), 1).recorder.losses)==1
    plain = weights(fitted([]))
    for cb in (training.GradientAccumulation(16), training.GradientClip(1e-3)):
        assert not torch.equal(weights(fitted(cb)), plain)
    frozen = learner()
    bn = next(m for m in frozen.model.modules() if isinstance(m, torch.nn.BatchNorm1d))
    was = bn.running_mean.clone()
    frozen.fit(1, cbs=training.BnFreeze())
    assert torch.equal(was, bn.running_mean) == (not bn.weight.requires_grad)

@row(INTERPRETATION, 'from_learner','top_losses','plot_top_losses','show_results')
def interprets(learn):
    i = Interpretation.from_learner(learn)
    losses,places = i.top_losses(3)
    by_hand = learn.get_preds(with_loss=True)[2]
    assert torch.allclose(losses, by_hand.sort(descending=True)[0][:3], atol=1e-5)
    assert torch.allclose(by_hand[places], losses, atol=1e-5)
    i.plot_top_losses(2)
    i.show_results([0,1])

@row(INTERPRETATION, 'confusion_matrix','most_confused','plot_confusion_matrix','print_classification_report')
def classifies(learn):
    i = ClassificationInterpretation.from_learner(learn)
    found = learn.get_preds()[0].argmax(1).numpy()
    truth = y[SPLITS[1]]
    by_hand = [[((truth==a)&(found==b)).sum() for b in (0,1)] for a in (0,1)]
    assert np.array_equal(i.confusion_matrix(), by_hand)
    wrong = sorted([by_hand[a][1-a] for a in (0,1) if by_hand[a][1-a]], reverse=True)
    assert [o[2] for o in i.most_confused()]==wrong
    i.plot_confusion_matrix()
    i.print_classification_report()

def test_tensorboard(monkeypatch):
    "fastai's callback can log images only; without them it works"
    class TensorBoardBaseCallback(Callback): pass
    class TensorBoardCallback(TensorBoardBaseCallback):
        def __init__(self, log_preds=True, projector=False): self.log_preds,self.projector = log_preds,projector
    monkeypatch.setitem(sys.modules, 'fastai.callback.tensorboard',
                        SimpleNamespace(TensorBoardBaseCallback=TensorBoardBaseCallback))
    for kwargs in ({}, dict(log_preds=False, projector=True)):
        with pytest.raises(ValueError, match=r'cbs: expected TensorBoardCallback\(log_preds=False\)'):
            learner().fit(1, cbs=TensorBoardCallback(**kwargs))
    fitted(TensorBoardCallback(log_preds=False), 1)

MODULES = channelslast,core,data,fp16,hook,mixup,preds,progress,rnn,schedule,tracker,training

def callbacks():
    "The callbacks of `fastai.callback` by name"
    return {n: v for m in MODULES for n,v in vars(m).items() if inspect.isclass(v) and issubclass(v, Callback)
            and v is not Callback and v.__module__==m.__name__}

def public(cls): return [n for n in dir(cls) if not n.startswith('_')]

def of_learner(): # without those that `fastai.distributed` adds when imported
    own = [(n,v) for n,v in vars(Learner).items() if not n.startswith('_') and v is not None]
    return [n for n,v in own if getattr(v, '__module__', '')!='fastai.distributed']

def test_each_method_has_a_row(): assert set(of_learner())-set(METHODS)==set()

@each(METHODS)
@pytest.mark.filterwarnings('ignore')
def test_methods(check, tmp_path): check(learner(tmp_path), tmp_path)

def test_each_callback_has_a_row(): assert set(callbacks())-set(CALLBACKS)==set()

def test_each_interpretation_has_a_row():
    names = public(Interpretation)+public(ClassificationInterpretation)
    assert set(names)-set(INTERPRETATION)==set()

@each(CALLBACKS)
@pytest.mark.filterwarnings('ignore')
def test_callbacks(check, tmp_path): check(tmp_path)

@each(INTERPRETATION)
@pytest.mark.filterwarnings('ignore')
def test_interpretation(check):
    learn = learner()
    learn.fit(1, 1e-2)
    check(learn)
