"The fast path's threads: the same numbers from any number, from several callers, after a fork; errors"
import os, threading
import pytest, torch
from networks import plain
from xceptiontime.models.fast import pieces
from xceptiontime.models.fast.pieces import _pool, on_threads
from xceptiontime.models.xceptiontime import XceptionTime

@pytest.fixture(params=[1,2,3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)

@pytest.fixture
def two():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)

def small(**kw):
    torch.manual_seed(0)
    return XceptionTime(3, 4, nf=4, **kw)

def test_same_numbers_from_any_number(threads, monkeypatch):
    monkeypatch.setattr(pieces, 'PIECE', 2**12)
    m = small().double()
    other,x = plain(m),torch.randn(9, 3, 60).double()
    n = [60,1,20,60,33,2,60,59,8]
    def results(net, train):
        out = net.train(train)(x, n)
        return out, torch.autograd.grad((out**2).sum(), net.parameters())
    torch.set_num_threads(1) # the plain layers are small: more threads would only wait
    refs = {train: results(other, train) for train in (True,False)}
    torch.set_num_threads(threads)
    for train,(ref,wanted) in refs.items():
        out,grads = results(m, train)
        torch.testing.assert_close(out, ref, rtol=0, atol=1e-12)
        for a,b in zip(grads, wanted): assert (a-b).abs().max()<=1e-12*max(1, b.abs().max())
    assert torch.get_num_threads()==threads

def test_the_same_bits_again(two, monkeypatch):
    monkeypatch.setattr(pieces, 'PIECE', 2**16)
    m,x = small(),torch.randn(64, 3, 100)
    runs = [torch.autograd.grad(m(x).square().sum(), m.parameters()) for _ in range(3)]
    for r in runs[1:]: assert all(torch.equal(a, b) for a,b in zip(r, runs[0]))

def test_several_callers_at_once(two, monkeypatch):
    monkeypatch.setattr(pieces, 'PIECE', 2**12)
    m,xs = small().eval(),torch.randn(8, 6, 3, 50)
    got = {}
    def call(i):
        with torch.inference_mode(): got[i] = m(xs[i])
    callers = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for c in callers: c.start()
    for c in callers: c.join(60)
    with torch.no_grad():
        for i in range(8): torch.testing.assert_close(got[i], m(xs[i]), rtol=0, atol=1e-6)

def test_a_fork_makes_its_own(two):
    assert on_threads(lambda o: o+1, [1,2])==[2,3]
    pid = os.fork()
    if pid==0: os._exit(0 if on_threads(lambda o: o+1, [1,2])==[2,3] else 1)
    for _ in range(600):
        if (done := os.waitpid(pid, os.WNOHANG))[0]: break
        threading.Event().wait(.1)
    else: os.kill(pid, 9)
    assert done==(pid, 0)

def test_an_error_comes_to_the_caller(two):
    began,ended = [], []
    go = threading.Event()
    def f(o):
        if o==0:
            go.wait(10) # until the next thread works
            raise KeyError('first')
        began.append(o)
        go.set()
        threading.Event().wait(.2)
        ended.append(o)
    with pytest.raises(KeyError, match='first'): on_threads(f, range(50))
    n = len(ended)
    assert sorted(ended)==sorted(began) and n<10 # no work continues after the call
    threading.Event().wait(.3)
    assert len(ended)==len(began)==n

def test_a_thread_that_comes_later_has_all_threads(two):
    _pool.cache_clear()
    on_threads(int, [1,2])
    seen = []
    t = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    t.start()
    t.join()
    assert seen==[2]

def test_a_profiler_sees_every_operation(two, monkeypatch):
    monkeypatch.setattr(pieces, 'PIECE', 2**10)
    m,x = small().eval(),torch.randn(6, 3, 50)
    with torch.no_grad(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as p: m(x)
    names = {e.key for e in p.key_averages()}
    assert {'aten::conv2d','aten::mm','aten::addmm_'} <= names
