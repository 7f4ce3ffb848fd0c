"Predictions from several threads, in any mode and during a training, are bit-identical to those of one"
import copy, threading
import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.explain.attribution import attribute
from xceptiontime.explain.calibrate import Novelty
from xceptiontime.models.inception import InceptionTime
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.runtime.stream import StreamingPredictor
from xceptiontime.train.estimator import XceptionTimeClassifier
from xceptiontime.train.learner import ts_learner

X = np.random.default_rng(0).normal(size=(40,2,30)).astype(np.float32)
X[1::2] += np.sin(np.arange(30))
y = np.array(['a','b'])[np.arange(40)%2]
splits = np.arange(30),np.arange(30,40)

def learner(arch=XceptionTime, **kwargs):
    dls = TSDataLoaders.from_arrays(X, y, splits, bs=10, seed=0, device='cpu')
    return ts_learner(dls, arch, nf=2, seed=0, **kwargs)

def fit(learn, n=1):
    with learn.no_bar(),learn.no_logging(): learn.fit_one_cycle(n, 3e-3)

def in_threads(f, n=8, times=4):
    "The results of `f(i)` in each of `n` threads that start at once, a list per thread"
    res,begin = [[] for _ in range(n)],threading.Barrier(n)
    def run(i):
        begin.wait(30)
        for _ in range(times): res[i].append(f(i))
    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads: t.start()
    for t in threads: t.join(120)
    assert all(len(r)==times for r in res) # no thread raised an error
    return res

def state(model):
    "All numbers of a network, and the mode of each of its modules"
    return [t.clone() for t in model.state_dict().values()],[m.training for m in model.modules()]

def same(a, b): return a[1]==b[1] and all(map(torch.equal, a[0], b[0]))

def loaded(learn, path):
    learn.path = path
    learn.save('m')
    learn.load('m')
    learn.model.train() # as it is after `load` into a new learner
def searched(learn, path):
    with learn.no_bar(): learn.lr_find(num_it=3, show_plot=False)
class Stop(Callback):
    def after_batch(self):
        if self.iter==1:
            raise KeyboardInterrupt
def interrupted(learn, path):
    with learn.no_bar(), pytest.raises(KeyboardInterrupt): learn.fit(1, cbs=Stop())
def half_frozen(learn, path):
    learn.model.train()
    next(learn.model.children()).eval()

ways = {
    'never trained': lambda learn, path: None, 'loaded': loaded, 'after lr_find': searched,
    'interrupted': interrupted, 'half frozen': half_frozen}

@pytest.mark.parametrize('arch', [XceptionTime,InceptionTime])
@pytest.mark.parametrize('way', ways)
def test_a_network_in_training_mode(arch, way, tmp_path):
    learn = learner(arch)
    ways[way](learn, tmp_path)
    before,pred = state(learn.model),learn.predictor()
    assert any(before[1])
    wanted = [pred.scores(X[i:i+9]) for i in range(8)]
    learn.model.eval() # the usual mode for predictions
    assert all(map(torch.equal, wanted, [pred.scores(X[i:i+9]) for i in range(8)]))
    for m,training in zip(learn.model.modules(), before[1]): m.training = training
    for i,got in enumerate(in_threads(lambda i: pred.scores(X[i:i+9]))):
        assert all(torch.equal(g, wanted[i]) for g in got)
    assert same(before, state(learn.model))

def asks(learn):
    "Ways to predict, each for the series of its thread: i -> prediction"
    pred = learn.predictor()
    novelty = Novelty(learn, k=3)
    def stream(i):
        live = StreamingPredictor(pred, 10, 5)
        return np.stack([p.probs for p in live.push(X[i])])
    return dict(
        predict=lambda i: pred.predict_proba(X[i:i+9]),
        features=lambda i: pred.features(X[i:i+9]).numpy(),
        get_X_preds=lambda i: learn.get_X_preds(X[i:i+9])[0].numpy(),
        learn_predict=lambda i: learn.predict(X[i])[2].numpy(),
        scores=lambda i: learn.scores()[0].numpy(),
        get_preds=lambda i: learn.get_preds()[0].numpy(),
        novelty=lambda i: novelty.score(X[i:i+9]),
        stream=stream,
        gradients=lambda i: attribute(pred, X[i:i+2], n_steps=8),
        grad_cam=lambda i: attribute(pred, X[i:i+2], 'grad_cam'),
        occlusion=lambda i: attribute(pred, X[i:i+2], 'occlusion'))

NAMES = ['predict','features','get_X_preds','learn_predict','scores','get_preds','novelty','stream',
         'gradients','grad_cam','occlusion']

@pytest.mark.filterwarnings('ignore:attributions of a series sum', 'ignore:window:')
@pytest.mark.parametrize('name', NAMES)
def test_ways_to_ask(name):
    learn = learner()
    fit(learn)
    learn.model.train()
    before = state(learn.model)
    ask = asks(learn)[name]
    with learn.no_bar():
        wanted = [ask(i) for i in range(8)]
        learn.model.train() # fastai's get_preds leaves it in the other mode
        for i,got in enumerate(in_threads(ask, times=2)):
            for g in got: np.testing.assert_array_equal(g, wanted[i])
    learn.model.train()
    assert same(before, state(learn.model))

