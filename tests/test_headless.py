"Plots of training without a display: in a script with its output in a pipe, and in a script with a terminal"
import os, pty, subprocess, sys
import pytest

SCRIPT = """
import numpy as np
import matplotlib.pyplot as plt
from xceptiontime.all import *
X,y,_ = make_bumps(30, length=40, seed=0)
dls = TSDataLoaders.from_arrays(X, y, (np.arange(20), np.arange(20,30)), bs=8, seed=0, device='cpu')
learn = ts_learner(dls, nf=1, seed=0)
learn.lr_find(num_it=5)
learn.fit_one_cycle(2, cbs=ShowGraphCallback())
ax = learn.recorder.plot_loss()
ax = learn.recorder.plot_loss() if ax is None else ax
print(len(ax.lines[0].get_xdata()), 'steps drawn')
ax.figure.savefig('loss.png')
learn.recorder.plot_sched()
dls.show_batch(); learn.show_results()
"""

def environment():
    env = {k:v for k,v in os.environ.items() if k not in ('DISPLAY','WAYLAND_DISPLAY','MPLBACKEND')}
    return {**env, 'PYTHONWARNINGS':'ignore::FutureWarning'}

def through_a_pipe(folder):
    return subprocess.run([sys.executable, '-c', SCRIPT], cwd=folder, env=environment(), timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

def in_a_terminal(folder):
    ours,theirs = pty.openpty()
    p = subprocess.Popen([sys.executable, '-c', SCRIPT], cwd=folder, env={**environment(), 'TERM':'xterm'},
                         stdout=theirs, stderr=theirs)
    os.close(theirs)
    out = b''
    try:
        while chunk := os.read(ours, 4096): out += chunk
    except OSError: pass # a terminal raises this if its other end is closed
    return subprocess.CompletedProcess(p.args, p.wait(120), out)

@pytest.mark.slow
@pytest.mark.parametrize('run', [through_a_pipe,in_a_terminal])
def test_training_is_drawn_or_not_but_never_crashes(tmp_path, run):
    p = run(tmp_path)
    assert p.returncode==0, p.stdout.decode()[-2000:]
    assert b'steps drawn' in p.stdout and (tmp_path/'loss.png').read_bytes()[:4]==b'\x89PNG'
