"Several networks that are trained, used and exported as one model"
import copy, inspect
import numpy as np
import pytest
import torch
from small import adds_up, onnx_session
from fastai.callback.core import Callback
from fastai.callback.tracker import SaveModelCallback
from fastai.learner import load_learner
from xceptiontime.data.augment import TSMixUp
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.explain.attribution import attribute
from xceptiontime.explain import calibrate # noqa: F401 - gives learners `calibrate`
from xceptiontime.models import InceptionTime, XceptionTime
from xceptiontime.models.ensemble import Ensemble, mean_scores, networks_of
from xceptiontime.processing.tasks import Classification, MultiLabel, Regression
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.export import export_onnx
from xceptiontime.runtime.stream import StreamingPredictor
from xceptiontime.train import fitting
from xceptiontime.train.known import weights_digest
from xceptiontime.train.learner import ts_learner

rng = np.random.default_rng(0)
X = rng.normal(size=(32,2,24)).astype(np.float32)
TARGETS = dict(classification=np.array(['a','b'])[np.arange(32)%2], regression=X[:,0,:5].sum(1)-40,
               multilabel=(X[:,:,0]>0).astype(int))
X[::2] += np.sin(np.arange(24))
SPLITS = range(24),range(24,32)

def loaders(task='classification', bs=8): return TSDataLoaders.from_arrays(X, TARGETS[task], SPLITS, bs=bs, seed=0)

def learner(task='classification', n=3, **kwargs):
    learn = ts_learner(loaders(task), nf=1, n_networks=n, seed=0, **kwargs)
    learn.remove_cb(learn.progress)
    return learn

def fit(learn, epochs=2, **kwargs):
    with learn.no_logging(): learn.fit(epochs, 1e-2, **kwargs)
    return learn

@pytest.fixture(scope='module')
def trained(): return fit(learner())

@pytest.mark.parametrize('task,target', [
    (Classification(['a','b','c']), torch.randint(0, 3, (4,6))),
    (MultiLabel(['a','b','c']), torch.randint(0, 2, (4,6,3)).double()),
    (Regression([0.,1.,5.], [1.,2.,3.]), torch.randn(4, 6, 3).double())], ids=['classes','labels','values'])
@pytest.mark.parametrize('arch', [XceptionTime, InceptionTime])
def test_trains_as_networks_alone(arch, task, target):
    "In float64, on the same batches, with an optimizer that is not scale-free"
    torch.manual_seed(0)
    nets = [arch(2, 3, nf=1).double() for _ in range(3)]
    alone = copy.deepcopy(nets)
    batches = torch.randn(4, 6, 2, 20).double()
    loss = task.loss_func
    def train(model):
        opt = torch.optim.SGD(model.parameters(), lr=.1, momentum=.9)
        values = []
        for x,y in zip(batches, target):
            opt.zero_grad()
            l = loss(model(x), y)
            l.backward()
            opt.step()
            values.append(l.item())
        return np.array(values)
    together = train(Ensemble(nets, task.activation_name))
    np.testing.assert_allclose(together, np.mean([train(net) for net in alone], 0), rtol=1e-10)
    for a,b in zip(nets, alone):
        for p,q in zip(a.state_dict().values(), b.state_dict().values()):
            torch.testing.assert_close(p, q, rtol=1e-8, atol=1e-10)

def test_through_the_learner():
    "With fastai's loop, Adam, mixing and schedule, each network gets the weights that it gets alone"
    for cbs in ([], [TSMixUp()]):
        together = learner(cbs=cbs)
        start = copy.deepcopy(networks_of(together.model))
        fit(together)
        for net,trained in zip(start, networks_of(together.model)):
            alone = learner(n=None, cbs=cbs)
            alone.model.load_state_dict(net.state_dict())
            fit(alone)
            for p,q in zip(alone.model.parameters(), trained.parameters()):
                torch.testing.assert_close(p, q, rtol=1e-2, atol=1e-3)

