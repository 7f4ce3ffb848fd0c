"The fast path gives the results of the plain layers, and is not used where it cannot be"
import copy, gc, io, pickle, threading, weakref
import pytest, torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune
from networks import counted, plain, seasoned
from xceptiontime.models import xceptiontime as models
from xceptiontime.models.fast import evaluate, pieces, train
from xceptiontime.models.fast.door import applies
from xceptiontime.models.fast.pieces import internals
from xceptiontime.models.fast.plain import Setup, Stats, Weights, fixed_stats, plain_stage
from xceptiontime.models.fast.train import StageFunction
from xceptiontime.models.layers import SeparableConv1d
from xceptiontime.models.xceptiontime import XceptionTime

def network(c_in=3, c_out=5, **kw): return seasoned(XceptionTime, c_in, c_out, **{'nf':4, **kw})

@pytest.fixture
def taken(monkeypatch): return counted(monkeypatch, models, 'fast_forward') # counts calls of the fast path

@pytest.fixture(params=['whole','pieces'])
def piece(request, monkeypatch):
    if request.param=='pieces': monkeypatch.setattr(pieces, 'PIECE', 1)

def close(a, b, eps): torch.testing.assert_close(a, b, rtol=eps, atol=eps)
def nearly(a, b, eps):
    "The largest difference relative to the largest value"
    assert (a-b).abs().max() <= eps*b.abs().max(), ((a-b).abs().max()/b.abs().max()).item()

def nearly_or_small(a, b, eps):
    "The same, also if `b` is 0 up to rounding"
    assert a.shape==b.shape and (a-b).abs().max() <= eps*max(1, b.abs().max())

OPTIONS = [dict(bottleneck=False), dict(residual=False), dict(ks=(41,21,11), head='linear'),
           dict(nf=3, adaptive_size=7), dict(nf=1, head='bn', c_in=1, c_out=1)]
def ids(kw): return ','.join(f'{k}={v}' for k,v in kw.items()) or 'default'

def same_step(m, x, lengths=None, eps=1e-12):
    "Scores, gradients and statistics of `m` and of its plain copy, and scores without gradients"
    p = plain(m)
    x1,x2 = x.clone().requires_grad_(), x.clone().requires_grad_()
    out,ref = m(x1, lengths), p(x2, lengths)
    g = torch.randn_like(ref)
    (out*g).sum().backward()
    (ref*g).sum().backward()
    close(out, ref, eps)
    nearly(x1.grad, x2.grad, eps)
    for a,b in zip(m.parameters(), p.parameters()): nearly_or_small(a.grad, b.grad, eps)
    for a,b in zip(m.buffers(), p.buffers()): close(a, b, eps)
    with torch.no_grad(): close(m.eval()(x, lengths), p.eval()(x, lengths), eps)

@pytest.mark.parametrize('lengths', [None, [64,3,50,17,1]], ids=['full','ragged'])
@pytest.mark.parametrize('kw', OPTIONS, ids=ids)
def test_same_numbers_in_double(kw, lengths, piece, taken):
    for n in (37,) if lengths is None else (64,90):
        for train in (True,False):
            x = torch.randn(5, kw.get('c_in', 3), n).double()
            same_step(network(**kw).train(train), x, lengths)
    assert len(taken)==(4 if lengths is None else 8)

@pytest.mark.parametrize('train', [True,False])
@pytest.mark.parametrize('c_in,nf', [(33,2), (306,4), (1345,4)])
def test_any_number_of_channels(c_in, nf, train, piece, taken):
    for B,L in ((1,9), (4,30)):
        m = network(c_in, nf=nf).train(train)
        same_step(m, torch.randn(B, c_in, L).double(), eps=1e-11)
    assert len(taken)==4

def test_same_numbers_in_single(piece, taken):
    m = network(dtype=torch.float32, nf=16)
    for shift in (0, 100): # the variance of a shortcut with a large mean
        x = torch.randn(6, 3, 50)*2 + shift
        for train in (True,False):
            p = plain(m.train(train))
            with torch.no_grad(): nearly(m(x), p(x), 1e-5 if shift==0 else 1e-4)
    close(m.block.shortcut[0][1].running_var, p.block.shortcut[0][1].running_var, 1e-5)
    assert len(taken)==4

