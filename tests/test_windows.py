"Windows against slices by hand, and arguments that must raise an error"
import numpy as np, pytest
from collections import Counter
from hypothesis import strategies as st
from searched import searched
from xceptiontime.data.windows import (crop_series, resample_series, sliding_windows, window_starts, window_label,
    to_samples)

def by_hand(recs, length, step, pad):
    "(recording, start, window) by a loop in plain Python"
    res = []
    for i,r in enumerate(recs):
        s = 0
        while s<r.shape[1]:
            w = [[c[t] if t<len(c) else pad for t in range(s, s+length)] for c in r.tolist()]
            whole = s+length<=r.shape[1]
            if whole or pad is not None: res.append((i, s, w))
            if s+length>=r.shape[1]: break
            s += step
    return res

lengths = st.lists(st.integers(0,40), min_size=1, max_size=4)
cases = st.tuples(lengths, st.integers(1,12), st.integers(1,15), st.integers(1,3),
                  st.sampled_from([None, 0., -7.5, np.nan]),
                      st.sampled_from(['float32','float64','int8','int16','bool']))

def make(ns, c, dtype):
    return [np.random.default_rng(i).integers(-100,100,(c,n)).astype(dtype) for i,n in enumerate(ns)]

@searched(cases, quick=40, long=400)
def test_windows_are_slices(case):
    ns, length, step, c, pad, dtype = case
    recs = make(ns, c, dtype)
    want = by_hand(recs, length, step, pad)
    labels, groups = [f'class {i%2}' for i in range(len(ns))], [100-i for i in range(len(ns))]
    call = lambda: sliding_windows(recs, length, step, labels=labels, groups=groups, pad=pad, with_spans=True)
    if not want:
        with pytest.raises(ValueError, match='length: expected windows of'): call()
        return
    X,y,g,(rec,start,stop) = call()
    assert X.dtype==np.float32 and X.flags.c_contiguous
    np.testing.assert_array_equal(X, np.array([w for *_,w in want], dtype=np.float32))
    assert y.tolist()==[labels[i] for i,*_ in want]
    assert g.tolist()==[groups[i] for i,*_ in want]
    assert rec.tolist()==[i for i,*_ in want]
    assert start.tolist()==[s for _,s,_ in want]
    assert stop.tolist()==[min(s+length, ns[i]) for i,s,_ in want]
    if pad is None: assert len(X)==sum((n-length)//step+1 for n in ns if n>=length)
    elif step<=length: assert len(X)==sum(max(0, -(-(n-length)//step))+1 for n in ns if n)

@searched(st.lists(st.integers(0,3), min_size=1, max_size=40), st.integers(1,8), st.integers(1,6),
        st.booleans(),
       st.sampled_from([int, float, str, lambda c: f'class {c}', bool]), quick=40, long=300)
def test_sample_labels(codes, length, step, pad, kind):
    labels = [kind(c) for c in codes]
    rec, pad = np.arange(len(labels), dtype=np.float32), 0. if pad else None
    starts = window_starts(len(labels), length, step, pad)
    parts = [labels[s:s+length] for s in starts]
    pure = [len(set(p))==1 for p in parts]
    def majority(p):
        n = Counter(p)
        return max(n, key=lambda l: (n[l], max(i for i,o in enumerate(p) if o==l)))
    for label,want in dict(majority=[majority(p) for p in parts], last=[p[-1] for p in parts]).items():
        y,keep = window_label(labels, starts, length, label)
        assert y.tolist()==want and keep.all() and len(keep)==len(starts)
    y,keep = window_label(labels, starts, length, 'pure')
    assert keep.tolist()==pure
    assert y[keep].tolist()==[p[0] for p,k in zip(parts, pure) if k]
    if any(pure):
        X,y,_ = sliding_windows([rec], length, step, labels=[labels], label='pure', pad=pad)
        assert X[:,0,0].tolist()==[s for s,k in zip(starts, pure) if k]
        assert y.tolist()==[p[0] for p,k in zip(parts, pure) if k]
        for x,s in zip(X, X[:,0,0]):
            assert x[0,:len(rec)-int(s)].tolist()==rec[int(s):int(s)+length].tolist()
    elif len(starts):
        with pytest.raises(ValueError, match="drops windows with mixed labels"):
            sliding_windows(rec, length, step, labels=labels, label='pure', pad=pad)

def test_float32_is_kept_to_the_bit():
    rec = np.array([[1e-45, -0., np.inf, np.nan, 16777217, .1]], dtype=np.float32)
    X,_,_ = sliding_windows(rec, 3)
    assert X.tobytes()==rec.tobytes()

def test_result_is_a_copy():
    rec = np.arange(6, dtype=np.float32)
    X,_,_ = sliding_windows(rec, 3, 1)
    X[:] = 0
    assert rec.tolist()==[0,1,2,3,4,5]

def test_recordings_of_every_kind(tmp_path):
    a = np.arange(12, dtype=np.float32).reshape(2,6)
    want = [[[0,1,2],[6,7,8]], [[3,4,5],[9,10,11]]]
    mm = np.memmap(tmp_path/'r', dtype=np.float32, mode='w+', shape=a.shape)
    mm[:] = a
    ragged = np.empty(1, dtype=object)
    ragged[0] = a
    for recs in (a, [a], (a,), a[None], mm, [mm], ragged, np.asfortranarray(a), a[::-1][::-1], [a.tolist()]):
        X,_,g = sliding_windows(recs, 3)
        assert X.tolist()==want and g.tolist()==[0,0] and type(X) is np.ndarray

@pytest.mark.parametrize('labels,want', [('a',['a','a']), (['a'],['a','a']), (3,[3,3]),
        (list('aabbbb'),['a','b']), ([np.array(list('aabbbb'))],['a','b'])])
def test_labels_of_a_single_recording(labels, want):
    assert sliding_windows(np.arange(6), 3, labels=labels)[1].tolist()==want

r = np.zeros((2,9))
@pytest.mark.parametrize('err,words,kw', [
    (ValueError, 'recordings: expected at least one', dict(recordings=[])),
    (ValueError, r'recordings\[0\]: expected \(channels, time\)',
        dict(recordings=np.zeros((1,2,3,4)))),
    (ValueError, r'recordings\[0\]: expected \(channels, time\)', dict(recordings=[1.,2.])),
    (TypeError, r'recordings\[1\]: expected real numbers, got complex',
        dict(recordings=[r, r*1j])),
    (TypeError, r'recordings\[0\]: expected real numbers', dict(recordings=[np.array(['a','b'])])),
    (ValueError, r'recordings\[1\]: expected 2 channels as in recordings\[0\], got 3',
        dict(recordings=[r, np.zeros((3,9))])),
    (ValueError, 'at least 1 channel', dict(recordings=np.zeros((0,9)))),
    (TypeError, 'give rate=', dict(length=.2)),
    (TypeError, 'step: expected a whole number', dict(step=1.5)),
    (ValueError, 'step: expected a whole number of samples, got 0.05 s at 10 Hz, 0.5 samples',
        dict(length=.2, step=.05, rate=10)),
    (ValueError, 'rate: expected a number of samples a second', dict(rate='100')),
    (ValueError, 'rate: expected a number of samples a second', dict(rate=np.inf)),
    (ValueError, 'length: expected a number of seconds, got nan', dict(length=np.nan, rate=100)),
    (TypeError, 'pad: expected None or', dict(pad=True)),
    (ValueError, 'groups: expected one a recording', dict(groups=[1,2])),
    (ValueError, 'groups: expected one a recording', dict(groups=np.arange(9))),
    (TypeError, 'groups: expected all text or all numbers', dict(recordings=[r,r], groups=[1,'a'])),
    (TypeError, 'labels: expected all text or all numbers', dict(recordings=[r,r], labels=[1,'a'])),
    (ValueError, 'labels: expected one a recording, got 3 for 2',
        dict(recordings=[r,r], labels=[1,2,3])),
    (ValueError, 'a single label for each recording', dict(recordings=[r,r], labels=[1,[1]*9])),
    (ValueError, r'labels\[1\]: expected one for each of 9 samples, got 8',
        dict(recordings=[r,r], labels=[[1]*9,[1]*8])),
    (ValueError, 'fractions or NaN', dict(labels=[.5]*9)),
    (ValueError, "label: expected 'majority', 'last' or 'pure', got 'mean'",
        dict(labels=[1]*9, label='mean')),
    (ValueError, "label: expected 'majority', 'last' or 'pure', got 'mean'",
        dict(labels=1, label='mean')),
])
def test_refused(err, words, kw):
    with pytest.raises(err, match=words): sliding_windows(**{**dict(recordings=r, length=3), **kw})

def test_masked_is_missing():
    r = np.ma.array([[1.,2,3,4]], mask=[[0,1,0,0]])
    for m in (r, r.astype(np.int16), r.astype(np.float32)):
        with pytest.warns(UserWarning, match='1 of 2 windows end in NaN in all channels, the first is window 0'):
            np.testing.assert_array_equal(sliding_windows([m], 2)[0], [[[1,np.nan]],[[3,4]]])
        np.testing.assert_array_equal(crop_series([m], 2)[0], [[np.nan,3]])

@pytest.mark.parametrize('f', [resample_series, crop_series])
@pytest.mark.parametrize('X', [[np.ones((2,5)),np.ones((1,5))], [np.ones((1,5)),np.ones((2,5))],
        np.ones((3,5)), [np.ones((1,5)),np.ones((1,0))]])
def test_series_that_are_not_alike(f, X):
    with pytest.raises(ValueError, match=r'X\[[01]\]: expected a series \(channels, length\)'):
        f(X, 3)

def test_regression_targets():
    assert sliding_windows([r,r], 4, labels=[.25,-1.5])[1].tolist()==[.25,.25,-1.5,-1.5]
    assert sliding_windows(r, 4, labels=np.arange(9)/2, label='last')[1].tolist()==[1.5,3.5]

def test_seconds():
    assert [to_samples(t, 1000) for t in (.001, .003, 1.1, 2.3)]==[1,3,1100,2300]
    assert sliding_windows(r, .3, .1, rate=10)[0].shape==(7,2,3)
