"A training is saved even if the output cannot be written; Ctrl-C prints one line"
import os, signal, subprocess, sys, time
import numpy as np
import pytest
from xceptiontime.cli import main
from xceptiontime.data.sets import make_bumps
from xceptiontime.runtime.predictor import Predictor

start = 'import sys; from xceptiontime.start import main; sys.exit(main())'

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "A folder with series whose labels a console in ASCII cannot print"
    d = tmp_path_factory.mktemp('console')
    X,y,_ = make_bumps(24, c_in=1, length=24, width=16, seed=0)
    np.savez(d/'a.npz', X=X, y=np.array(['größer','kleiner'])[y])
    return d

def shell(folder, line, **environ):
    "A line for the shell; TRAIN in it is a short training"
    train = f'"{sys.executable}" -c "{start}" train a.npz --epochs 1 --force --out m'
    return subprocess.run(['bash', '-c', line.replace('TRAIN', train)], cwd=folder, capture_output=True, text=True,
                          encoding='utf-8', errors='replace', env={**os.environ, **environ}, stdin=subprocess.DEVNULL)

def is_saved(folder): return Predictor.from_pretrained(folder/'m').task.vocab.tolist()==['größer','kleiner']

class Full:
    "An output on a full disk"
    encoding = errors = 'utf-8'
    def __init__(self): self.file = open('/dev/full', 'w')
    def __getattr__(self, name): return getattr(self.file, name)
    def write(self, text):
        self.file.write(text)
        self.file.flush()

def test_in_this_process(folder, monkeypatch, capsys):
    "An output that is closed, or full"
    args = ['train', str(folder/'a.npz'), '--epochs', '1', '--out']
    with monkeypatch.context() as m:
        m.setattr(sys, 'stdout', None)
        assert main([*args, str(folder/'closed')])==0
    assert capsys.readouterr().err==''
    with monkeypatch.context() as m:
        m.setattr(sys, 'stdout', Full())
        assert main([*args, str(folder/'full')])==0
    said = capsys.readouterr().err
    assert len(said.splitlines())==1
    assert 'its output could not be written to the end (No space left on device), the model is in' in said
    for name in ('closed','full'): assert (folder/name/'model.safetensors').exists()

@pytest.mark.slow
@pytest.mark.parametrize('line,environ,words', [
    ('set -o pipefail; TRAIN | head -1', {}, 'its output could not be written to the end (Broken pipe)'),
    ('TRAIN 2>&1 | head -1', {}, ''),
    ('TRAIN >&-', {}, ''),
    ('TRAIN >&- 2>&-', {}, ''),
    ('TRAIN > /dev/full', {}, 'No space left on device'),
    ('TRAIN', dict(PYTHONIOENCODING='ascii'), ''),
    ('TRAIN', dict(PYTHONIOENCODING='cp1252'), ''),
    ('TRAIN', dict(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0'), ''),
], ids=['pipe','both pipes','closed','both closed','full','ascii','cp1252','locale'])
def test_a_training_is_saved(folder, line, environ, words):
    res = shell(folder, f'rm -rf m; {line}', **environ)
    assert res.returncode==0 and is_saved(folder), res.stdout+res.stderr
    assert words in res.stderr and 'Traceback' not in res.stderr and 'Exception' not in res.stderr
    assert len(res.stderr.splitlines())==bool(words)

@pytest.mark.slow
def test_predictions_that_cannot_be_written_are_no_success(folder):
    shell(folder, 'TRAIN')
    predict = f'"{sys.executable}" -c "{start}" predict m a.npz'
    res = shell(folder, f'{predict} > /dev/full')
    assert res.returncode==2 and res.stderr.splitlines()==['xceptiontime predict: [Errno 28] No space left on device']
    assert shell(folder, f'set -o pipefail; {predict} | head -1').returncode==0
    out = shell(folder, predict, PYTHONIOENCODING='ascii')
    assert 'prob_gr\\xf6\\xdfer' in out.stdout and out.returncode==0

def interrupted(folder, seconds, times=1):
    "Exit code and standard error of a training that is interrupted after so many seconds"
    def listen(): signal.signal(signal.SIGINT, signal.default_int_handler)
    args = ['train', 'a.npz', '--epochs', '5000', '--out', 'long']
    p = subprocess.Popen([sys.executable, '-c', start, *args], cwd=folder, preexec_fn=listen,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if seconds is None: p.stdout.readline() # training begins
    else: time.sleep(seconds)
    for _ in range(times):
        p.send_signal(signal.SIGINT)
        time.sleep(.002)
    out,err = p.communicate(timeout=60)
    return p.returncode,err

@pytest.mark.slow
@pytest.mark.parametrize('seconds,times', [(.3,1), (.6,1), (1,1), (1.5,2), (None,2), (None,20)])
def test_ctrl_c(folder, seconds, times):
    "Ctrl-C during the imports, during training, and twice"
    code,err = interrupted(folder, seconds, times)
    assert code==130 and len(err.splitlines())==1 and 'interrupted' in err, err
    assert not (folder/'long').exists()
