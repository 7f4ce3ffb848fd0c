"A stream in chunks of any size against `sliding_windows` and the `Predictor` on the whole recording"
import gc, pickle, tracemalloc, warnings
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from small import interrupted
from xceptiontime.data.windows import sliding_windows
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.tasks import Classification, MultiLabel, Regression
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.stream import StreamingPredictor

def make(c_in=2, scale='channel', task=Classification(['a','b','c']), missing='raise'):
    torch.manual_seed(0)
    X = np.random.default_rng(1).normal(2, 3, size=(20,c_in,30)).astype(np.float32)
    pre = Preprocess(missing, scale).fit(X)
    model = XceptionTime(pre.c_out, task.c_out, nf=2, adaptive_size=5, ks=(5,3,3), head='linear')
    for bn in model.modules(): # statistics as of a trained network
        if not isinstance(bn, torch.nn.BatchNorm1d): continue
        bn.running_mean.normal_(0, .1)
        bn.running_var.uniform_(.5, 2)
    return Predictor(model, task, pre)

predictors = {scale: make(scale=scale) for scale in ('channel','sample',None)}

def compare(ps, predictor, signal, window, hop):
    "Predictions of a stream against those of the whole recording"
    if signal.shape[1]<window: return ps==[]
    X,_,_,(_,start,stop) = sliding_windows(signal, window, hop, with_spans=True, lazy=True)
    assert [p.start for p in ps]==start.tolist() and [p.stop for p in ps]==stop.tolist()
    np.testing.assert_allclose(np.stack([p.probs for p in ps]), predictor.predict_proba(X), atol=2e-6)
    assert [p.label for p in ps]==predictor.predict(X).tolist()
    return True

any_chunks = given(st.sampled_from(list(predictors)), st.integers(1,12), st.integers(1,20),
                   st.lists(st.integers(0,25), max_size=12), st.integers(1,7), st.integers(0,99))

def check_chunks(scale, window, hop, sizes, bs, seed):
    predictor = predictors[scale]
    signal = np.random.default_rng(seed).normal(size=(2,sum(sizes))).cumsum(1)
    stream = StreamingPredictor(predictor, window, hop, bs=bs)
    ps = [p for chunk in np.split(signal, np.cumsum(sizes), axis=1) for p in stream.push(chunk)]
    assert compare(ps, predictor, signal, window, hop)
    assert stream.tail.shape[1]<window and stream.n==sum(sizes)

@settings(max_examples=15, deadline=None)
@any_chunks
def test_any_chunks(scale, window, hop, sizes, bs, seed): check_chunks(scale, window, hop, sizes, bs, seed)

@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@any_chunks
def test_any_chunks_long(scale, window, hop, sizes, bs, seed): check_chunks(scale, window, hop, sizes, bs, seed)

def reference(signal, lost, window, hop):
    "Starts of the windows without a lost sample, by a loop"
    return [at for at in range(0, signal.shape[1]-window+1, hop) if not lost[at:at+window].any()]

@settings(max_examples=25, deadline=None)
@given(st.integers(1,12), st.integers(1,20), st.integers(0,99),
       st.lists(st.tuples(st.booleans(), st.integers(0,25)), max_size=12))
def test_gaps(window, hop, seed, parts):
    "Parts of a signal are lost: predictions for the windows without a lost sample, with correct times"
    predictor,n = predictors['channel'],sum(size for _,size in parts)
    signal = np.random.default_rng(seed).normal(size=(2,n)).cumsum(1)
    lost,at = np.zeros(n, bool),0
    stream,ps = StreamingPredictor(predictor, window, hop),[]
    for gone,size in parts:
        lost[at:at+size] = gone
        if gone: stream.gap(size)
        else: ps += stream.push(signal[:,at:at+size])
        at += size
    starts = reference(signal, lost, window, hop)
    assert [p.start for p in ps]==starts and stream.n==n and [p.stop-p.start for p in ps]==[window]*len(ps)
    if not starts: return
    X = np.stack([signal[:,i:i+window] for i in starts])
    np.testing.assert_allclose(np.stack([p.probs for p in ps]), predictor.predict_proba(X), atol=2e-6)

