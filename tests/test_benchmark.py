"A benchmark that is killed, shared by two runners and spread over a cluster gives the same results, bit for bit"
import os, shutil, signal, subprocess, sys, threading, time
import numpy as np
import pytest
from xceptiontime.bench.benchmark import COLUMNS, read_rows, run_benchmark, table
from xceptiontime.bench.comparison import ensemble_scores
from xceptiontime.data.sets import make_bumps

SETS,SEEDS = ['Short','Odd','Long'],[0,1,2]
EPOCHS = 3
HOW = dict(recipes=['base'], seeds=SEEDS, epochs=EPOCHS, verbose=False)
same = [c for c in COLUMNS if c!='seconds']

def write(path, X, y): np.savetxt(path, np.column_stack([y, X[:,0]]), fmt='%g', delimiter='\t')

@pytest.fixture(scope='module')
def data(tmp_path_factory):
    "A folder with three small sets; the test part of `Odd` has a class of its own"
    d = tmp_path_factory.mktemp('sets')
    for name,length in zip(SETS, (24,30,40)):
        X,y,_ = make_bumps(36, 1, length, noise=.1, width=24, seed=length)
        write(d/f'{name}_TRAIN.tsv', X[:24], y[:24])
        write(d/f'{name}_TEST.tsv', X[24:], y[24:]+(name=='Odd'))
    return d

@pytest.fixture(scope='module')
def alone(data, tmp_path_factory):
    "The folder of an undisturbed run in this process"
    out = tmp_path_factory.mktemp('alone')
    res = run_benchmark(SETS, out, data, **HOW)
    assert len(res)==9 and res['error'].notna().tolist()==(res['set']=='Odd').tolist()
    return out

def check(out, alone):
    "The same table and the same probabilities"
    ours,theirs = table(out)[same],table(alone)[same]
    assert ours.to_csv(float_format=float.hex)==theirs.to_csv(float_format=float.hex)
    names = sorted(p.name for p in alone.glob('*.npy'))
    assert len(names)==6 and sorted(p.name for p in out.glob('*.npy'))==names
    for n in names: assert np.load(out/n).tobytes()==np.load(alone/n).tobytes()

def start(data, out):
    main = 'import sys; from xceptiontime.cli import main; sys.exit(main())'
    args = ['bench', '--data', data, '--sets', *SETS, '--recipe', 'base', '--seeds', *map(str, SEEDS),
            '--epochs', str(EPOCHS), '--out', out]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen([sys.executable, '-c', main, *args], **pipes)

def wait_for(n, out, seconds=120):
    "Wait until there are `n` results"
    end = time.monotonic()+seconds
    while len(list(out.glob('*.json')))<n:
        assert time.monotonic()<end
        time.sleep(.02)

@pytest.mark.slow
def test_killed_then_finished_by_two(data, alone, tmp_path):
    first = start(data, tmp_path)
    try: wait_for(2, tmp_path)
    finally: first.kill()
    first.communicate()
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob('*.json')}
    assert 2<=len(before)<9
    both = [start(data, tmp_path) for _ in range(2)]
    ends = [p.communicate(timeout=200) for p in both]
    assert [p.returncode for p in both]==[1,1], ends # as Odd failed
    check(tmp_path, alone)
    after = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob('*.json')}
    assert all(after[n]==t for n,t in before.items())
    trained = [l.rpartition(': ')[2] for _,err in ends for l in err.splitlines() if 'left: ' in l]
    new = [n.removesuffix('.json') for n in after if n not in before]
    assert sorted(trained)==sorted(new) # each once, by one of the two runners
    assert not list(tmp_path.glob('*.tmp*'))
    assert ends[0][0].split()[:3]==['set','arch','recipe'] and 'ValueError: Odd (test)' in ends[0][0]

@pytest.mark.slow
def test_cluster(data, alone, tmp_path):
    "Two worker processes of dask; in a second run one is killed half-way"
    from distributed import Client, LocalCluster
    local = dict(n_workers=2, threads_per_worker=1, host='127.0.0.1', dashboard_address=None)
    with LocalCluster(**local) as cluster, Client(cluster) as client:
        def run(out): return run_benchmark(SETS, out, data, backend='dask', **HOW)
        out = tmp_path/'whole'
        run(out)
        check(out, alone)
        out,pids = tmp_path/'broken',client.run(os.getpid)
        assert len(set(pids.values())-{os.getpid()})==2
        def kill():
            wait_for(2, out)
            os.kill(list(pids.values())[0], signal.SIGKILL)
        killer = threading.Thread(target=kill)
        killer.start()
        run(out)
        killer.join()
        check(out, alone)
        assert set(client.run(os.getpid).values())!=set(pids.values())

def test_a_file_that_was_still_being_copied(data, tmp_path):
    "A set that could not be read is tried again by the next run, another failure is not"
    sets = tmp_path/'sets'
    shutil.copytree(data, sets)
    test = sets/'Short_TEST.tsv'
    whole = test.read_text()
    test.write_text(whole[:len(whole)//2]+'\t')
    how = dict(HOW, seeds=[0], epochs=1)
    with pytest.warns(UserWarning, match='of each of 2 units, got 2 errors'):
        first = run_benchmark(['Short','Odd'], tmp_path/'out', sets, **how).set_index('set')
    assert 'Short_TEST.tsv' in first.error['Short'] and first.error['Odd'].startswith('ValueError: Odd (test)')
    before = next((tmp_path/'out').glob('Odd*.json')).stat().st_mtime_ns
    test.write_text(whole)
    with pytest.warns(UserWarning, match='of each of 2 units, got 1 error,'):
        second = run_benchmark(['Short','Odd'], tmp_path/'out', sets, **how).set_index('set')
    assert second.accuracy['Short']>0
    assert next((tmp_path/'out').glob('Odd*.json')).stat().st_mtime_ns==before

def test_ensembles(data, alone):
    "Averaged probabilities, by hand"
    res = ensemble_scores(alone, data, size=3).set_index('set')
    assert list(res.index)==['Long','Short'] and len(ensemble_scores(alone, data))==0
    for name in res.index:
        probs = sum(np.load(p).astype(np.float64) for p in alone.glob(f'{name}.*.npy'))/3
        y = np.loadtxt(data/f'{name}_TEST.tsv')[:,0].astype(int)
        assert res.loc[name,'accuracy']==np.mean(probs.argmax(1)==y)
        assert abs(res.loc[name,'nll']+np.log(probs[np.arange(len(y)),y]).mean())<1e-9

def test_settings_in_rows(alone):
    row = next(r for r in read_rows(alone) if r['set']=='Long')
    assert row['settings']['epochs']==EPOCHS and row['recipe']==f'base-{EPOCHS}epochs'
    assert set(row['versions'])>={'torch','fastai','xceptiontime'}
