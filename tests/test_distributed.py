"One training in two processes on the CPU: each series once per epoch, the results of one, a model written once"
import json, subprocess
from pathlib import Path
import numpy as np
import pytest
from distributed_script import EPOCHS, LR, learner, result
from xceptiontime.data.formats import write_ts
from xceptiontime.data.sets import make_bumps
from xceptiontime.runtime.predictor import Predictor

pytestmark = pytest.mark.slow # two processes with all imports, and the same trainings in one

LAUNCH = ('accelerate launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no '
          '--main_process_port 0').split()

@pytest.fixture(scope='module')
def two(tmp_path_factory):
    "The results of two processes"
    out = tmp_path_factory.mktemp('two')
    X,y,_ = make_bumps(40, 1, 30, noise=.2, seed=2)
    write_ts(out/'bumps.ts', X, np.array(['up','down'])[y])
    script = Path(__file__).with_name('distributed_script.py')
    res = subprocess.run([*LAUNCH, str(script), str(out)], capture_output=True, text=True, timeout=300)
    assert res.returncode==0, res.stdout+res.stderr
    return out,res.stdout,[json.loads((out/f'{i}.json').read_text()) for i in (0,1)]

def one(**kwargs):
    "The results of one process, whose batches hold those of both"
    learn = learner(**kwargs)
    dl = learn.dls.train
    order,dl.bs = dl.get_idxs,18 # 9 series of each process
    def both():
        idxs = order()
        a,b = idxs[:18],idxs[18:]
        return np.concatenate([a[:9], b[:9], a[9:], b[9:]])
    dl.get_idxs = both
    with learn.no_bar(),learn.no_logging(): learn.fit(EPOCHS, LR)
    return result(learn)

def same(pair, ref, exact=1e-5):
    "Losses of a step are the mean of both processes'; weights and metrics are the same in both"
    assert len(ref['losses'])==2*EPOCHS
    np.testing.assert_allclose(np.mean([r['losses'] for r in pair], 0), ref['losses'], atol=exact)
    for r in pair:
        mine,one = [[v[1:] for v in o['values']] for o in (r, ref)] # loss and accuracy of validation
        np.testing.assert_allclose(mine, one, atol=exact)
        for w,v in zip(r['weights'], ref['weights'], strict=True): np.testing.assert_allclose(w, v, atol=exact)

def test_each_series_once_an_epoch(two):
    _,_,res = two
    assert [r['processes'] for r in res]==[2,2]
    for name in ('fixed','own','ragged'):
        for epoch in range(EPOCHS):
            shares = [r[name]['series'][epoch] for r in res]
            assert [r[name]['batches'][epoch] for r in res]==[[9,9]]*2
            assert [len(s) for s in shares]==[18,18] and len({*shares[0], *shares[1]})==36
        assert res[0][name]['series'][0]!=res[0][name]['series'][1]

def test_as_one_process(two):
    same([r['fixed'] for r in two[2]], one(fixed=True))

def test_metrics_of_shares_that_are_filled_up(two):
    pair,ref = [r['ragged'] for r in two[2]],one(fixed=True, ragged=True)
    for r in pair: assert [v[2] for v in r['values']]==[v[2] for v in ref['values']] # accuracy

def test_batchnorm_of_each_share(two):
    "Only BatchNorm differs from one process: each process normalizes its own share of a batch"
    pair = [r['own'] for r in two[2]]
    ref = one(fixed=False, halves=True)
    np.testing.assert_allclose(np.mean([r['losses'] for r in pair], 0), ref['losses'], atol=1e-4)
    whole = one(fixed=False)
    assert abs(pair[0]['losses'][0]-whole['losses'][0])>1e-4 # the losses differ

def test_all_stop_at_a_loss_that_one_has(two):
    for r in two[2]: assert r['stopped'].startswith('loss: expected a finite number, got nan in epoch 0, batch 1;')

def test_command_writes_once(two):
    out,printed,_ = two
    assert printed.count('accuracy 0.') + printed.count('accuracy 1.')==1 and printed.count('series to train on')==1
    assert sorted(p.name for p in out.iterdir())==['0.json','1.json','bumps.ts','model']
    assert Predictor.from_pretrained(out/'model').task.vocab.tolist()==['down','up']