def test_smoothing_begins_anew_after_a_gap():
    predictor,signal = predictors['channel'],np.random.default_rng(0).normal(size=(2,60))
    for smooth in ('mean','majority'):
        stream,new = (StreamingPredictor(predictor, 10, 5, smooth=smooth, last=9) for _ in range(2))
        stream.push(signal)
        got,wanted = stream.gap(40).push(signal),new.push(signal)
        assert [p.start for p in got]==[p.start+100 for p in wanted]
        assert [p.label for p in got]==[p.label for p in wanted]
        np.testing.assert_array_equal(np.stack([p.probs for p in got]), np.stack([p.probs for p in wanted]))

def constant_memory(pushes):
    "Bytes that `pushes` chunks of one sample add to the memory, after the first chunks"
    stream,signal = StreamingPredictor(predictors['channel'], 12, 6, smooth='majority'),np.ones((2,1), np.float32)
    def go(n):
        for i in range(n):
            stream.push(signal)
            if i%97==0: stream.gap(1)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    tracemalloc.start()
    try:
        first = go(500)
        return go(pushes)-first
    finally: tracemalloc.stop()

@pytest.mark.slow
def test_chunks_of_one_sample_take_no_memory(): assert constant_memory(1000)<20_000

@pytest.mark.slow
def test_ten_minutes_of_single_samples_at_20_hz(): assert constant_memory(20*600)<20_000

def test_refused_chunk_leaves_no_trace():
    predictor,signal = predictors['channel'],np.random.default_rng(0).normal(size=(2,200))
    stream,ps = StreamingPredictor(predictor, 10, 3, smooth='mean', last=4),[]
    plain = StreamingPredictor(predictor, 10, 3, smooth='mean', last=4)
    for i in range(0, 200, 20):
        bad = signal[:,i:i+20].copy()
        bad[i%2,i%19] = [np.nan,np.inf,1e39][i%3]
        words = f'in channel {i%2} at sample {i+i%19} of the stream'
        with pytest.raises(ValueError, match=words): stream.push(bad)
        ps += stream.push(signal[:,i:i+20])
    for a,b in zip(ps, plain.push(signal), strict=True):
        assert a[:3]==b[:3]
        np.testing.assert_allclose(a.probs, b.probs, atol=2e-6)

def test_failure_within_a_push(monkeypatch):
    "After an interruption of the network, the next push continues after the last successful one"
    predictor,signal = predictors['channel'],np.random.default_rng(0).normal(size=(2,50))
    stream = StreamingPredictor(predictor, 10, 2, bs=3)
    ps,scores = stream.push(signal[:,:20]),predictor.scores
    calls = []
    monkeypatch.setattr(predictor, 'scores', interrupted(scores, 3, calls))
    with pytest.raises(KeyboardInterrupt): stream.push(signal[:,20:])
    monkeypatch.undo()
    assert calls==[3,3,3]
    assert compare(ps+stream.push(signal[:,20:]), predictor, signal, 10, 2)

def test_memory_is_bounded():
    "A stream holds the same memory after an hour as after a minute, and no view keeps a whole chunk"
    stream = StreamingPredictor(predictors['channel'], 40, 4000, smooth='majority')
    def held(n):
        for _ in range(n): stream.push(np.zeros((2,1000), np.float32))
        assert stream.tail.base is None
        return len(pickle.dumps({k:v for k,v in vars(stream).items() if k!='predictor'}))
    first = held(24)
    assert held(696)<=first+16 # larger numbers take a few bytes more
    assert stream.n==720_000