@pytest.mark.parametrize('task', TARGETS)
def test_answers_are_means(task):
    learn = fit(learner(task), 1)
    p = learn.predictor()
    each = [Predictor(net, p.task, p.preprocess) for net in networks_of(learn.model)]
    answers = [torch.as_tensor(o.task.activation(o.scores(X))) for o in each]
    assert (answers[0]-answers[1]).abs().max()>1e-4
    probs,_,decoded = learn.get_X_preds(X)
    torch.testing.assert_close(probs, sum(answers)/3, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(decoded, p.predict(X))
    spread = p.disagreement(X)
    assert spread.shape==(32,) and (spread>0).all()
    if task=='regression': np.testing.assert_allclose(spread, torch.stack(answers).std(0, correction=0), rtol=1e-3)

def test_fastai_around_it(tmp_path):
    learn = learner()
    learn.path = tmp_path
    learn.freeze()
    bodies = [net.block.state_dict() for net in networks_of(learn.model)]
    before = copy.deepcopy([{k: v for k,v in b.items() if v.ndim==3} for b in bodies])
    heads = copy.deepcopy([net.head[-2].state_dict() for net in networks_of(learn.model)])
    fit(learn, 1)
    for net,body,head in zip(networks_of(learn.model), before, heads):
        now = net.block.state_dict()
        assert all(torch.equal(now[k], v) for k,v in body.items())
        assert not all(torch.equal(v, head[k]) for k,v in net.head[-2].state_dict().items())
    learn.unfreeze()
    before = copy.deepcopy(learn.model.state_dict())
    found = learn.lr_find(num_it=4, show_plot=False).valley
    assert 1e-7<=found<=10 and all(torch.equal(v, before[k]) for k,v in learn.model.state_dict().items())
    fit(learn, 2, cbs=SaveModelCallback(fname='best'))
    assert 'Ensemble' in learn.summary()
    learn.calibrate()
    learn.calibrate_sets()
    assert learn.task.temperature!=1
    answers = learn.get_X_preds(X)[0] # (32, classes)
    misfit = 1-answers[range(24, 32), (TARGETS['classification'][24:]=='b').astype(int)] # of the held-back series
    kept = 1-answers<=misfit.sort()[0][5]+1e-6 # the sixth of eight: ceil(.6*9)
    kept[range(32),answers.argmax(1)] = True
    sets = learn.predict_set(X, alpha=.4)
    assert [{*o} for o in sets]==[{c for c,k in zip('ab', row) if k} for row in kept]
    assert {len(o) for o in sets}=={1,2}
    learn.export('e.pkl')
    assert torch.equal(load_learner(tmp_path/'e.pkl').get_X_preds(X)[0], answers)
    assert learn.features().shape==(8, 3*8)

class Collect(Callback):
    "The scores of each network, and the targets, of each epoch's batches of training, before the loss"
    def __init__(self): self.epochs = []
    def before_train(self): self.epochs.append([])
    def after_pred(self): # (batch, networks, outputs), (batch,)
        if self.training: self.epochs[-1].append([torch.Tensor(o.detach().clone()) for o in (self.pred, self.y)])

def test_metrics_of_training():
    "Metrics of training batches use the mean, like those of validation"
    learn = learner(cbs=(collect := Collect()))
    learn.recorder.train_metrics = True
    fit(learn, 4)
    column = learn.recorder.metric_names[1:].index('train_accuracy')
    unlike = 0 # epochs in which no single network has this accuracy
    for batches,values in zip(collect.epochs, learn.recorder.values, strict=True):
        scores,y = map(torch.cat, zip(*batches)) # (24, networks, classes), (24,)
        right = (mean_scores(scores, 'softmax').argmax(1)==y).float().mean()
        alone = (scores.argmax(2)==y[:,None]).float().mean(0)
        assert scores.shape==(24,3,2) and values[column]==pytest.approx(right.item())
        unlike += right not in alone
    assert unlike>0

def test_attribution(trained):
    "Attribution of the ensemble's score: by gradients, by occlusion, and by the maps of its networks"
    pred,pre = trained.predictor(),trained.dls.preprocess
    mean = np.broadcast_to(pre.mean.numpy()[:,None], X[0].shape) # of each channel, (channels, length)
    def score(x): return pred.scores(np.array(x))[:,1].numpy() # of 'b'
    full = score(X[:2])
    a = attribute(trained, X[:2], target='b')
    adds_up(a, full-score([mean]))
    hidden = attribute(trained, X[:2], 'occlusion', target='b', window=24) # a whole channel at a time
    for i in range(2):
        without = X[:2].copy()
        without[:,i] = mean[i]
        np.testing.assert_allclose(hidden[:,i], np.repeat((full-score(without))[:,None], 24, 1), atol=1e-5)
    networks = [copy.deepcopy(net).eval() for net in networks_of(trained.model)]
    maps = [net.block(pre(torch.tensor(X[:1]))).detach().requires_grad_() for net in networks] # (1, maps, steps)
    scores = torch.stack([net.head(o) for net,o in zip(networks, maps)], 1) # (1, networks, classes)
    grads = torch.autograd.grad(mean_scores(scores, 'softmax')[0,1], maps)
    cam = sum((o*g.mean(2, keepdim=True)).sum(1) for o,g in zip(maps, grads))/3 # (1, steps)
    got = attribute(trained, X[:1], 'grad_cam', target='b').sum(1)
    np.testing.assert_allclose(got, cam.detach(), atol=1e-6)
    assert min(np.abs(o).max() for o in (a, hidden, got))>1e-3

def test_stream(trained):
    p = trained.predictor()
    stream = StreamingPredictor(p, window=24, hop=24)
    got = [o.probs for o in stream.push(X[:3].transpose(1,0,2).reshape(2,-1))]
    np.testing.assert_allclose(np.stack(got), p.predict_proba(X[:3]), atol=1e-6)

@pytest.mark.slow
def test_onnx(trained, tmp_path):
    pytest.importorskip('onnxruntime')
    export_onnx(trained, tmp_path/'e.onnx')
    session = onnx_session(tmp_path/'e.onnx')
    got = session.run(None, {'x': X[:5]})[0]
    p = trained.predictor()
    each = [Predictor(net, p.task, p.preprocess).predict_proba(X[:5]) for net in networks_of(trained.model)]
    np.testing.assert_allclose(got, np.mean(each, 0), atol=1e-5)

@pytest.mark.parametrize('bad', [0, 2.5, True, 'five'])
def test_wrong_numbers(bad):
    with pytest.raises(ValueError, match='n_networks: expected a whole number of 1 or more'): learner(n=bad)

def test_one_is_the_network_itself():
    assert isinstance(learner(n=1).model, XceptionTime)
    assert inspect.signature(ts_learner).parameters['n_networks'].default is None

def test_folder(trained, tmp_path):
    "One folder: opened, and trained further with the same classes, other classes and other numbers of networks"
    folder = tmp_path/'m'
    trained.save_pretrained(folder)
    opened = Predictor.from_pretrained(folder)
    assert torch.equal(torch.as_tensor(opened.predict_proba(X)), trained.get_X_preds(X)[0])
    assert 'XceptionTime x 3' in opened.facts()['architecture']
    on = ts_learner(loaders(), pretrained=folder)
    assert torch.equal(on.get_X_preds(X)[0], trained.get_X_preds(X)[0])
    with pytest.raises(ValueError, match='n_networks: expected None or 3, as the pretrained model has, got 5'):
        ts_learner(loaders(), pretrained=folder, n_networks=5)
    other = ts_learner(loaders('regression'), pretrained=folder)
    assert other.model.activation is None and len(networks_of(other.model))==3
    for a,b in zip(networks_of(other.model), networks_of(trained.model)):
        assert torch.equal(a.block.xception[0].bottleneck.weight, b.block.xception[0].bottleneck.weight)
    assert np.isfinite(fit(other, 1).recorder.values[-1][0])

def test_from_one_network(tmp_path):
    "Copies of its body, each with a new head; with the same classes an error, as all copies would be equal"
    one = fit(learner(n=None), 1)
    one.save_pretrained(tmp_path/'m')
    several = ts_learner(loaders('multilabel'), pretrained=tmp_path/'m', n_networks=2, seed=0)
    a,b = networks_of(several.model)
    assert torch.equal(a.block.xception[0].bottleneck.weight, b.block.xception[0].bottleneck.weight)
    assert not torch.equal(a.head[3].weight, b.head[3].weight) and several.model.activation=='sigmoid'
    with pytest.raises(ValueError, match='n_networks: expected None or 1'):
        ts_learner(loaders(), pretrained=tmp_path/'m', n_networks=2)

def test_of_unequal_lengths():
    ragged = [x[:,:12+i%12] for i,x in enumerate(X)]
    dls = TSDataLoaders.from_arrays(ragged, TARGETS['classification'], SPLITS, bs=8, seed=0)
    learn = ts_learner(dls, nf=1, n_networks=2, seed=0)
    with learn.no_bar(): fit(learn, 1)
    probs = learn.get_X_preds(ragged)[0]
    torch.testing.assert_close(torch.cat([learn.get_X_preds([x])[0] for x in ragged]), probs, rtol=1e-5, atol=1e-5)

def test_a_batch_asks_nothing_of_all_weights(monkeypatch):
    "A digest of the weights, which waits for the device, is computed per epoch, not per batch"
    counts = []
    monkeypatch.setattr(fitting, 'weights_digest', lambda model: counts.append(1) or weights_digest(model))
    asked = []
    for bs in (24,4): # one batch per epoch, then six
        dls = TSDataLoaders.from_arrays(X, TARGETS['classification'], SPLITS, bs=bs, seed=0)
        learn = ts_learner(dls, nf=1, n_networks=2, seed=0)
        counts.clear()
        with learn.no_bar(): fit(learn, 1)
        asked.append(len(counts))
    assert asked[0]==asked[1]>0
