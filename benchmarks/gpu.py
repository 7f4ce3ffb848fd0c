"""Time and memory of XceptionTime on this machine's GPU, beside tsai's where it is installed

    python benchmarks/gpu.py

It takes about four minutes. A time is the median over repetitions, each until the GPU has nothing
left to do. A step is forward, loss, backward and PyTorch's fused AdamW; an epoch goes through each
library's own loaders and Learner, without bars.
"""
import argparse, copy, hashlib, importlib.util, os, platform, subprocess, sys, time
import statistics as st
import numpy as np
import torch
from torch.nn import functional as F
from network import data, evaluator, head, line, network # beside this file

SHAPES = [(16,1,150), (64,3,256), (16,12,512), (256,12,512), (1024,8,40), (64,6,5000)] # series, channels, steps
PRECISIONS = ['fp32','tf32','bf16']

def wait(device):
    if device.type=='cuda': torch.cuda.synchronize()

def milliseconds(f, device, n, warm=5):
    for _ in range(warm): f()
    times = []
    for _ in range(n):
        wait(device)
        start = time.perf_counter()
        f()
        wait(device)
        times.append((time.perf_counter()-start)*1e3)
    return st.median(times)

def set_precision(name):
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = name!='fp32'

def stepper(m, x, y, device, precision='fp32', lengths=()):
    opt = torch.optim.AdamW(m.parameters(), fused=True)
    def step():
        opt.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision=='bf16'): out = m(x, *lengths)
        F.cross_entropy(out.float(), y).backward()
        opt.step()
    return step

def peak(f, device):
    "MB that are held at most in a call of `f`"
    if device.type!='cuda': return 0
    torch.cuda.reset_peak_memory_stats()
    f()
    return torch.cuda.max_memory_allocated()/2**20

def compared(times, digits=2):
    "Cells of a table: ours, tsai's, and the ratio, as far as they are there"
    cells = [f'{t:.{digits}f}' for t in times]
    return [*cells, f'{times[0]/times[1]:.2f}'] if len(times)==2 else [*cells, '', '']

def steps(names, device, shapes, n):
    "Training steps and evaluation, by precision"
    head('series x channels x steps', 'precision', 'step: ours, ms', 'tsai, ms', 'ratio', 'ours, MB',
         'evaluation: ours, ms', 'tsai, ms', 'ratio', left=2)
    for shape in shapes:
        x,y = (o.to(device) for o in data(*shape))
        for precision in PRECISIONS:
            set_precision(precision)
            ms = [network(name, shape[1]).to(device) for name in names]
            fs = [stepper(m, x, y, device, precision) for m in ms]
            trained = compared([milliseconds(f, device, n) for f in fs])
            with torch.autocast(device.type, torch.bfloat16, enabled=precision=='bf16'):
                asked = compared([milliseconds(evaluator(m, x), device, n) for m in ms])
            line(' x '.join(map(str, shape)), precision, *trained, f'{peak(fs[0], device):.0f}', *asked)
    set_precision('tf32')

def lengths(device, shapes, n):
    "A step of series of unequal length, beside one of series of one length"
    print()
    head('series x channels x steps', 'step, ms', 'with lengths, ms', 'ratio')
    for bs,c_in,L in shapes:
        x,y = (o.to(device) for o in data(bs, c_in, L))
        own = torch.randint(L//2, L, (bs,)).to(device) # (series,)
        plain,masked = (milliseconds(stepper(network('ours', c_in).to(device), x, y, device, lengths=o), device, n)
                        for o in ((),(own,)))
        line(f'{bs} x {c_in} x {L}', f'{plain:.2f}', f'{masked:.2f}', f'{masked/plain:.2f}')

def made_up(n, c_in, L):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n,c_in,L)).astype('float32'),(np.arange(n)%6).astype(str)

def learner(name, X, y, splits, bs, device):
    if name=='ours':
        from xceptiontime.all import TSDataLoaders, ts_learner
        learn = ts_learner(TSDataLoaders.from_arrays(X, y, splits=splits, bs=bs, device=device), seed=0)
    else:
        from tsai.basics import TSClassification, get_ts_dls
        from tsai.basics import ts_learner as tsai_learner
        from tsai.models.XceptionTime import XceptionTime
        learn = tsai_learner(get_ts_dls(X, y, splits=splits, tfms=[None,TSClassification()], bs=[bs,bs]), XceptionTime)
    learn.remove_cbs([cb for cb in learn.cbs if cb.name=='progress'])
    learn.logger = lambda *args, **kwargs: None
    return learn

def epochs(names, device, train=16000, valid=4000, L=128, sizes=(64,512)):
    "Whole epochs with their validation, the faster of two"
    print()
    head(f'an epoch of {train} series, {valid} to validate', 'ours, s', 'tsai, s', 'ratio')
    X,y = made_up(train+valid, 3, L)
    splits = list(range(train)),list(range(train, train+valid))
    for bs in sizes:
        best = []
        for name in names:
            learn = learner(name, X, y, splits, bs, device)
            best.append(min(milliseconds(lambda: learn.fit(1, 1e-3), device, 1, warm=0) for _ in range(2))/1e3)
        line(f'batches of {bs}', *compared(best))

def difference(device):
    "Length of the difference to float64 on the CPU, of scores and of gradients, over their own length"
    set_precision('fp32')
    m = network('ours', 3)
    x,y = data(16, 3, 133)
    there = copy.deepcopy(m).to(device)
    m,x = m.double(),x.double()
    outs = m(x),there(x.float().to(device))
    for out,k in zip(outs, (y,y.to(device))): F.cross_entropy(out, k).backward()
    grads = [torch.cat([p.grad.flatten().double().cpu() for p in o.parameters()]) for o in (m,there)]
    set_precision('tf32')
    return [((a-b.double().cpu()).norm()/a.norm()).item() for a,b in (outs,grads)]

def digest(device):
    "A short name for the weights of a small training under `torch.use_deterministic_algorithms(True)`"
    torch.use_deterministic_algorithms(True)
    X,y = made_up(256, 3, 64)
    learn = learner('ours', X, y, (list(range(192)),list(range(192, 256))), 32, device)
    learn.fit(2, 1e-3)
    return hashlib.sha1(b''.join(p.detach().cpu().numpy().tobytes() for p in learn.model.parameters())).hexdigest()[:12]

def in_new_process():
    run = subprocess.run([sys.executable, __file__, '--digest'], capture_output=True, text=True,
                         env={**os.environ, 'CUBLAS_WORKSPACE_CONFIG':':4096:8'})
    return run.stdout.strip() if run.returncode==0 else run.stderr.strip().splitlines()[-1][:200]

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--digest', action='store_true', help=argparse.SUPPRESS)
    args = p.parse_args()
    if not torch.cuda.is_available():
        sys.exit('gpu: expected a machine with a GPU that PyTorch can use (CUDA), got none')
    device = torch.device('cuda')
    if args.digest: return print(digest(device))
    names = ['ours'] + ['tsai']*(importlib.util.find_spec('tsai') is not None)
    print(torch.cuda.get_device_name(0), end=', ')
    print(f'Python {platform.python_version()}, torch {torch.__version__}\n')
    scores,grads = difference(device)
    print(f'Difference to float64 on the CPU: scores {scores:.1e}, gradients {grads:.1e}\n')
    steps(names, device, SHAPES, 20)
    lengths(device, [(64,3,256),(64,12,512)], 20)
    epochs(names, device)
    print('\nWeights of two processes with one seed, by deterministic algorithms:',
          in_new_process(), in_new_process())

if __name__=='__main__': main()