@pytest.mark.parametrize('task', [MultiLabel(['a','b','c']), MultiLabel(['a','b'], lists=True),
                                  Regression(5., 2.), Regression([5.,0.], [2.,.1])])
@pytest.mark.parametrize('smooth', [None,'mean'])
def test_other_tasks(task, smooth):
    predictor,signal = make(task=task),np.random.default_rng(0).normal(size=(2,40))
    ps = StreamingPredictor(predictor, 8, 4, smooth=smooth, last=3).push(signal)
    X = sliding_windows(signal, 8, 4)[0]
    values = task.activation(predictor.scores(X)).numpy()
    if smooth: values = np.stack([values[max(0, i-2):i+1].mean(0) for i in range(len(values))])
    np.testing.assert_allclose(np.stack([p.probs for p in ps]), values, atol=1e-5)
    for p,label in zip(ps, task.decode(values)):
        if task.vocab is None: np.testing.assert_allclose(p.label, label, atol=1e-5)
        else: np.testing.assert_array_equal(p.label, label)
    with pytest.raises(ValueError, match="smooth: expected 'mean' or None for a"):
        StreamingPredictor(predictor, 8, smooth='majority')

@pytest.mark.parametrize('missing', ['mean','ffill','interpolate','mask'])
def test_missing_values(missing):
    "Filled within each window, as by `Predictor`, for any chunks; a window without any value raises an error"
    predictor,rng = make(missing=missing),np.random.default_rng(0)
    signal = rng.normal(size=(2,90)).cumsum(1)
    signal[rng.random(signal.shape)<.3] = np.nan
    signal[0,20:45] = np.nan # a channel is missing in whole windows
    for size in (1,7,90):
        stream = StreamingPredictor(predictor, 12, 5)
        ps = [p for i in range(0, 90, size) for p in stream.push(signal[:,i:i+size])]
        assert compare(ps, predictor, signal, 12, 5)
    stream = StreamingPredictor(predictor, 12, 5)
    with pytest.raises(ValueError, match='expected a value in each series'):
        stream.push(np.full((2,12), np.nan))
    assert stream.n==0 and compare(stream.push(signal), predictor, signal, 12, 5)

def test_a_window_unlike_training():
    p = make()
    p.training = dict(shortest=20, longest=30)
    words = 'window: 61 steps are far from the series that the model was trained on, of 20 to 30 steps'
    with pytest.warns(UserWarning, match=words) as told: StreamingPredictor(p, 61)
    assert told[0].filename==__file__ # the line of the call
    with pytest.warns(UserWarning, match='window: 9 steps'): StreamingPredictor(p, .09, rate=100)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for window in 10,60: StreamingPredictor(p, window)

def test_a_window_shorter_than_the_crop():
    p = make()
    p.preprocess.crop = 20
    words = 'window: expected 20 steps or more, of which the model keeps so many, got 19'
    with pytest.raises(ValueError, match=words): StreamingPredictor(p, 19)
    StreamingPredictor(p, 20)

def moved(predictor, period, reference):
    "The predictor with the gains and offsets of a period, computed with numpy"
    p = predictor.adapt([period], reference=[reference]) # a copy, whose numbers are replaced
    period,reference = (np.float32(o).astype(np.float64) for o in (period,reference))
    gain = period.std(1)/reference.std(1)
    offset = period.mean(1)-gain*reference.mean(1)
    mean,std = (getattr(predictor.preprocess, k).double().numpy() for k in ('mean','std'))
    p.preprocess.mean.copy_(torch.from_numpy(gain*mean+offset))
    p.preprocess.std.copy_(torch.from_numpy(gain*std))
    return p

@settings(max_examples=25, deadline=None)
@given(st.integers(0,99), st.integers(12,40), st.integers(1,20), st.lists(st.integers(0,25), max_size=12),
       st.booleans())