def stage_inputs(dtype, shortcut=True, B=3, L=12, C=5, nf=2, bottleneck=True, batch=True, pool=None):
    "The arguments of `plain_stage`"
    torch.manual_seed(1)
    def new(*shape): return torch.randn(*shape, dtype=dtype, requires_grad=True)
    width = nf if bottleneck else C
    ws = Weights(new(nf, C, 1) if bottleneck else None, *(new(width, 1, k) for k in (7,5,3)),
                 *(new(nf, width, 1) for _ in range(3)), new(nf, C, 1))
    if not shortcut: return new(B, L, C), None, ws, Setup(pool=pool)
    ws = ws._replace(shortcut=new(4*nf, 4, 1), gamma=new(4*nf), beta=new(4*nf))
    x,res = new(B, L, C),new(B, L, 4)
    norm = nn.BatchNorm1d(4*nf, dtype=dtype).train(batch)
    norm.running_mean.normal_()
    norm.running_var.uniform_(.5, 2)
    return x, res, ws, Setup(stats=stats_of(res, ws, norm), pool=pool)

@torch.no_grad()
def stats_of(res, ws, norm):
    return train.batch_stats(res, ws.shortcut[:,:,0], norm) if norm.training else fixed_stats(norm)

STAGES = [dict(shortcut=False), dict(shortcut=False, bottleneck=False), dict(), dict(batch=False), dict(pool=5),
          dict(pool=20, batch=False), dict(pool=5, shortcut=False)]

def tensors(x, res, ws): return [t for t in (x, res, *ws) if t is not None]

@pytest.mark.parametrize('kw', STAGES, ids=ids)
def test_gradcheck(kw, piece):
    x,res,ws,setup = stage_inputs(torch.float64, B=2, L=4, C=2, nf=1, **kw)
    norm = nn.BatchNorm1d(4, dtype=torch.float64).train(kw.get('batch', True))
    def f(x, res, *ws):
        if setup.stats is None: return StageFunction.apply(setup, x, None, *ws)
        return StageFunction.apply(setup._replace(stats=stats_of(res, Weights(*ws), norm)), x, res, *ws)
    args = x, res, *ws
    assert torch.autograd.gradcheck(f, args, fast_mode=True)
    assert torch.autograd.gradgradcheck(f, args, fast_mode=True)

@pytest.mark.parametrize('kw', STAGES, ids=ids)
def test_gradients_of_a_layer_in_single(kw, piece):
    x,res,ws,setup = stage_inputs(torch.float32, B=8, L=60, C=24, nf=8, **kw)
    out = StageFunction.apply(setup, x, res, *ws)
    g = torch.randn_like(out)
    got = torch.autograd.grad(out, tensors(x, res, ws), g)
    def double(t): return t.detach().double() if isinstance(t, torch.Tensor) else t
    def leaf(t): return None if t is None else double(t).requires_grad_()
    args = leaf(x), leaf(res), Weights(*map(leaf, ws))
    if setup.stats: setup = setup._replace(stats=Stats(*map(double, setup.stats)))
    ref = plain_stage(*args, setup)
    nearly(out, ref, 1e-5)
    for a,b in zip(got, torch.autograd.grad(ref, tensors(*args), g.double())): nearly(a, b, 1e-5)

def test_between_forward_and_backward(monkeypatch):
    "Another mode, another batch, or a batch during the backward pass has no effect"
    m,xs = network(),torch.randn(3, 4, 3, 40).double()
    p,before = plain(m),copy.deepcopy(m.state_dict())
    want = torch.autograd.grad(p(xs[0]).square().sum(), list(p.parameters()))
    out = m(xs[0])
    m.eval()
    with torch.no_grad(): m(xs[1])
    m(xs[1])
    m.train()
    kept = m(xs[2])
    m.eval()
    got = torch.autograd.grad(out.square().sum(), list(m.parameters()), retain_graph=True)
    for a,b in zip(got, want): close(a, b, 1e-11)
    again = torch.autograd.grad(kept.square().sum(), list(m.parameters()))
    moved = copy.deepcopy(m.state_dict())
    got = torch.autograd.grad(out.square().sum(), list(m.parameters())) # again
    for a,b in zip(got, want): close(a, b, 1e-11)
    for a,b in zip(m.state_dict().values(), moved.values()): assert torch.equal(a, b)
    m.load_state_dict(before)
    m.train()
    p.load_state_dict(before)
    ref = torch.autograd.grad(p(xs[2]).square().sum(), list(p.parameters()))
    for a,b in zip(again, ref): close(a, b, 1e-11)
    out = m(xs[0])
    real,calls = train.StageGradient.piece, []
    def interrupted(*args):
        calls.append(1)
        if len(calls)==3:
            with torch.enable_grad(): got = torch.autograd.grad(m(xs[2]).square().sum(), list(m.parameters()))
            for a,b in zip(got, ref): close(a, b, 1e-11)
        return real(*args)
    monkeypatch.setattr(train.StageGradient, 'piece', interrupted)
    for a,b in zip(torch.autograd.grad(out.square().sum(), list(m.parameters())), want): close(a, b, 1e-11)
    assert len(calls)==8
    m.eval()
    out = m(xs[0])
    m.head[1][1].running_var.mul_(2)
    with pytest.raises(RuntimeError, match='modified by an inplace operation'): out.sum().backward()

