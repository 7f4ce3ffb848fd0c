"Trainings with replayed steps, by a stand-in for CUDA graphs on the CPU, and on a GPU if there is one"
import copy, gc, weakref
import numpy as np, pytest, torch
from fastai.callback.core import Callback
from fastai.callback.training import GradientAccumulation
from fastai.callback.tracker import SaveModelCallback
from fastai.optimizer import SGD
from fastai.learner import load_learner
from small import X, Stop, classes, ragged, splits
from torch import nn
from xceptiontime.data.augment import TSMixUp
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.models import graphs
from xceptiontime.models.graphs import Graphed, Recorded
from xceptiontime.models.inception import InceptionTime
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.train.learner import ts_learner
from xceptiontime.train.recipe import AverageWeights

class OnCPU(Recorded):
    "Computes in place of a replay; as on a GPU, each step overwrites the outputs of the step before"
    def __init__(self, call, xs, params, pool=None):
        self.xs,self.params = [x.detach().as_subclass(torch.Tensor).clone() for x in xs],list(params)
        self.call,self.grads = call,torch.zeros(sum(p.numel() for p in params))
        self.used = [True]*len(self.params)

    def run(self, xs):
        for own,x in zip(self.xs, xs):
            own.zero_()
            own[...,:x.shape[-1]] = x
        with torch.set_grad_enabled(bool(self.params)): self.last = self.call(*self.xs)
        return self.last.detach().clone()

    def gradients(self, grad):
        self.grads.copy_(self._flat_gradients(self.last, grad))
        return [g.view_as(p) for g,p in zip(self.grads.clone().split([p.numel() for p in self.params]), self.params)]

class Standin(Graphed): record,device = OnCPU,'cpu'

def learner(X=X, replayed=True, nf=2, device='cpu', **kwargs):
    dls = TSDataLoaders.from_arrays(X, classes, splits, bs=4, seed=0, device=device)
    learn = ts_learner(dls, nf=nf, seed=0, cuda_graphs=None if replayed else False, **kwargs)
    learn.remove_cb(learn.progress)
    if replayed and device=='cpu': learn.graphs = Standin(learn.model)
    return learn

def fitted(replayed, cbs=(), epochs=4, change=lambda learn: None, **kwargs):
    learn = learner(replayed=replayed, **kwargs)
    change(learn)
    torch.manual_seed(0)
    with learn.no_logging(): learn.fit(epochs, 1e-2, cbs=[cb() for cb in cbs])
    return learn

def assert_same(a, b, rtol=1e-4):
    for (k,p),q in zip(a.model.state_dict().items(), b.model.state_dict().values()):
        torch.testing.assert_close(p, q, rtol=rtol, atol=rtol/10, msg=k)
    np.testing.assert_allclose(a.recorder.losses, b.recorder.losses, rtol=rtol)
    np.testing.assert_allclose(np.array(a.recorder.values, float), np.array(b.recorder.values, float), rtol=rtol)

class Hook(Callback):
    "A hook on a layer in the second epoch"
    def before_epoch(self):
        if self.epoch==1: self.own = self.model.head[1].register_forward_hook(lambda *args: None)
    def after_epoch(self):
        if self.epoch==1: self.own.remove()

class AsksTwice(Callback):
    "Uses the network between the forward and the backward pass, like a loss of two views"
    def after_pred(self):
        if self.training: self.learn.pred = (self.pred + self.model(*(x.flip(2) for x in self.xb)))/2

def dropping(ni, c_out, steps): return nn.Sequential(nn.Flatten(), nn.Dropout(.5), nn.Linear(ni*steps, c_out))

KINDS = dict(plain={}, lengths=dict(X=ragged), accumulated=dict(cbs=[lambda: GradientAccumulation(8)]),
             mixed=dict(cbs=[TSMixUp]), sgd=dict(opt_func=SGD), frozen=dict(change=lambda learn: learn.freeze()),
             together=dict(n_networks=2), averaged=dict(cbs=[AverageWeights]), hooked=dict(cbs=[Hook]),
             twice=dict(cbs=[AsksTwice]), inception=dict(arch=InceptionTime), dropout=dict(custom_head=dropping))

@pytest.mark.parametrize('kind', KINDS)
def test_same_training(kind):
    a,b = (fitted(replayed, **KINDS[kind]) for replayed in (True,False))
    assert_same(a, b)
    assert a.graphs.replayed>=8 and b.graphs is None
    assert a.model._compiled_call_impl is None

