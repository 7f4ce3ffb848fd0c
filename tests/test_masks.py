"In a padded batch, each series gets the scores that it gets alone"
import copy
import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st
from torch.nn import functional as F
from xceptiontime.models.layers import BatchNorm1d
from xceptiontime.models.xceptiontime import XceptionTime

OPTIONS = [dict(), dict(bottleneck=False), dict(residual=False), dict(ks=24), dict(ks=(41,21,11)), dict(nf=7),
           dict(adaptive_size=1), dict(adaptive_size=130), dict(head='bn'), dict(head='linear'),
           dict(head='linear', residual=False, bottleneck=False, ks=4)]
def ids(kw): return ','.join(f'{k}={v}' for k,v in kw.items()) or 'default'

def network(c_in=3, c_out=5, seed=0, **kw):
    "A network whose BatchNorms have seen data, so that evaluation is not the identity"
    torch.manual_seed(seed)
    m = XceptionTime(c_in, c_out, **{'nf':4, **kw})
    for l in m.modules():
        if isinstance(l, torch.nn.BatchNorm1d):
            for t in (l.running_var, l.weight.data): t.uniform_(.5, 2.)
            for t in (l.running_mean, l.bias.data): t.uniform_(-.5, .5)
    return m

def padded(xs, n, content, dtype=torch.float32):
    out = torch.full((len(xs), xs[0].shape[0], n), content, dtype=dtype)
    for o,x in zip(out, xs): o[:,:x.shape[1]] = x
    return out

def series(lengths, c_in=3, dtype=torch.float32, seed=1):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(c_in, n, generator=g, dtype=dtype)*3+1 for n in lengths]

def error(out, alone): return ((out-alone).abs().max()/alone.abs().max()).item()

@pytest.mark.parametrize('kw', OPTIONS, ids=ids)
def test_each_series_gets_what_it_gets_alone(kw):
    m,xs = network(**kw).eval(),series([1,2,3,17,49,50,51,128,700])
    with torch.no_grad():
        alone = torch.cat([m(x[None]) for x in xs])
        lengths = torch.tensor([x.shape[1] for x in xs])
        for n,content in ((700,0.), (700,float('nan')), (703,1e30), (2800,-float('inf'))):
            assert error(m(padded(xs, n, content), lengths), alone) < 1e-5, (n, content)
    assert alone.std(0).max()>1e-3 # the scores differ between series

def check_lengths(lengths, stretch, content, seed):
    m,xs = network(seed=seed, head='linear').eval(),series(lengths, seed=seed)
    with torch.no_grad():
        alone = torch.cat([m(x[None]) for x in xs])
        out = m(padded(xs, int(max(lengths)*stretch), content), lengths)
    assert error(out, alone) < 1e-5

def any_lengths(longest):
    lengths = st.lists(st.integers(1,longest), min_size=1, max_size=6)
    return given(lengths, st.floats(1,4), st.sampled_from([0.,1e30,float('nan')]), st.integers(0,99))

@settings(max_examples=8, deadline=None)
@any_lengths(300)
def test_any_lengths(lengths, stretch, content, seed): check_lengths(lengths, stretch, content, seed)

@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@any_lengths(2000)
def test_any_lengths_for_long(lengths, stretch, content, seed): check_lengths(lengths, stretch, content, seed)

def test_published_width():
    m,xs = network(nf=16).eval(),series([1,40,333,2000])
    with torch.no_grad():
        alone = torch.cat([m(x[None]) for x in xs])
        assert error(m(padded(xs, 4000, float('nan')), [1,40,333,2000]), alone) < 1e-5

def trained(m, x, lengths, y):
    m = copy.deepcopy(m).train()
    x = x.clone().requires_grad_()
    loss = F.cross_entropy(m(x, lengths), y)
    loss.backward()
    return loss.detach(), x.grad, [p.grad for p in m.parameters()], [b for b in m.buffers()]

