"The data sets against their files, cut here"
import subprocess, sys
from pathlib import Path
import numpy as np, pytest
import xceptiontime
from xceptiontime.data.sets import get_myo, make_bumps

npz = Path(xceptiontime.__file__).parent/'data'/'files'/'myo.npz'

@pytest.mark.parametrize('length,step,reps',
        [(40,10,(0,1,2)), (40,40,(3,)), (1,1,(1,)), (600,7,(0,1,2,3)), (37,5,[2,0])])
def test_myo_windows_by_hand(length, step, reps):
    with np.load(npz) as d: d = dict(d)
    X,y,groups = ([] for _ in range(3))
    at = 0
    for n,g,r in zip(d['length'].tolist(), d['gesture'].tolist(), d['repetition'].tolist()):
        rec = d['signal'][:,at:at+n]
        at += n
        if r not in reps: continue
        for s in range(0, n-length+1, step):
            X.append(rec[:,s:s+length])
            y.append(g)
            groups.append(r)
    assert at==d['signal'].shape[1]
    got = get_myo(length, step, reps)
    np.testing.assert_array_equal(got[0], np.stack(X).astype('float32'))
    assert got[1].tolist()==y and got[2].tolist()==groups
    assert [a.dtype for a in got]==[np.float32, np.int64, np.int64]

def test_myo_refused():
    for bad in ((), (0,5), -1, 4, ('0',), (.5,)):
        with pytest.raises(ValueError, match=r'repetitions: expected some of \[0, 1, 2, 3\], got'):
            get_myo(repetitions=bad)
    with pytest.raises(ValueError, match='length: expected windows of 605 samples, got none'):
        get_myo(605)
    assert set(get_myo(repetitions=3)[2])=={3}

def test_licence_lies_beside_the_data():
    text = npz.with_suffix('.LICENSE').read_text()
    assert 'MIT License' in text and 'Ethan Eddy' in text

def test_bumps_are_where_they_are_said_to_be():
    X,y,where = make_bumps(60, c_in=4, length=80, classes=3, width=20, noise=0, seed=1)
    assert X.dtype==np.float32 and y.dtype==where.dtype==np.int64
    assert np.bincount(y).tolist()==[20]*3
    for x,k,(c,a,b) in zip(X, y, where):
        assert b-a==20
        assert (np.abs(np.fft.rfft(x[c,a:b])).argmax()==k+1) # number of cycles
        assert x[c,a:b].std()==pytest.approx(.5**.5, rel=1e-5)
        x[c,a:b] = 0
        assert not x.any()
    assert len(set(where[:,0]))==4 and where[:,1].min()<5 and where[:,2].max()>75

def test_bumps_seed_lengths_noise():
    X,y,where = make_bumps(50, length=(30,60), seed=3)
    assert isinstance(X, list) and {x.shape[0] for x in X}=={3}
    lens = [x.shape[1] for x in X]
    assert 30<=min(lens)<max(lens)<=60
    assert all(b<=x.shape[1] for x,b in zip(X, where[:,2]))
    again, other = make_bumps(50, length=(30,60), seed=3), make_bumps(50, length=(30,60), seed=4)
    assert all((a==b).all() for a,b in zip(X, again[0])) and (where!=other[2]).any()
    X,_,_ = make_bumps(50, c_in=10, length=200, noise=.5, seed=0)
    assert np.median(X.std(2))==pytest.approx(.5, abs=.02)
    with pytest.raises(ValueError,
            match='width: expected between 4 samples a cycle, 8, and the length of the shortest series, 20, got 24'):
        make_bumps(length=20)
    with pytest.raises(ValueError, match='width: expected between'): make_bumps(classes=7)

def test_light_imports():
    "Outside the standard library, the data modules import only numpy"
    code = ('import sys, xceptiontime.data.sets, xceptiontime.data.splits\n'
        "print(*{m.split('.')[0] for m in sys.modules})")
    got = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()
    assert 'numpy' in got
    assert not set(got) & {'torch','fastai','pandas','scipy','sklearn','matplotlib','aeon','IPython'}