@pytest.mark.parametrize('kind', KINDS)
def test_same_training_on_a_gpu(cuda, kind):
    "Up to the rounding of float32 in ten steps"
    a,b = (fitted(replayed, device=cuda, **KINDS[kind]) for replayed in (True,False))
    assert next(a.model.parameters()).is_cuda and a.dls.one_batch()[0].is_cuda
    if kind!='dropout': assert_same(a, b, rtol=2e-2)
    assert not any('cannot be recorded' in reason for reason in a.graphs.called) and a.graphs.replayed>=8

def test_reasons_are_told():
    counts = {kind: fitted(True, **KINDS[kind]).graphs.called for kind in ('plain','hooked','twice')}
    assert list(counts['plain'])==['the first steps of a shape call the network']
    assert counts['hooked']['a layer has a hook or another forward']==6 # batches of an epoch, with validation
    assert counts['twice']['the step before has had no backward pass']>=10

def test_goes_on_with_the_graphs_of_the_training_before():
    learn = fitted(True, epochs=2)
    recorded,replayed = dict(learn.graphs.recorded),learn.graphs.replayed
    with learn.no_logging(): learn.fit(1)
    assert learn.graphs.recorded==recorded and learn.graphs.replayed==replayed+6

def test_another_network():
    learn = fitted(True, epochs=1)
    old,learn.model = learn.graphs,XceptionTime(2, 3, nf=1)
    with learn.no_logging(): learn.fit(2)
    assert learn.graphs is not old and learn.graphs.model is learn.model and learn.graphs.replayed

@pytest.mark.parametrize('error', [RuntimeError,KeyboardInterrupt])
def test_an_error_leaves_nothing_in_place(error):
    learn = learner()
    with learn.no_logging(),pytest.raises(error): learn.fit(3, cbs=Stop(8, error))
    assert learn.model._compiled_call_impl is None and learn.graphs.replayed
    with learn.no_logging(): learn.fit(1)

def test_copies_know_nothing_of_graphs(tmp_path):
    def export():
        assert learn.model._compiled_call_impl is learn.graphs
        learn.export('whole.pkl')
        copies.append(copy.deepcopy(learn.model))
    learn,copies = learner(),[]
    during = Callback()
    learn.path,during.after_train = tmp_path,export
    with learn.no_logging(): learn.fit(1, cbs=[during,SaveModelCallback()])
    other = load_learner(tmp_path/'whole.pkl')
    assert other.model._compiled_call_impl is None is copies[0]._compiled_call_impl
    assert other.graphs.model is other.model and other.graphs.replayed==0
    np.testing.assert_array_equal(other.get_X_preds(X)[0].shape, learn.get_X_preds(X)[0].shape)

def test_compiled_by_the_user():
    learn = learner()
    learn.model._compiled_call_impl = seen = learn.model._call_impl # as after learn.model.compile()
    with learn.no_logging(): learn.fit(1)
    assert learn.model._compiled_call_impl is seen and learn.graphs.replayed==0

def test_compiled_by_a_callback():
    learn = learner()
    during = Callback()
    during.after_train = lambda: setattr(learn.model, '_compiled_call_impl', learn.model._call_impl)
    with learn.no_logging(): learn.fit(1, cbs=during)
    assert learn.model._compiled_call_impl==learn.model._call_impl

def test_off():
    dls = learner().dls
    assert ts_learner(dls, nf=1, cuda_graphs=False).graphs is None
    assert [ts_learner(dls, nf=1, cuda_graphs=g).graphs.own for g in (None,True)]==[False,True]

def test_weights_that_move_are_recorded_anew():
    m = XceptionTime(2, 3, nf=1).eval()
    step,x = Standin(m, after=0),torch.from_numpy(X)
    with torch.no_grad():
        step(x)
        m.head[3].bias = nn.Parameter(torch.ones(3))
        torch.testing.assert_close(step(x), m(x))
        m.reset_head(5)
        assert step(x).shape==(24,5)
        m.load_state_dict({k: v+.1 if v.is_floating_point() else v for k,v in m.state_dict().items()}, assign=True)
        torch.testing.assert_close(step(x), m(x))
    assert step.replayed==4