# a third of the cases is in the quick part
some = [pytest.param(kw, marks=[pytest.mark.slow]*(i%3>0), id=ids(kw)) for i,kw in enumerate(OPTIONS)]
@pytest.mark.parametrize('kw', some)
def test_training_leaves_padding_out(kw):
    lengths = torch.tensor([1,9,30,64,64,50])
    m,xs = network(**kw).double(),series(lengths.tolist(), dtype=torch.float64)
    y = torch.tensor([0,1,2,3,4,0])
    def close(a, b): torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    loss,gx,gp,bufs = trained(m, padded(xs, 64, 0., torch.float64), lengths, y)
    assert all(g is not None for g in gp) and gx.abs().max()>0
    for n,content in ((64,float('nan')), (64,1e30), (70,float('inf')), (200,0.)):
        loss2,gx2,gp2,bufs2 = trained(m, padded(xs, n, content, torch.float64), lengths, y)
        close([loss2,gp2,bufs2], [loss,gp,bufs])
        for a,b,l in zip(gx2, gx, lengths):
            close(a[:,:l], b[:,:l])
            assert (a[:,l:]==0).all()

def test_statistics_are_those_of_the_real_steps():
    "The running statistics of the first shortcut, against numpy on the series without padding"
    lengths = [5,1,12]
    m,xs = network().double().train(),series([5,1,12], dtype=torch.float64)
    conv,bn = m.block.shortcut[0]
    mean,var = bn.running_mean.clone().numpy(),bn.running_var.clone().numpy()
    m(padded(xs, 20, float('nan'), torch.float64), lengths)
    steps = conv.weight.detach()[:,:,0].numpy() @ np.concatenate([x.numpy() for x in xs], 1)
    np.testing.assert_allclose(bn.running_mean.numpy(), .9*mean + .1*steps.mean(1), rtol=1e-12)
    np.testing.assert_allclose(bn.running_var.numpy(), .9*var + .1*steps.var(1, ddof=1), rtol=1e-12)
    assert bn.num_batches_tracked==1

def test_no_lengths_and_full_lengths_are_the_same_bits():
    x = torch.randn(4, 3, 50)
    for train in (False, True):
        a,b,c = (network().train(train) for _ in range(3))
        out = a(x)
        assert torch.equal(out, b(x, torch.full((4,), 50))) and torch.equal(out, c(x, [50]*4))
        assert all(torch.equal(s, t) for s,t in zip(a.state_dict().values(), b.state_dict().values()))

def test_the_mask_is_gone_after_the_forward():
    m = network().eval()
    x = torch.randn(2, 3, 50) # as many steps as the head pools to
    out = m(x)
    m(x, [50,3])
    with pytest.raises(ValueError): m.train()(x[:1], [1]) # BatchNorm with one value
    assert torch.equal(m.eval()(x), out)

def test_one_real_step_in_training_is_refused():
    for kw in OPTIONS:
        if kw.get('residual', True):
            with pytest.raises(ValueError, match='Expected more than 1 value per channel'):
                network(**kw).train()(torch.randn(1, 3, 9), [1])

wrong = [
    ([0,5], ValueError, 'from 1 to 9, the length of x, got 0'),
    ([5,10], ValueError, 'got 10'),
    ([-1,5], ValueError, 'got -1'),
    ([5], ValueError, 'one for each of the 2 series, got shape'),
    ([5,5,5], ValueError, 'one for each'),
    ([[5],[5]], ValueError, 'one for each'),
    ([5.,5.], TypeError, 'whole numbers, got torch.float32'),
    ([True,True], TypeError, 'whole numbers'),
]
@pytest.mark.parametrize('lengths,kind,words', wrong)
def test_wrong_lengths(lengths, kind, words):
    m,x = network(),torch.randn(2, 3, 9)
    dtype = np.float32 if isinstance(lengths[0], float) else None
    for l in (lengths, torch.tensor(lengths), np.array(lengths, dtype)):
        with pytest.raises(kind, match='lengths: ') as e: m(x, l)
        assert words in str(e.value) and '\n' not in str(e.value)

def test_batchnorm_without_running_statistics_uses_the_real_steps_in_evaluation_too():
    from xceptiontime.models.masks import length_mask, real_steps
    bn = BatchNorm1d(2, track_running_stats=False).eval()
    x = torch.randn(2, 2, 6)
    with real_steps(length_mask(torch.tensor([6,2]), 6)): out = bn(x)
    alone = bn(torch.cat([x[0], x[1,:,:2]], 1)[None])
    torch.testing.assert_close(torch.cat([out[0], out[1,:,:2]], 1)[None], alone)