def test_statistics_that_change_before_the_gradient():
    "The backward pass of a BatchNorm in evaluation uses the statistics of the forward pass"
    m,x = network().eval(),torch.randn(3, 3, 40).double()
    want = torch.autograd.grad(m(x).sum(), list(m.block.parameters()))
    out = m(x)
    for t in m.block.shortcut.buffers(): t.mul_(2)
    for a,b in zip(torch.autograd.grad(out.sum(), list(m.block.parameters())), want): close(a, b, 1e-12)

def test_scores_that_nobody_keeps_hold_nothing():
    m,x = network(),torch.randn(4, 3, 40).double()
    out = m(x)
    node = out.grad_fn
    while not isinstance(node, train.StageFunction._backward_cls): node = node.next_functions[0][0]
    seen = weakref.ref(node)
    gc.disable()
    try: del out,node
    finally: gc.enable()
    assert seen() is None

@pytest.mark.parametrize('lengths', [None, [5,3]], ids=['full','ragged'])
@pytest.mark.parametrize('train', [True,False])
def test_gradcheck_of_the_network(train, lengths, piece, taken):
    m = network(nf=1, c_in=2, c_out=2, ks=(5,3,1), adaptive_size=3).train(train)
    for p in m.parameters(): p.requires_grad_(False)
    x = torch.randn(2, 2, 5).double().requires_grad_()
    def f(x): return copy.deepcopy(m)(x, lengths) # a copy, as running statistics change
    assert torch.autograd.gradcheck(f, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(f, (x,), fast_mode=True) and taken

@pytest.mark.parametrize('lengths', [None, [40,40,9,40]], ids=['full','ragged'])
def test_gradient_penalty(lengths, piece, taken):
    m = network()
    p,x = plain(m),torch.randn(4, 3, 40).double()
    def penalty(m):
        xr = x.clone().requires_grad_()
        g, = torch.autograd.grad(m(xr, lengths).sum(), xr, create_graph=True)
        (g**2).sum().backward()
        return [q.grad for q in m.parameters()]
    for a,b in zip(penalty(m), penalty(p)):
        assert (a is None)==(b is None)
        if a is not None: nearly_or_small(a, b, 1e-10) # some are 0, because of the BatchNorm after the last convolution
    assert len(taken)==1

def test_backward_twice_and_weights_changed_between():
    m,x = network(),torch.randn(4, 3, 40).double()
    loss = m(x).sum()
    loss.backward(retain_graph=True)
    g = [p.grad.clone() for p in m.parameters()]
    loss.backward()
    for p,a in zip(m.parameters(), g): close(p.grad, 2*a, 1e-12)
    loss = m(x).sum()
    with torch.no_grad(): m.block.xception[0].convs[0].depthwise_conv.weight.mul_(2)
    with pytest.raises(RuntimeError, match='modified by an inplace operation'): loss.backward()

def test_frozen_parts(taken):
    x = torch.randn(4, 3, 40).double()
    def norms(m): return nn.ModuleList(l for l in m.modules() if isinstance(l, nn.BatchNorm1d))
    parts = [lambda m: m.block, lambda m: m.head, lambda m: m.block.xception[1],
             lambda m: m.block.shortcut, norms]
    for freeze in parts:
        m = network()
        freeze(m).requires_grad_(False).eval()
        p = plain(m)
        for net in (m,p): net(x).square().sum().backward()
        for a,b in zip(m.parameters(), p.parameters()):
            assert (a.grad is None)==(b.grad is None)
            if a.grad is not None: close(a.grad, b.grad, 1e-11)
        for a,b in zip(m.buffers(), p.buffers()): close(a, b, 1e-12)
    assert len(taken)==5

# --- hooks and changes of the network

def test_hooks_see_every_layer(taken):
    m,x = network(),torch.randn(2, 3, 40).double()
    ref = m(x)
    seen,hooks = {}, []
    def show(name):
        def hook(l, inp, out): seen[name] = (inp,out)
        return hook
    m2 = plain(m)
    m2(x)
    for n,l in m.named_modules():
        if n: hooks.append(l.register_forward_hook(show(n)))
    n = len(taken)
    close(m(x), ref, 1e-12)
    called = {n for n,l in m.named_modules() if n and not isinstance(l, nn.ModuleList)}
    assert len(taken)==n and set(seen)==called
    b = F.conv1d(x, m.block.xception[0].bottleneck.weight)
    conv = m.block.xception[0].convs[0]
    d = F.conv1d(b, conv.depthwise_conv.weight, padding=19, groups=4)
    pre = 'block.xception.0.'
    mixed = F.conv1d(d, conv.pointwise_conv.weight)
    expected = {'bottleneck':(x,b), 'convs.0.depthwise_conv':(b,d),
                'convs.0.pointwise_conv':(d,mixed), 'convs.0':(b,mixed),
                'maxconvpool.0':(x,F.max_pool1d(x, 3, 1, 1))}
    for name,(inp,out) in expected.items():
        close(seen[pre+name][0][0], inp, 1e-12)
        close(seen[pre+name][1], out, 1e-12)
    parts = seen[pre+'concat'][0][0]
    assert len(parts)==4
    close(torch.cat(parts, 1), seen[pre+'concat'][1], 0)
    close(seen[pre+'concat'][1], seen[pre[:-1]][1], 0)
    for h in hooks: h.remove()
    m(x)
    assert len(taken)==n+1

@pytest.mark.parametrize('get', [
    lambda m: m.block.xception[2].convs[1].depthwise_conv, lambda m: m.block.xception[0].concat, lambda m: m.head[1][1],
    lambda m: m.block.add, lambda m: m.block.xception[3].maxconvpool, lambda m: m.block, lambda m: m.head[0]])
def test_a_hook_that_changes_the_output_counts(get):
    m,x = network().eval(),torch.randn(2, 3, 40).double()
    ref = m(x)
    h = get(m).register_forward_hook(lambda l, i, o: o*2)
    assert (m(x)-ref).abs().max() > 1e-3
    h.remove()
    close(m(x), ref, 1e-12)
    def doubled(l, i): return ([t*2 for t in i[0]],) if isinstance(i[0], list) else (i[0]*2, *i[1:])
    h = get(m).register_forward_pre_hook(doubled)
    assert (m(x)-ref).abs().max() > 1e-3
    h.remove()

def test_backward_hooks_and_global_hooks():
    m,x = network(),torch.randn(2, 3, 40).double()
    seen = []
    m.block.xception[1].register_full_backward_hook(lambda l, gi, go: seen.append(go[0].shape))
    m(x).sum().backward()
    assert seen==[(2,32,40)]
    h = nn.modules.module.register_module_forward_hook(lambda l, i, o: seen.append(type(l)))
    try: network()(x)
    finally: h.remove()
    assert seen.count(SeparableConv1d)==12

def test_changed_layers_are_called():
    x = torch.randn(2, 3, 40).double()
    def check(change, same=False):
        m = network().eval()
        ref = m(x)
        change(m)
        out = m(x)
        assert ((out-ref).abs().max() < 1e-12)==same
        m.as_built = None
        close(out, m(x), 1e-12)
    def replace(m): m.block.xception[0].convs[0] = nn.Conv1d(4, 4, 3, padding=1, dtype=torch.double)
    def dilate(m):
        c = m.block.xception[1].convs[2].depthwise_conv
        c.dilation,c.padding = (2,),(8,)
    def override(m): m.head[1].forward = lambda x: x[:,:64]
    def identity(m): m.head[2][2] = nn.Identity()
    def bias(m): m.block.xception[0].bottleneck.bias = nn.Parameter(torch.ones(4).double())
    class Twice(nn.Module):
        def forward(self, w): return w*2
    def pruned(m): prune.l1_unstructured(m.block.xception[0].bottleneck, 'weight', .5)
    def parametrized(m):
        nn.utils.parametrize.register_parametrization(m.block.xception[3].maxconvpool[1], 'weight', Twice())
    def wider_pool(m): m.block.xception[2].maxconvpool[0].kernel_size = 5
    def other_act(m): m.block.act = nn.Tanh()
    def more(m): m.block.xception[1].bottleneck = nn.Sequential(m.block.xception[1].bottleneck, nn.ReLU())
    for f in (replace, dilate, override, identity, bias, pruned, parametrized, wider_pool, other_act, more): check(f)
    check(lambda m: parametrizations.weight_norm(m.block.xception[0].convs[0].pointwise_conv), same=True)
    def pruned_for_good(m):
        c = m.block.xception[0].bottleneck
        prune.l1_unstructured(c, 'weight', .5)
        prune.remove(c, 'weight')
    check(pruned_for_good)

def test_batchnorm_settings_count():
    x = torch.randn(4, 3, 40).double()
    untracked = dict(track_running_stats=False, running_mean=None, running_var=None, num_batches_tracked=None)
    for change in (dict(momentum=None), dict(momentum=.7), dict(eps=.1), untracked):
        m = network()
        for bn in (m.block.shortcut[0][1], m.head[1][1]):
            for k,v in change.items(): setattr(bn, k, v)
        p = plain(m)
        for _ in range(2): close(m(x), p(x), 1e-12)
        for a,b in zip(m.buffers(), p.buffers()): close(a, b, 1e-12)

# --- where it is not used

def both(m, f, taken, eps=1e-12):
    "f of the network and of its plain copy; checks that the fast path was not used"
    n = len(taken)
    out,ref = f(m),f(plain(m))
    assert len(taken)==n
    torch.testing.assert_close(out, ref, rtol=eps, atol=eps)
    return out

def test_autocast_half_and_other_devices(taken):
    m,x = network(dtype=torch.float32, nf=16).eval(),torch.randn(2, 3, 40)
    ref = m(x)
    def auto(m):
        with torch.autocast('cpu', torch.bfloat16): return m(x)
    n = len(taken)
    out = both(m, auto, taken, 1e-6)
    assert out.dtype==torch.bfloat16 and (out-ref).abs().max() < .1*ref.abs().max()
    for dtype,tol in ((torch.bfloat16,.1), (torch.half,.02)):
        h = copy.deepcopy(m).to(dtype)
        out = h(x.to(dtype))
        assert out.dtype==dtype and (out-ref).abs().max() < tol*ref.abs().max()
        ragged = h(torch.cat([x, x*float('nan')], 2).to(dtype), [40,40])
        assert (ragged-ref).abs().max() < tol*ref.abs().max()
    meta = copy.deepcopy(m).to('meta')
    assert meta(x.to('meta')).shape==ref.shape and len(taken)==n

def test_transforms(taken):
    m,x = network().eval(),torch.randn(4, 2, 3, 20).double()
    params = dict(m.named_parameters())
    n = len(taken)
    out = both(m, lambda m: torch.func.vmap(m)(x), taken)
    loss = lambda p,x: torch.func.functional_call(m, p, (x,)).square().sum()
    gs = torch.func.vmap(torch.func.grad(loss), (None,0))(params, x)
    J = torch.func.jacrev(m)(x[0])
    jvp = torch.func.jvp(m, (x[0],), (x[1],))[1]
    lin = torch.func.vmap(lambda x,l: m(x, l), (0,None))(x, torch.tensor([20,7]))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.unpack_dual(m(torch.autograd.forward_ad.make_dual(x[0], x[1]))).tangent
    assert len(taken)==n
    close(out, torch.stack([m(t) for t in x]), 1e-12)
    close(lin, torch.stack([m(t, [20,7]) for t in x]), 1e-12)
    xr = x[0].clone().requires_grad_()
    y = m(xr)
    for i in range(2):
        for k in range(5): close(torch.autograd.grad(y[i,k], xr, retain_graph=True)[0], J[i,k], 1e-12)
    close(torch.einsum('ikbcl,bcl->ik', J, x[1]), jvp, 1e-12)
    close(dual, jvp, 1e-12)
    for i,t in enumerate(x):
        m.zero_grad()
        m(t).square().sum().backward()
        for k,p in m.named_parameters(): close(gs[k][i], p.grad, 1e-11)

def test_functional_call_takes_the_given_weights(taken):
    m,x = network().eval(),torch.randn(2, 3, 20).double()
    params = {k: (v*1.1).detach().requires_grad_() for k,v in m.named_parameters()}
    out = torch.func.functional_call(m, params, (x,))
    m2 = network().eval()
    m2.load_state_dict({**m.state_dict(), **{k:v.detach() for k,v in params.items()}})
    close(out, m2(x), 1e-12)
    out.sum().backward()
    assert all(p.grad is not None for p in params.values()) and len(taken)==2

def test_compile(taken):
    m = network(dtype=torch.float32, nf=1).eval()
    x,l = torch.randn(3, 3, 20),torch.tensor([20,4,9])
    c = torch.compile(m, backend='eager', fullgraph=True)
    with torch.no_grad(): nearly(c(x, l), m(x, l), 1e-5)
    assert len(taken)==1 # only by m(x, l)

@pytest.mark.slow
def test_compile_with_gradients(taken):
    m,x = network(dtype=torch.float32).eval(),torch.randn(3, 3, 20)
    c = torch.compile(m, backend='aot_eager', fullgraph=True, dynamic=True)
    for n in (20,33): nearly(c(torch.ones(2, 3, n)), m(torch.ones(2, 3, n)), 1e-5)
    assert len(taken)==2
    m.train()
    t,p = torch.compile(m, backend='aot_eager'),plain(m)
    t(x).square().sum().backward()
    p(x).square().sum().backward()
    for a,b in zip(m.parameters(), p.parameters()): nearly_or_small(a.grad, b.grad, 1e-3)

def test_export(taken):
    m,n = network(dtype=torch.float32, nf=1).eval(),len(taken)
    B,L = (torch.export.Dim(d, max=2**20) for d in 'BL') # torch 2.7 needs an upper bound
    one = torch.export.export(m, (torch.randn(3, 3, 40),), dynamic_shapes=({0:B,2:L},)).module()
    args = torch.randn(3, 3, 40), torch.tensor([40,3,20])
    two = torch.export.export(m, args, dynamic_shapes=({0:B,2:L},{0:B})).module()
    assert len(taken)==n
    for b,l in ((2,12), (5,50), (1,333)):
        x = torch.randn(b, 3, l)
        nearly(one(x), m(x), 1e-5)
        lengths = torch.arange(b)%l+1
        nearly(two(x, lengths), m(x, lengths), 1e-5)

def test_tracing(taken):
    from torch.fx.experimental.proxy_tensor import make_fx
    m,x = network(dtype=torch.float32).eval(),torch.randn(2, 3, 20)
    n = len(taken)
    with torch.no_grad(): t,fx = torch.jit.trace(m, x, check_trace=False),make_fx(m)(x)
    assert len(taken)==n
    y = torch.randn(2, 3, 20)
    nearly(t(y), m(y), 1e-5)
    nearly(fx(y), m(y), 1e-5)

def test_copies_and_threads(taken):
    m,x = network().eval(),torch.randn(4, 3, 30).double()
    ref,ragged = m(x),m(x, [30,2,9,17])
    buf = io.BytesIO()
    torch.save(m, buf)
    buf.seek(0)
    for c in (copy.deepcopy(m), pickle.loads(pickle.dumps(m)), torch.load(buf, weights_only=False)):
        n = len(taken)
        assert torch.equal(c(x), ref) and len(taken)==n+1
    outs = {}
    def replica(i, lengths):
        r = m._replicate_for_data_parallel() # as DataParallel does, then its children
        outs[i] = [r(x, lengths) for _ in range(5)]
    ts = [threading.Thread(target=replica, args=(i, None if i%2 else [30,2,9,17])) for i in range(4)]
    for t in ts: t.start()
    for t in ts: t.join()
    for i,out in outs.items():
        for o in out: close(o, ref if i%2 else ragged, 1e-12)

def replicate(m):
    "A replica of `m` and its layers, with tensors in place of parameters, as in DataParallel"
    r = m._replicate_for_data_parallel()
    for n,c in m._modules.items(): setattr(r, n, replicate(c))
    for n,p in m._parameters.items(): setattr(r, n, None if p is None else p*1)
    for n,b in m._buffers.items(): setattr(r, n, b.clone())
    return r

def test_replicas():
    m,x = network(),torch.randn(4, 3, 30).double()
    p = plain(m)
    out = replicate(m)(x)
    out.square().sum().backward()
    p(x).square().sum().backward()
    for a,b in zip(m.parameters(), p.parameters()): close(a.grad, b.grad, 1e-11)

def test_modes_and_checkpoint(taken):
    from torch.utils.checkpoint import checkpoint
    from torch.utils.flop_counter import FlopCounterMode
    m,x = network(),torch.randn(4, 3, 30).double()
    p = plain(m)
    for l in (None, [30,4,1,12]):
        checkpoint(m, x, l, use_reentrant=False).square().sum().backward()
        p(x, l).square().sum().backward()
        for a,b in zip(m.parameters(), p.parameters()): close(a.grad, b.grad, 1e-11)
    n = len(taken)
    with FlopCounterMode(display=False) as count: m(x)
    with FlopCounterMode(display=False) as ref: p(x)
    assert len(taken)==n and count.get_total_flops()==ref.get_total_flops()>0
    m.eval()
    with torch.inference_mode(): assert m(x).is_inference()

def test_tensor_subclasses_stay_what_they_are(taken):
    class Series(torch.Tensor): pass
    m,x = network(),torch.randn(2, 3, 30).double()
    assert type(m(x.as_subclass(Series))) is Series and type(plain(m)(x.as_subclass(Series))) is Series
    assert len(taken)==1

def test_a_subclass_of_the_network_takes_it(taken):
    class Mine(XceptionTime):
        def forward(self, x): return super().forward(x)*2
    torch.manual_seed(0)
    m = Mine(3, 2, nf=4).eval()
    torch.manual_seed(0)
    ref = XceptionTime(3, 2, nf=4).eval()
    x = torch.randn(2, 3, 30)
    nearly(m(x), 2*ref(x), 1e-6)
    assert len(taken)==2

def test_one_value_a_channel_and_no_series():
    for m in (network(), plain(network())):
        for args in ((torch.randn(1, 3, 1).double(),), (torch.randn(1, 3, 9).double(),[1])):
            with pytest.raises(ValueError, match='Expected more than 1 value per channel'): m(*args)
        assert m.eval()(torch.randn(1, 3, 1).double()).shape==(1,5)

@pytest.mark.parametrize('head', ['relu','bn','linear'])
@pytest.mark.parametrize('residual', [True,False])
def test_fused(head, residual, taken):
    m = network(head=head, residual=residual, dtype=torch.float32)
    state,x = copy.deepcopy(m.state_dict()),torch.randn(4, 3, 70)
    f = m.fuse()
    assert not any(l.training for l in f.modules())
    assert m.training and not f.training
    assert all(torch.equal(a, b) for a,b in zip(m.state_dict().values(), state.values()))
    assert not any(isinstance(l, nn.BatchNorm1d) for l in f.modules())
    m.eval()
    x[2,:,9:] = float('nan')
    n = len(taken)
    for g in (f, f.fuse(), plain(f), copy.deepcopy(f)):
        with torch.no_grad():
            nearly(g(x, [70,70,9,33]), m(x, [70,70,9,33]), 1e-5)
            nearly(g(x[2:3,:,:9]), m(x[2:3,:,:9]), 1e-5)
    assert len(taken)==n+14 # all calls except the two of the plain copy
    d,fd = copy.deepcopy(m).double(),copy.deepcopy(f).double()
    xs = [torch.randn(2, 3, 40).double() for _ in range(2)]
    xs[1] = xs[0].clone().requires_grad_()
    d(xs[0].requires_grad_()).sum().backward()
    fd(xs[1]).sum().backward()
    nearly(xs[1].grad, xs[0].grad, 1e-5)

@pytest.mark.parametrize('B,where,name,at,total', [(3,train,'stage_forward',3,8), (1,evaluate,'write_shortcut',2,4)])
def test_a_call_in_the_middle_of_another(taken, monkeypatch, B, where, name, at, total):
    "As from a signal handler: it must not use the buffers of the interrupted call, nor the views for a single series"
    m,xs = network(dtype=torch.float32).eval(),torch.randn(2, B, 3, 40)
    with torch.no_grad():
        want = [m(x) for x in xs]
        real,calls = getattr(where, name), []
        def interrupted(*args):
            calls.append(1)
            if len(calls)==at: assert torch.equal(m(xs[1]), want[1])
            return real(*args)
        monkeypatch.setattr(where, name, interrupted)
        assert torch.equal(m(xs[0]), want[0]) and len(calls)==total

def test_threads_with_single_series():
    m,xs = network(dtype=torch.float32).eval(),torch.randn(8, 1, 3, 40)
    got = {}
    with torch.no_grad(): want = [m(x) for x in xs]
    def work(i):
        with torch.no_grad(): got[i] = [m(xs[i]) for _ in range(30)]
    ts = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in ts: t.start()
    for t in ts: t.join()
    for i,outs in got.items(): assert all(torch.equal(out, want[i]) for out in outs)

def test_modes_and_kinds_of_the_caller(taken):
    m,x = network(dtype=torch.float32).eval(),torch.randn(2, 3, 41)
    with torch.device('meta'), torch.no_grad(): got = m(x) # the caller sets the device of new tensors
    with torch.no_grad():
        assert torch.equal(got, m(x))
        assert type(m(nn.Parameter(x))) is torch.Tensor
    with torch.inference_mode(), torch.enable_grad(): nearly(m(x), got, 1e-5)
    assert len(taken)==4

@pytest.mark.parametrize('B', [1,2])
@pytest.mark.parametrize('mode', [torch.inference_mode, torch.no_grad])
def test_every_change_of_the_weights_counts(taken, mode, B):
    "For a single series, views of the weights are kept between calls"
    m,x = network(c_out=3, head='linear').eval(),torch.randn(B, 3, 40).double()
    other = network(c_out=3, head='linear', seed=1).state_dict()
    c = m.block.xception[1].convs[0]
    bn,lone = m.head[1][1],m.head[1][0]
    def new_data(p): p.data = p.data*2
    first = m.block.shortcut[0][1]
    changes = [
        lambda: c.depthwise_conv.weight.data.mul_(2), lambda: new_data(c.pointwise_conv.weight),
        lambda: setattr(lone, 'weight', nn.Parameter(lone.weight.detach()*2)), lambda: bn.running_mean.add_(1),
        lambda: setattr(bn, 'running_var', bn.running_var*3), lambda: bn.weight.data.mul_(-1),
        lambda: m.load_state_dict(other),
        lambda: first.bias.data.add_(1), lambda: setattr(first, 'eps', .5), lambda: m.head[3].bias.data.add_(1)]
    for i,change in enumerate(changes):
        with mode(): before = m(x)
        change()
        with mode():
            out = m(x)
            close(out, plain(m)(x), 1e-12)
            assert (out-before).abs().max()>1e-6, i
    m.float()
    with mode(): nearly(m(x.float()), plain(m)(x.float()), 1e-5)
    assert len(taken)==2*len(changes)+1

@pytest.mark.parametrize('B', [1,2])
def test_what_makes_kept_views_wrong(B):
    "Changes after a first call that keep the address of each weight, or change an unusual attribute"
    x = torch.randn(B, 3, 40).double()
    class Own(nn.Parameter):
        @classmethod
        def __torch_function__(cls, f, types, args=(), kwargs=None):
            return super().__torch_function__(f, types, args, kwargs or {})*(2 if f is F.conv1d else 1)
    def conv(m): return m.block.xception[1].convs[0].pointwise_conv
    def no_shortcuts(m): m.block.residual = False
    def transposed(m): conv(m).weight.data = conv(m).weight.data.transpose(0, 1)
    def expanded(m): m.head[1][0].weight.data = m.head[1][0].weight.data[:1].expand_as(m.head[1][0].weight.data)
    def fewer(m):
        (c,n,_),after = m.head[1], m.head[2][0]
        for t in (c.weight, n.weight, n.bias): t.data = t.data[:20]
        n.running_mean,n.running_var = n.running_mean[:20],n.running_var[:20]
        after.weight.data = after.weight.data[:,:20]
    def attribute(m):
        w = conv(m).weight.detach()
        del conv(m).weight
        conv(m).weight = w.clone()
        with torch.no_grad(): m(x)
        conv(m).weight = w*2
    def buffer(m):
        w = conv(m).weight.detach()
        del conv(m).weight
        conv(m).register_buffer('weight', w.clone())
        with torch.no_grad(): m(x)
        conv(m).weight = w*2
    def order(m):
        l = m.head[1]._modules.pop('1')
        m.head[1]._modules['1'] = l
    def other_dict(m):
        l = m.head[1][0]
        l._parameters = dict(l._parameters)
        l.weight = nn.Parameter(l.weight.detach()*3)
    def kind(m): m.head[1][0].weight.__class__ = Own
    def without_weight(m): m.head[1][1].weight = None
    changes = no_shortcuts, transposed, expanded, fewer, attribute, buffer, order, other_dict, kind, without_weight
    for change in changes:
        m = network(nf=4).eval()
        with torch.no_grad(): before = m(x)
        change(m)
        p = plain(m) if change is not kind else m
        if change is kind: p.as_built,built = None,m.as_built
        with torch.no_grad(): want = p(x)
        if change is kind: m.as_built = built
        with torch.no_grad(): close(m(x), want, 1e-12)
        assert (want-before).abs().max()>1e-9, change

@pytest.mark.parametrize('tie', [
    lambda m: None, lambda m: setattr(m.block.act, 'owner', [m]),
    lambda m: next(m.parameters()).register_hook(lambda g: g*float(m.training))])
def test_what_is_kept_goes_with_the_network(tie):
    m,x = network().eval(),torch.randn(1, 3, 40).double()
    tie(m)
    with torch.no_grad(): m(x)
    assert m.as_built.kept and not copy.deepcopy(m).as_built.kept
    other = network().eval()
    with torch.no_grad(): other(x)
    assert other.as_built.kept and not pickle.loads(pickle.dumps(other)).as_built.kept
    seen = weakref.ref(m)
    del m
    gc.collect()
    assert seen() is None

@pytest.mark.parametrize('grad', [True,False])
def test_weights_of_a_call_are_not_kept(grad):
    m,x = network().eval(),torch.randn(1, 3, 40).double()
    s = torch.ones(10, dtype=torch.double, requires_grad=True)
    weights = {k: v*s.sum() for k,v in m.named_parameters()}
    with torch.set_grad_enabled(grad): out = torch.func.functional_call(m, weights, (x,))
    if grad: out.sum().backward()
    seen = weakref.ref(s)
    del s,weights,out
    gc.collect()
    assert seen() is None

def test_without_the_private_names_of_torch(monkeypatch, taken):
    m,x = network().eval(),torch.randn(2, 3, 40).double()
    want = m(x)
    monkeypatch.delattr(torch.autograd, '_profiler_enabled')
    internals.cache_clear()
    try:
        made = XceptionTime(3, 2, nf=2)
        assert made.as_built is None and made(x.float()).shape==(2,2)
        assert not applies(m, x)
    finally:
        monkeypatch.undo()
        internals.cache_clear()
    close(m(x), want, 1e-12)