@pytest.mark.parametrize('name,value', [('momentum',.5), ('eps',.1), ('p',.9)])
def test_settings_of_layers_that_change(name, value):
    m = nn.Sequential(nn.Conv1d(2, 2, 1), nn.BatchNorm1d(2), nn.Dropout(.1))
    step,x = Standin(m, after=0),torch.from_numpy(X)
    with torch.no_grad():
        step(x)
        for l in m: setattr(l, name, value)
        twin,res = copy.deepcopy(m),[]
        for f in (step,twin):
            torch.manual_seed(0)
            res.append(f(x))
    assert len(step.recorded)==2
    torch.testing.assert_close(*res)
    torch.testing.assert_close(m[1].running_var, twin[1].running_var)

def test_shared_weights():
    "Two layers with one weight, which has the gradients of both"
    def net():
        torch.manual_seed(0)
        a,b = nn.Conv1d(2, 2, 1),nn.Conv1d(2, 2, 1)
        b.weight = a.weight
        return nn.Sequential(a, nn.ReLU(), b)
    m,twin = net(),net()
    step,x = Standin(m, after=0),torch.from_numpy(X)
    step(x).square().sum().backward()
    twin(x).square().sum().backward()
    assert step.replayed==1
    for p,q in zip(m.parameters(), twin.parameters()): torch.testing.assert_close(p.grad, q.grad)

def test_new_weights_in_the_same_place():
    "Gradients go to the current parameters of the layers"
    m = nn.Conv1d(2, 2, 1)
    step,x = Standin(m, after=0),torch.from_numpy(X)
    step(x).sum().backward()
    want,m.weight = m.weight.grad,nn.Parameter(m.weight.data)
    step(x).sum().backward()
    assert step.replayed==2
    torch.testing.assert_close(m.weight.grad, want)

def test_the_first_training_of_a_network_that_is_not_there_yet(monkeypatch):
    "A training moves the network to the device of the batches after the graphs are set up"
    learn = learner()
    learn.graphs.device = 'meta'
    with learn._graphs_in_place(): assert learn.model._compiled_call_impl is None
    monkeypatch.setattr(type(learn.dls), 'device', torch.device('meta'))
    with learn._graphs_in_place(): assert learn.model._compiled_call_impl is learn.graphs

def test_copies_on_several_gpus_compute_with_their_own_weights():
    class ParallelTrainer(Callback): "The callback that fastai's `to_parallel` adds"
    learn = learner()
    with learn.no_logging(): learn.fit(1, cbs=ParallelTrainer())
    assert learn.graphs.replayed==0 and not learn.graphs.called

def test_a_learner_of_an_earlier_version_trains():
    learn = learner()
    del learn.graphs
    with learn.no_logging(): learn.fit(1)
    assert learn.graphs is None

@pytest.mark.parametrize('name,value', [('padding',(2,)), ('stride',(2,)), ('dilation',(2,))])
def test_settings_of_several_numbers(name, value):
    m = nn.Sequential(nn.Conv1d(2, 2, 3, padding=1))
    step,x = Standin(m, after=0),torch.from_numpy(X)
    with torch.no_grad():
        step(x)
        setattr(m[0], name, value)
        torch.testing.assert_close(step(x), m(x))
    assert len(step.recorded)==2

def test_ctrl_c_that_the_end_of_a_graph_turns_into_an_error():
    class Interrupted(Recorded):
        def __init__(self, *args):
            try: raise KeyboardInterrupt
            finally: raise RuntimeError('capture was invalidated')
    m = nn.Sequential(nn.Conv1d(2, 2, 1))
    step = Standin(m, after=0)
    step.record = Interrupted
    with pytest.raises(KeyboardInterrupt): step(torch.from_numpy(X))

@pytest.mark.parametrize('before', [ValueError,KeyboardInterrupt])
def test_an_error_before_is_not_the_reason(before):
    class Fails(Recorded):
        def __init__(self, *args): raise RuntimeError('no room')
    step = Standin(nn.Sequential(nn.Conv1d(2, 2, 1)), after=0)
    step.record = Fails
    try: raise before('elsewhere')
    except before: step(torch.from_numpy(X)) # as in a notebook that trains again after an error
    assert list(step.called)==['it cannot be recorded: no room']

def test_what_could_not_be_recorded_is_freed_at_once():
    made = []
    class Fails(Recorded):
        def __init__(self, *args):
            made.append(weakref.ref(self))
            raise RuntimeError('no room')
    step = Standin(nn.Sequential(nn.Conv1d(2, 2, 1)), after=0)
    step.record = Fails
    gc.disable()
    try: step(torch.from_numpy(X))
    finally: gc.enable()
    assert len(made)==1 and made[0]() is None