def test_adapting(seed, n, hop, sizes, at_rest):
    "No prediction in the period, then those of the adapted predictor, in chunks of any size"
    predictor,rng = predictors['channel'],np.random.default_rng(seed)
    signal,rest = rng.normal(size=(2,sum(sizes)+n)).cumsum(1)*[[3],[.2]],rng.normal(1, 2, size=(2,50))
    stream = StreamingPredictor(predictor, 12, hop, adapt=n, reference=[rest] if at_rest else None)
    ps = [p for chunk in np.split(signal, np.cumsum(sizes), axis=1) for p in stream.push(chunk)]
    first = -(-n//hop)*hop
    if at_rest: new = moved(predictor, signal[:,:n], rest)
    else: new = predictor.adapt(sliding_windows(signal[:,:n], 12, hop)[0])
    if signal.shape[1]<first+12: assert ps==[]
    else:
        ps = [p._replace(start=p.start-first, stop=p.stop-first) for p in ps]
        assert compare(ps, new, signal[:,first:], 12, hop)
    assert stream.tail.shape[1]<12+hop and stream.period is None and stream.trained is predictor

def test_adapting_looks_at_nothing_later():
    "A prediction does not depend on samples after the period and the window"
    predictor,rng = predictors['channel'],np.random.default_rng(0)
    signal,rest = rng.normal(size=(2,90)),rng.normal(size=(2,50))
    for reference in (None,[rest]):
        def answers(signal): return StreamingPredictor(predictor, 12, 4, adapt=40, reference=reference).push(signal)
        want = answers(signal)
        for end in range(52, 90, 4):
            other = np.concatenate([signal[:,:end], 9*rng.normal(size=(2,90-end))], 1)
            for a,b in zip(want[:(end-52)//4+1], answers(other)):
                np.testing.assert_allclose(a.probs, b.probs, atol=2e-6)
            cut = answers(signal[:,:end])
            assert len(cut)==(end-52)//4+1 and cut[-1].stop<=end

def test_adapting_begins_anew():
    predictor,rng = predictors['channel'],np.random.default_rng(0)
    signal,rest = rng.normal(size=(2,90)),rng.normal(size=(2,50))
    def new(): return StreamingPredictor(predictor, 12, 4, adapt=40, reference=[rest])
    want = new().push(signal)
    stream = new()
    stream.push(9*signal[:,:39])
    later = stream.gap(1).push(signal)
    assert [p.start for p in later]==[p.start+40 for p in want] and [p.stop for p in later]==[p.stop+40 for p in want]
    np.testing.assert_array_equal([p.probs for p in later], [p.probs for p in want])
    adapted = stream.predictor
    assert stream.gap(8).predictor is adapted and stream.push(signal)[0].start==140 # a gap later changes nothing
    again = stream.reset().push(signal)
    np.testing.assert_array_equal([p.probs for p in again], [p.probs for p in want])

def test_adapting_and_a_refused_chunk():
    "An error in the period, or at its end, leaves the stream unchanged"
    predictor,rng = predictors['channel'],np.random.default_rng(0)
    signal,rest = rng.normal(size=(2,90)),rng.normal(size=(2,50))
    stream = StreamingPredictor(predictor, 12, 4, adapt=40, reference=[rest])
    bad = signal[:,:20].copy()
    bad[1,3] = np.nan
    with pytest.raises(ValueError, match='the first is nan in channel 1 at sample 3'): stream.push(bad)
    flat = np.concatenate([signal[:1], 0*signal[1:]])
    with pytest.raises(ValueError, match=r'vary in every channel, got none in channels \[1\]'): stream.push(flat)
    assert stream.n==0 and stream.period.shape==(2,0) and stream.predictor is predictor
    got = [p for i in range(90) for p in stream.push(signal[:,i:i+1])]
    want = StreamingPredictor(predictor, 12, 4, adapt=40, reference=[rest]).push(signal)
    np.testing.assert_allclose([p.probs for p in got], [p.probs for p in want], atol=2e-6)