def test_all_ways_at_once():
    "fastai's get_preds changes the mode of the network while other threads predict"
    learn = learner()
    fit(learn)
    ask = {k: f for k,f in asks(learn).items() if k not in ('gradients','occlusion')}
    fs = [ask[k] for k in ('predict','get_preds','grad_cam','features','get_X_preds','get_preds','stream','scores')]
    with learn.no_bar():
        wanted = [f(i) for i,f in enumerate(fs)]
        numbers,_ = state(learn.model.train())
        for i,got in enumerate(in_threads(lambda i: fs[i](i), times=3)):
            for g in got: np.testing.assert_array_equal(g, wanted[i])
    assert all(map(torch.equal, numbers, state(learn.model)[0]))

class Wait(Callback):
    "Predicts during a training in its own thread, then waits until other threads have predicted"
    def __init__(self, ask):
        self.ask,self.answer = ask,None
        self.there,self.go_on = threading.Event(),threading.Event()
    def after_pred(self):
        if not self.training or self.iter!=1: return
        self.answer = self.ask(0)
        self.there.set()
        assert self.go_on.wait(60)

WORDS = 'model: expected a network that no other thread is training, got one in training; a model opened'

@pytest.mark.filterwarnings('ignore:attributions of a series sum')
def test_beside_a_training(tmp_path):
    "An error while another thread trains, the right prediction afterwards, and the same training as alone"
    alone,learn = learner(),learner()
    fit(alone)
    def now(i): # by hand, of a copy of the weights of that moment
        scores = copy.deepcopy(learn.model).eval()(learn.dls.preprocess(torch.tensor(X[i:i+1]))) # (1, classes)
        return learn.predict(X[i])[2],scores.softmax(1)[0].detach()
    learn.add_cb(wait := Wait(now))
    ask = asks(learn)
    trainer = threading.Thread(target=lambda: fit(learn))
    trainer.start()
    assert wait.there.wait(60)
    try:
        for f in ask.values():
            with pytest.raises(RuntimeError, match=WORDS): f(0)
        for f in (lambda: learn.fit(1), learn.validate, lambda: learn.save_pretrained(tmp_path/'m')):
            with pytest.raises(RuntimeError, match=WORDS): f()
        np.testing.assert_allclose(*wait.answer, atol=1e-6)
        assert trainer.is_alive()
    finally: wait.go_on.set()
    trainer.join(60)
    assert same(state(alone.model), state(learn.model))
    wanted = asks(alone)
    for k,f in ask.items():
        if k!='novelty': np.testing.assert_array_equal(f(0), wanted[k](0)) # novelty belongs to an earlier network
    assert learn.this_run.kind=='idle' and learn.recorder.values==alone.recorder.values

def test_a_training_waits_for_answers():
    "The weights do not change during a prediction"
    learn = learner()
    pred = learn.predictor()
    there,go_on = threading.Event(),threading.Event()
    go_on.set()
    def slow(m, i, o):
        there.set()
        assert go_on.wait(60)
    hook,got = learn.model.block.register_forward_hook(slow),[]
    wanted = pred.scores(X)
    for event in (there,go_on): event.clear()
    asker = threading.Thread(target=lambda: got.append(pred.scores(X)))
    asker.start()
    assert there.wait(60)
    hook.remove()
    trainer = threading.Thread(target=lambda: fit(learn))
    trainer.start()
    trainer.join(.2)
    assert trainer.is_alive() and not got
    go_on.set()
    for t in (asker,trainer): t.join(60)
    assert torch.equal(got[0], wanted) and not torch.equal(pred.scores(X), wanted)

def test_the_fast_path_runs_in_a_view(monkeypatch):
    from xceptiontime.models import xceptiontime as room
    learn,calls = learner(),[]
    fast = room.fast_forward
    monkeypatch.setattr(room, 'fast_forward', lambda m, *a, **k: calls.append(m) or fast(m, *a, **k))
    learn.model.train()
    learn.predict(X[0])
    view, = calls
    assert view is not learn.model and view.as_built is learn.model.as_built and view.as_built.kept

def test_an_estimator():
    e = XceptionTimeClassifier(epochs=1, nf=2, random_state=0, n_estimators=2).fit(X, y)
    model = e.predictor_.model.train()
    before,wanted = state(model),[e.predict_proba(X[i:i+9]) for i in range(8)]
    for i,got in enumerate(in_threads(lambda i: e.predict_proba(X[i:i+9]), times=2)):
        for g in got: np.testing.assert_array_equal(g, wanted[i])
    assert same(before, state(model))

def test_a_layer_of_grad_cam_that_others_hook():
    "A user's hooks on a layer run, and captum's hooks are removed"
    learn,seen = learner(),[]
    layer = learn.model.block.xception[1]
    with layer.register_forward_hook(lambda m, i, o: seen.append(o.shape)):
        a = attribute(learn, X[:1], 'grad_cam', layer=layer)
        assert seen and len(layer._forward_hooks)==1
    np.testing.assert_array_equal(a, attribute(learn, X[:1], 'grad_cam', layer='block.xception.1'))
    assert not layer._forward_hooks
