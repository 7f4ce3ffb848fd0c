"A model in a forked process: a prediction, or an error where a prediction would hang"
import os, subprocess, sys
import pytest

pytestmark = pytest.mark.skipif(not os.path.exists('/proc/self/maps'), reason='GNU OpenMP is that of Linux')

script = '''
import multiprocessing, os, sys, threading, warnings
import numpy as np, torch
warnings.simplefilter('ignore')
torch.set_num_threads(2)
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.tasks import Classification
from xceptiontime.runtime import Predictor

X = np.random.default_rng(0).normal(size=(8,3,50)).astype(np.float32)
def make(folder):
    task = Classification(['a','b'])
    return Predictor(XceptionTime(3, 2).eval(), task, Preprocess().fit(X)).save_pretrained(folder)
def own_thread(f):
    got = []
    thread = threading.Thread(target=lambda: got.append(f()))
    thread.start()
    thread.join()
    return got[0]
def child(f):
    "What `f()` gives in a forked child, as text, or its error"
    out,into = os.pipe()
    if not os.fork():
        try: said = repr(f())
        except BaseException as e: said = f'{type(e).__name__}: {e}'
        os.write(into, said.encode())
        os._exit(0)
    os.close(into)
    with open(out) as file: return file.read()
def on_one():
    torch.set_num_threads(1)
    return p.predict(X).tolist()
def ask(): return p.predict(X).tolist()
if not os.path.exists(sys.argv[1]): own_thread(lambda: make(sys.argv[1]))
p = Predictor.from_pretrained(sys.argv[1])
'''

def run(tmp_path, code):
    "The lines that `code` prints in a separate process, within a minute"
    res = subprocess.run([sys.executable, '-c', script+code, str(tmp_path/'m')], text=True, capture_output=True,
                         timeout=60, env={**os.environ, 'OMP_NUM_THREADS': '2'})
    assert res.returncode==0, res.stderr
    return res.stdout.splitlines()

WORDS = 'RuntimeError: model: expected a process with threads to compute on, got one forked from a thread that had used'

@pytest.mark.slow
def test_opened_before_a_fork(tmp_path):
    "As in a server with --preload"
    first,again,here = run(tmp_path, 'print(child(ask)); print(child(ask)); print(ask())')
    assert first==again==here

@pytest.mark.slow
def test_asked_before_a_fork(tmp_path):
    here,*sentences,alone,thread,from_thread,fresh = run(tmp_path, '''
print(ask())
print(child(ask))
print(child(lambda: p.predict(X[:1])))
print(child(lambda: child(ask))) # a child of the child
print(child(on_one))
print(child(lambda: own_thread(ask)))
print(own_thread(lambda: child(ask)))
print(ask())
''')
    for s in sentences: assert s.strip("'").startswith(WORDS) and len(s)<300
    assert len(sentences)==3 and {here,alone,thread,from_thread,fresh}=={here}

def test_processes_of_python(tmp_path):
    "`fork` gets the error; workers of a loader, which only read data, work"
    fork,loaded = run(tmp_path, '''
ask()
with multiprocessing.get_context('fork').Pool(1) as pool:
    try: pool.apply(ask)
    except RuntimeError as e: print(f'RuntimeError: {e}')
from torch.utils.data import DataLoader
print(sum(len(b) for b in DataLoader(X, 4, num_workers=2)))
''')
    assert fork.startswith(WORDS) and loaded=='8'

@pytest.mark.slow
def test_a_training_in_a_child(tmp_path):
    first,second = run(tmp_path, '''
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.train.learner import ts_learner
dls = TSDataLoaders.from_arrays(X, np.arange(8)%2, bs=4, seed=0, device='cpu')
learn = ts_learner(dls, nf=2, seed=0)
with learn.no_bar(),learn.no_logging():
    learn.fit(1)
    print(child(lambda: learn.fit(1)))
    print(child(learn.validate))
''')
    assert first.startswith(WORDS) and second.startswith(WORDS)