class Moves(nn.Conv1d):
    "Moves its weight in each call, as an LSTM on a GPU does if it has a new one"
    def forward(self, x):
        with torch.no_grad(): self.weight.set_(self.weight.detach().clone())
        return super().forward(x)

def test_a_layer_that_moves_its_weights_is_not_replayed():
    class Called(OnCPU): # as in a recording
        def __init__(self, call, *args):
            super().__init__(call, *args)
            call(*self.xs)
    m = Moves(2, 2, 1)
    step,x = Standin(m, own=True, after=0),torch.from_numpy(X)
    step.record = Called
    step(x).sum().backward()
    assert list(step.called)==['a layer moves its weights'] and m.weight.grad is not None

def test_layers_of_your_own_see_no_further_padding():
    class Mean(nn.Conv1d):
        def forward(self, x, lengths): return super().forward(x).mean(2)
    m = Mean(2, 3, 1)
    for n in (20,19,18,17):
        step,x = Standin(m, own=True, after=0),torch.from_numpy(X[...,:n])
        lengths = torch.full((len(x),), n)
        torch.testing.assert_close(step(x, lengths), m(x, lengths))
        assert step.replayed==1

def test_graphs_of_moved_weights_leave_their_memory():
    m = nn.Conv1d(2, 2, 1)
    step,x = Standin(m, after=0),torch.from_numpy(X)
    step(x).sum().backward()
    step.pool = 'of the graphs before'
    m.weight = nn.Parameter(m.weight.detach().clone())
    step(x).sum().backward()
    assert step.pool is None and step.replayed==2

@pytest.mark.parametrize('peak,room', [(5.,True), (5.1,False)])
def test_room_for_a_second_step(monkeypatch, peak, room):
    "Of 12 GB another process has 2, and 4 are free"
    for name,gb in dict(mem_get_info=(4.,12.), memory_reserved=6., max_memory_allocated=peak).items():
        monkeypatch.setattr(torch.cuda, name, lambda gb=gb: gb)
    assert graphs._has_room()==room

# ---------------------------------------------------------------- on a GPU

class Waits(nn.Module):
    "Reads a number from the GPU, which no recording allows"
    def forward(self, x): return x*x.mean().item()

def test_a_failed_recording_leaves_the_gpu_as_it_was(cuda):
    x = torch.from_numpy(X).to(cuda)
    stream = torch.cuda.current_stream()
    bad,good = (nn.Sequential(nn.Conv1d(2, 3, 1), *more).to(cuda) for more in ((Waits(),), ()))
    step = Graphed(bad, own=True)
    for _ in range(4):
        step(x).sum().backward()
        assert torch.cuda.current_stream()==stream
    assert any('cannot be recorded' in reason for reason in step.called) and step.replayed==0
    step = Graphed(good)
    for _ in range(5): torch.testing.assert_close(step(x), good(x))
    step(x).sum().backward()
    assert step.replayed

def test_layers_that_move_their_weights_on_a_gpu(cuda):
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(2, 3, batch_first=True)
        def forward(self, x): return self.lstm(x.transpose(1, 2))[0][:,-1]
    m,x = Last().to(cuda),torch.from_numpy(X).to(cuda)
    step,opt = Graphed(m, own=True),torch.optim.SGD(m.parameters(), lr=.1)
    for _ in range(6):
        twin = copy.deepcopy(m)
        torch.testing.assert_close(step(x), twin(x))
        step(x).sum().backward()
        opt.step()
        opt.zero_grad()

def test_a_network_that_leaves_the_gpu_and_comes_back_is_recorded_again(cuda):
    learn = fitted(True, device=cuda)
    before = learn.graphs.replayed
    learn.model.cpu()
    with learn.no_logging(): learn.fit(4)
    assert learn.graphs.replayed>before
    assert not any('cannot be recorded' in reason for reason in learn.graphs.called)

def test_steps_are_recorded_on_each_gpu(cuda):
    if torch.cuda.device_count()<2: pytest.skip('two GPUs are needed')
    for i in (0,1):
        with torch.cuda.device(i):
            m,x = nn.Conv1d(2, 3, 1).cuda(),torch.from_numpy(X).cuda()
            step = Graphed(m.eval())
            with torch.no_grad():
                for k in range(5): torch.testing.assert_close(step(x*k), m(x*k))
            assert step.replayed==3 # the first two call the network
