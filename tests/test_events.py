"The events that callbacks get in training, and the values that the recorder keeps"
import pytest, torch
from fastai import torch_core
from fastai.callback.core import Callback, CancelFitException
from fastai.learner import Recorder
from small import X, classes, splits
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.train.learner import ts_learner

def learner(**kwargs):
    dls = TSDataLoaders.from_arrays(X, classes, splits, bs=4, seed=0, device='cpu')
    learn = ts_learner(dls, nf=1, seed=0, **kwargs)
    learn.remove_cb(learn.progress)
    return learn

def fitted(cbs=None, epochs=1, **kwargs):
    learn = learner(**kwargs)
    with learn.no_logging(): learn.fit(epochs, cbs=cbs)
    return learn

class Counts:
    n = 0
    def after_epoch(self): self.n += 1

class Finds(Callback):
    "A callback with events by `__getattr__`"
    n = 0
    def __getattr__(self, k): return self._count if k=='after_epoch' else super().__getattr__(k)
    def _count(self): self.n += 1

class Wraps(Callback):
    "A callback with the events of another object, by fastcore's `GetAttr`"
    _default = 'inner'
    def __init__(self): self.inner = Counts()

class Sets(Callback):
    "A callback with an event set on the object"
    def __init__(self): self.inner = Counts()
    def before_fit(self): self.after_epoch = self.inner.after_epoch

class Calls(Callback):
    "A callback that overrides `__call__`"
    n = 0
    def __call__(self, name): self.n += name=='after_epoch'

class Slots(Callback):
    n = 0
    @property
    def after_epoch(self): return self._count
    def _count(self): self.n += 1

@pytest.mark.parametrize('kind', [Finds,Wraps,Sets,Calls,Slots])
def test_events_that_are_no_methods(kind):
    cb = kind()
    fitted(cb, 2)
    assert getattr(cb, 'inner', cb).n==2

def test_events_given_as_functions_and_as_a_list():
    seen = []
    cb = Callback(after_epoch=lambda self: seen.append('epoch'))
    learn = fitted(cb)
    learn.add_cb(cb)
    learn(['after_epoch','after_epoch'])
    assert seen==['epoch']*3
    with pytest.raises(Exception, match='missing after_everything'): learn('after_everything')

def test_run_comes_back_after_a_fit():
    cb = Callback(after_epoch=lambda self: None)
    cb.run = False
    fitted(cb)
    assert cb.run

class Ends(Callback):
    "Ends a training before it begins"
    order = 10
    def before_fit(self): raise CancelFitException

def test_a_training_that_ends_before_it_begins():
    assert fitted(Ends()).recorder.losses==[]

def test_a_recorder_of_the_user_is_the_one_that_records():
    own = Recorder(train_metrics=True)
    learn = learner(cbs=own)
    with learn.no_logging(): learn.fit(1)
    assert learn.recorder is own and len(own.losses)==len(learn.dls.train)
    assert type(learner(cbs=Recorder).recorder).__name__=='LateRecorder'

def test_the_loss_of_several_processes_is_their_mean(monkeypatch):
    "As in fastai: a callback that stops by the loss must stop in all processes"
    monkeypatch.setattr(torch_core, 'maybe_gather', lambda x: torch.full_like(x, 7))
    learn = fitted()
    assert all(abs(float(o)-7)<1e-4 for o in learn.recorder.losses)
